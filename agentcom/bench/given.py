"""Somebody's hub, which runs already: what the benchmark may do to it, and how it leaves it.

Agents and tokens of a run begin with a word of its own and are revoked at the end; its tasks need a
capability of that name, so that no agent of the hub's own is given one.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from agentcom.bench.servers import ServerFailed

ANSWER_S = 15.0
LISTENS = "0A"
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


class GivenHub:
    """A hub that runs, here or elsewhere.

    :param url: `http://HOST:PORT`.
    :param token: of scope `admin`.
    :param work: where the token may lie while the benchmark runs.
    :ivar is_here: whether it is on this machine.
    :raises ServerFailed: there is no such address.
    """

    def __init__(self, url: str, token: str, work: Path) -> None:
        self.url = url
        self.start_s: float | None = None
        self.pid: int | None = None
        self.name = f"bench-{secrets.token_hex(3)}"
        self.metrics = f"{url}/metrics"
        self.token_file: Path | None = work / "given.token"
        parts = urlsplit(url)
        self.is_here = is_of_this_machine(parts.hostname or "")
        if self.is_here:
            self.pid = process_on(parts.port or 0)
        self._token = token
        self._line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
        descriptor = os.open(self.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """It stays as it is: `clean` is for the end of all turns."""

    def log(self) -> str:
        """Nothing: what it prints is not the benchmark's."""
        return ""

    def check(self) -> None:
        """See whether it is a hub that can be measured with this token.

        :raises ServerFailed: in one line that says what to do.
        """
        status, _ = self.call("GET", "/admin/tokens")
        if status in (401, 403):
            why = "does not take the token" if status == 401 else "wants a token of scope admin"
            raise ServerFailed(f"{self.url} {why}; give the hub's admin token with --token")
        if status != 200:
            raise ServerFailed(f"{self.url} answers {status} to GET /admin/tokens: is it a hub?")

    def others(self) -> int:
        """How many agents are connected that are not of this run."""
        _, told = self.call("GET", "/api/agents")
        agents = told.get("agents", [])
        return sum(not agent["agent_id"].startswith(self.name) for agent in agents)

    def tokens(self, agents: Iterable[str]) -> dict[str, str]:
        """Make a token for each agent; agent id to secret.

        :raises ServerFailed: the hub does not make them.
        """
        made = {}
        for agent in agents:
            status, told = self.call("POST", "/admin/tokens", {"agent_id": agent})
            if "token" not in told:
                raise ServerFailed(f"{self.url} makes no token for {agent}: {status} {told}")
            made[agent] = told["token"]
        return made

    def clean(self) -> None:
        """Revoke all tokens of this run; their agents' lines end with that."""
        with suppress(ServerFailed):
            _, told = self.call("GET", "/admin/tokens")
            mine = {one["agent_id"] for one in told.get("tokens", [])}
            for agent in sorted(mine):
                if agent.startswith(f"{self.name}-"):
                    self.call("DELETE", f"/admin/tokens/{quote(agent, safe='')}")
        self._line.close()

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Ask it something; status and answer.

        :raises ServerFailed: it does not answer.
        """
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            self._line.request(method, path, data, headers)
            answer = self._line.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as e:
            self._line.close()
            raise ServerFailed(
                f"no hub answers at {self.url} ({e}); name a hub that runs with --hub"
            ) from None
        try:
            told = json.loads(text)
        except ValueError:
            told = {}
        return answer.status, told if isinstance(told, dict) else {}


def is_of_this_machine(host: str) -> bool:
    """Whether a host is this machine: only then can a socket have its address.

    :raises ServerFailed: there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError as e:
        raise ServerFailed(f"{host} is no host that can be reached: {e}") from None
    for family, kind, number, _, address in found:
        with suppress(OSError), socket.socket(family, kind, number) as probe:
            probe.bind(address)
            return True
    return False


def process_on(port: int) -> int | None:
    """The process of this machine that listens on a TCP port, where that can be found out."""
    wanted = {f"socket:[{inode}]" for table in TABLES for inode in _listening(table, port)}
    for place in Path("/proc").glob("[0-9]*/fd/*") if wanted else ():
        with suppress(OSError):
            if os.readlink(place) in wanted:
                return int(place.parts[2])
    return None


def _listening(table: Path, port: int) -> list[str]:
    """The sockets that listen on a port, by what the kernel calls them."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [row[9] for row in rows if row[3] == LISTENS and int(row[1][-4:], 16) == port]
