"""A task that somebody waits for, shown from its beginning to its end."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentcom.cli import show
from agentcom.cli.task import echo_result

if TYPE_CHECKING:
    from agentcom.client.hub import HubClient
    from agentcom.client.replies import EventReply, Pushed, Queued, TaskReply

T = TypeVar("T", "Pushed", "Queued")


async def hand_over(
    hub: HubClient,
    send: Callable[[HubClient], Coroutine[Any, Any, T]],
    told: Callable[[T], str],
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Give the hub a task, and follow it to its end if that is wanted.

    :param told: says in words what the hub answered.
    :param timeout: seconds to follow it at the most.
    :returns: the exit code.
    """
    if not wait:
        made = await send(hub)
        show.answer(made, told(made), as_json)
        return 0
    from agentcom.cli.follow import Follower

    shown = Shown(quiet=as_json)
    follower = Follower(hub, shown.event)
    return shown.ended(await follower.follow(send, lambda made: shown.made(told(made)), timeout))


class Shown:
    """A task on its way, line by line.

    :param quiet: show only the end, as JSON.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._output_seen = False

    def made(self, told: str) -> None:
        """There is a task.

        :param told: which, and what the hub does with it.
        """
        if not self._quiet:
            click.echo(told)

    def event(self, event: EventReply) -> None:
        """Something happened to it."""
        if self._quiet:
            return
        payload = event["payload"]
        output = show.output_of(event)
        if output is not None:
            self._output_seen = True
            for text in output.splitlines():
                click.echo("  | " + text)
        if payload.get("progress") is not None or payload.get("message"):
            told = f"{show.percent(payload.get('progress')):>5}  {payload.get('message') or ''}"
            click.echo(show.line(told))
        elif output is None:
            click.echo(show.event_line(event, with_task=False))

    def ended(self, task: TaskReply) -> int:
        """It has ended; the exit code."""
        if self._quiet:
            show.echo_json(task)
        else:
            ended = "failed (dead_letter)" if task["status"] == "dead_letter" else task["status"]
            click.secho(ended, fg=show.STATUS_COLOURS.get(task["status"]), bold=True)
            if task.get("last_error") and task["status"] != "completed":
                click.echo(show.clean(task["last_error"]))
            if task.get("result") is not None:
                echo_result(task["result"], ("output",) if self._output_seen else ())
        return 0 if task["status"] == "completed" else 1
