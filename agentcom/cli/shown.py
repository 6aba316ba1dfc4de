"""A task that somebody waits for, shown from its beginning to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agentcom.cli import show
from agentcom.cli.task import echo_result

if TYPE_CHECKING:
    from agentcom.client.replies import EventReply, TaskReply


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
