"""Hubs in real processes, for tests that must end with none of them left.

A :class:`HubProcess` is one ``twistd agentcom``.  It is ended by its own pid,
everything that waits has a limit, and :class:`ProcessTestCase` ends whatever
a test left running.  What a hub prints goes to a file, so that nothing can
block on a full pipe.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import agentcom
from tests.integration.clients import Agent, Http

ROOT = Path(agentcom.__file__).resolve().parent.parent
TWISTD = str(Path(sys.executable).with_name("twistd"))

LOOPBACK = "tcp:0:interface=127.0.0.1"

PATIENCE_S = 20.0
"""Seconds that anything may take which should take less than one."""

_READY = re.compile(r"AgentCom is ready: listening on (\S+) ")


def until(
    condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S, every: float = 0.02
) -> Any:
    """Look again and again until the condition holds; gives what it gave."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds:g} s: not yet {what}")
        time.sleep(every)


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a hub that knows nothing of its user's own files."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("AGENTCOM_")}
    return {**env, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


class HubProcess:
    """One hub.

    :ivar ending: the test is about to end it; its clients may notice.
    :param options: of ``twistd agentcom``; ``--data-dir`` and ``--listen`` are
        added where they are not among them.
    :param command: what to run in place of ``twistd``.
    :param work: where it is started and its log is, beside the data directory
        unless told otherwise.
    """

    def __init__(
        self,
        data_dir: Path,
        *options: str,
        command: Sequence[str] = (TWISTD,),
        env: dict[str, str] | None = None,
        defaults: bool = True,
        work: Path | None = None,
    ) -> None:
        self.data_dir = data_dir
        given = list(options)
        if defaults:
            given += ["--data-dir", str(data_dir)]
            if "--listen" not in given:
                given += ["--listen", LOOPBACK]
        work = work or data_dir.parent
        work.mkdir(parents=True, exist_ok=True)
        number = len(list(work.glob("hub-*.log")))
        self.log_file = work / f"hub-{number}-{data_dir.name}.log"
        self.error_file = self.log_file.with_suffix(".stderr")
        with self.log_file.open("wb") as out, self.error_file.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, "-n", "--pidfile=", "agentcom", *given],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=work,
                env=env or environment(work),
                start_new_session=True,
            )
        self._urls: list[str] = []
        self.ending = False

    @property
    def pid(self) -> int:
        """The hub's process id."""
        return self.process.pid

    def log(self) -> str:
        """All that the hub has logged so far, and what it said on stderr."""
        return self.log_file.read_text(errors="replace") + self.errors()

    def errors(self) -> str:
        """All that the hub has said on stderr so far."""
        return self.error_file.read_text(errors="replace")

    def ready(self, seconds: float = PATIENCE_S) -> HubProcess:
        """Wait for the line that says that the hub listens."""

        def said() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the hub ended early:\n{self.log()}")
            self._urls = _READY.findall(self.log())
            return bool(self._urls)

        until(said, "ready", seconds, every=0.01)
        return self

    @property
    def urls(self) -> list[str]:
        """Every address that the ready lines name."""
        return _READY.findall(self.log())

    @property
    def url(self) -> str:
        """The first address that the ready line names."""
        return self._urls[0]

    @property
    def port(self) -> int:
        """The port of :attr:`url`."""
        return int(self.url.rpartition(":")[2])

    @property
    def admin_token(self) -> str:
        """What the hub wrote at its first start."""
        return (self.data_dir / "admin.token").read_text().strip()

    def http(self, token: str | None = "") -> Http:
        """A client; with the admin token unless told otherwise."""
        return Http(self.url, self.admin_token if token == "" else token)

    def token(self, agent_id: str, *scopes: str) -> str:
        """A new token of an agent."""
        body: dict[str, Any] = {"agent_id": agent_id}
        if scopes:
            body["scopes"] = list(scopes)
        with self.http() as http:
            return str(http.ok("POST", "/admin/tokens", body)["token"])

    def agent(self, agent_id: str, token: str | None = None, **fields: Any) -> Agent:
        """A connected and identified agent."""
        return Agent(self.url, agent_id, token or self.token(agent_id), **fields)

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.ending = True
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def stop(self, number: int = signal.SIGTERM, seconds: float = PATIENCE_S) -> int:
        """Ask it to end; gives the exit code."""
        os.kill(self.pid, number)
        return self.wait(seconds)

    def wait(self, seconds: float = PATIENCE_S) -> int:
        """Wait for its end; gives the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"after {seconds:g} s the hub still runs:\n{self.log()}") from None


class ProcessTestCase(SynchronousTestCase):
    """Ends every hub and every connection that a test has made."""

    timeout = 120

    def setUp(self) -> None:
        self.work = Path(self.mktemp()).absolute()
        self.work.mkdir(parents=True)
        self.data_dir = self.work / "data"

    def start(self, *options: str, data_dir: Path | None = None, **more: Any) -> HubProcess:
        """A hub that may not be ready yet."""
        more.setdefault("work", self.work)
        hub = HubProcess(data_dir or self.data_dir, *options, **more)
        self.addCleanup(hub.kill)
        return hub

    def hub(self, *options: str, data_dir: Path | None = None, **more: Any) -> HubProcess:
        """A hub that listens."""
        return self.start(*options, data_dir=data_dir, **more).ready()

    def agent(self, hub: HubProcess, agent_id: str, token: str | None = None, **f: Any) -> Agent:
        """A connected and identified agent."""
        agent = hub.agent(agent_id, token, **f)
        self.addCleanup(agent.close)
        return agent

    def http(self, hub: HubProcess, token: str | None = "") -> Http:
        """A client of the hub's HTTP API."""
        http = hub.http(token)
        self.addCleanup(http.close)
        return http

    def assert_one_sentence(self, hub: HubProcess, *words: str) -> str:
        """The hub ended by itself with one sentence for its operator."""
        code = hub.wait()
        self.assertNotEqual(code, 0, hub.log())
        self.assertFalse("Traceback" in hub.log(), hub.log())
        said = hub.errors()
        self.assertTrue(said.startswith("agentcom: "), said or "nothing on stderr: " + hub.log())
        self.assertEqual(said.count("\n"), 1, said)
        for word in words:
            self.assertIn(word, said)
        return said

    def assert_clean_log(self, hub: HubProcess) -> None:
        """Nothing unexpected has happened in the hub."""
        log = hub.log()
        self.assertFalse("Traceback" in log or "Unhandled" in log, log)
