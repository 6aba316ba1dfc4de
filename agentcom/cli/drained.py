"""How far a drain is: in words, as a list, and waited for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from twisted.internet.task import deferLater

from agentcom.cli import show
from agentcom.client.errors import ClientError, HubError, HubUnreachable

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient
    from agentcom.client.replies import DrainState

POLL_S = 1.0
"""Seconds between two looks at what still runs."""


def told(agent_id: str | None, state: DrainState) -> str:
    """A drain in one line."""
    if state["drained"]:
        return f"{_name(agent_id)} is drained: nothing runs there"
    until = show.when(state.get("deadline"))
    deadline = f", until {until} at the latest" if until else ""
    return f"{_name(agent_id)} is draining: {_tasks(state['running'])}{deadline}"


def echo_list(state: DrainState, as_json: bool) -> None:
    """What is drained now."""
    if as_json:
        show.echo_json(state)
        return
    agents = state.get("agents", [])
    drained: list[tuple[str, Any]] = [(a.get("agent_id", ""), a) for a in agents]
    if state["status"] == "draining":
        drained.insert(0, ("(the hub)", state))
    if not drained:
        click.echo("nothing is drained")
        return
    rows = [
        (
            name,
            entry.get("running", ""),
            entry.get("by") or "",
            show.when(entry.get("since")),
            show.when(entry.get("deadline")),
            entry.get("note") or "",
        )
        for name, entry in drained
    ]
    total = state.get("agents_total", len(agents))
    if total > len(agents):
        click.echo(f"the first {len(agents)} of {total} agents:", err=True)
    show.table(("AGENT", "RUNS", "BY", "SINCE", "DEADLINE", "NOTE"), rows)


class Wait:
    """Waits until nothing runs any more, and says how much still does.

    :param agent_id: whose tasks; ``None`` for those of the whole hub.
    """

    def __init__(self, hub: HubClient, agent_id: str | None, as_json: bool) -> None:
        self._hub = hub
        self._agent_id = agent_id
        self._as_json = as_json
        self._terminal = sys.stderr.isatty()
        self._last = ""

    async def until_drained(self, state: DrainState, timeout: float | None) -> int:
        """The exit code.

        :param state: what the hub answered to the drain.
        :param timeout: seconds to wait at the most.
        :raises click.ClickException: the timeout passed, or somebody ended the drain.
        """
        clock = self._hub.clock
        until = None if timeout is None else clock.seconds() + timeout
        found: DrainState | None = state
        while not state["drained"]:
            if state["status"] != "draining":
                again = "" if self._agent_id else ", or the hub was started again"
                self._fail(f"{_name(self._agent_id)} drains no more: somebody resumed it{again}")
            if found is not None:
                self._progress(told(self._agent_id, state))
            if state.get("deadline_passed"):
                self._fail(
                    f"the deadline has passed and {_tasks(state['running'])}; it stays drained "
                    "until `agentcom resume`"
                )
            left = POLL_S if until is None else min(POLL_S, until - clock.seconds())
            if left <= 0:
                stays = "it stays drained, `agentcom drain --list` shows it"
                self._fail(f"after {timeout:g} s {_tasks(state['running'])}; {stays}")
            await deferLater(clock, left)
            found = await self._look()
            state = found or state
        self._end_progress()
        show.answer(state, told(self._agent_id, state), self._as_json)
        return 0

    async def _look(self) -> DrainState | None:
        """The state; ``None`` while the hub does not answer."""
        try:
            if self._agent_id is None:
                return await self._hub.drain_of_hub()
            return await self._hub.drain_of(self._agent_id)
        except ClientError as e:
            if isinstance(e, HubUnreachable) or (isinstance(e, HubError) and e.passing):
                # A hub that is started again still knows which agents it drains.
                self._progress(f"{e}; waiting for it")
                return None
            raise

    def _progress(self, text: str) -> None:
        """The newest line takes the place of the one before, where that is possible."""
        if self._terminal:
            click.echo(f"\r\x1b[K{show.line(text)}", nl=False, err=True)
        elif text != self._last:
            click.echo(show.line(text), err=True)
        self._last = text

    def _end_progress(self) -> None:
        if self._terminal and self._last:
            click.echo("\r\x1b[K", nl=False, err=True)

    def _fail(self, why: str) -> None:
        self._end_progress()
        raise click.ClickException(why)


def _name(agent_id: str | None) -> str:
    return "the hub" if agent_id is None else show.line(agent_id)


def _tasks(running: int) -> str:
    return "1 task still runs" if running == 1 else f"{running} tasks still run"
