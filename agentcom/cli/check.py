"""``agentcom check``: is a hub's data directory, and what is in it, as it should be?"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import click

from agentcom.cli import show
from agentcom.cli.settings import Settings, hub_options
from agentcom.client.urls import HubURL

UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
ANSWER_S = 10.0
"""Seconds that a hub has to answer."""

MOST_ANSWER = 65_536


class Size(click.types.IntParamType):
    """A number of bytes: ``268435456``, ``256MiB``."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        unit = next((unit for unit in UNITS if text.endswith(unit)), "")
        digits = text.removesuffix(unit).strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
            self.fail(f"{text[:80]!r} is no size such as 256MiB", param, ctx)
        return int(digits) * UNITS.get(unit, 1)


@click.command()
@click.option("--min-free", type=Size(), default="256MiB", show_default=True, metavar="SIZE")
@click.option("--json", "as_json", is_flag=True, help="Show the findings as JSON, one a line.")
@hub_options
@click.pass_context
def check(ctx: click.Context, min_free: int, as_json: bool) -> None:
    """Look over the hub's data directory and database; change nothing.

    Also while the hub runs, on its machine.  With --hub, the hub is asked
    whether it is ready, too.  The exit code is 1 where something is wrong.

    \b
    Example:
      agentcom check --data-dir /var/lib/agentcom
      agentcom check --hub http://127.0.0.1:4000
    """
    settings = Settings.of(ctx)
    asked = ctx.meta.get("agentcom.hub") is not None
    problems = 0
    with endable():
        for finding in _findings(settings, asked, min_free, as_json):
            problems += finding["state"] != "ok"
            if as_json:
                show.echo_json(finding)
            else:
                _say(finding)
    if not as_json:
        click.echo("All is well." if not problems else f"Problems: {problems}")
    ctx.exit(1 if problems else 0)


def _findings(
    settings: Settings, asked: bool, min_free: int, quiet: bool
) -> Iterator[dict[str, str]]:
    from agentcom.cli.local import check as look_over

    if asked:
        yield ready(settings.url)
    look = _looks(quiet)
    for found in look_over(settings.data_dir, min_free, look):
        yield {"name": found.name, "state": found.state, "told": found.told, "todo": found.todo}


def _say(finding: dict[str, str]) -> None:
    _clear()
    mark = "ok     " if finding["state"] == "ok" else "PROBLEM"
    click.echo(show.line(f"{mark}  {finding['told']}"))
    if finding["todo"]:
        click.echo(show.line(f"         {finding['todo']}"))


def _looks(quiet: bool) -> Callable[[str], None]:
    """Shows on a terminal what is looked at just now."""

    def look(what: str) -> None:
        if not quiet and sys.stderr.isatty():
            _clear()
            sys.stderr.write(f"... {what}")
            sys.stderr.flush()

    return look


def _clear() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


@contextmanager
def endable() -> Iterator[None]:
    """Let Ctrl-C end the process at once: SQLite looks at a large database in one call."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def ready(url: HubURL) -> dict[str, str]:
    """Whether a hub takes new work."""
    address = url.http("ready")
    found = {"name": "ready", "state": "ok", "told": f"the hub at {url} is ready", "todo": ""}
    try:
        # Not through a proxy that the environment names: this is about the hub.
        opener = build_opener(ProxyHandler({}))
        try:
            with opener.open(address, timeout=ANSWER_S) as answer:
                answer.read(MOST_ANSWER)
                return found
        except HTTPError as refusal:
            with refusal:
                answered = refusal.read(MOST_ANSWER)
            reason = _reason(answered) or f"it answers {refusal.code}"
            todo = "see the documentation of operations, under Health, for this reason"
            return {**found, "state": "problem", "told": f"{url}: {reason}", "todo": todo}
    except (OSError, ValueError) as e:
        why = str(getattr(e, "reason", e))
        told = f"nothing answers at {url}: {why}"
        todo = "start the hub, or name its address with --hub"
        return {**found, "state": "problem", "told": told, "todo": todo}


def _reason(answer: bytes) -> str | None:
    try:
        said = json.loads(answer)
    except ValueError:
        return None
    return str(said.get("reason") or said.get("error") or "") if isinstance(said, dict) else None
