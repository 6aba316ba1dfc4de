"""``agentcom bench``: how fast the hub is, beside what it could be on the same machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentcom.cli.runtime import Interrupted, interruptible
from agentcom.cli.settings import Settings, hub_options
from agentcom.cli.values import Count, Number, Seconds

if TYPE_CHECKING:
    from agentcom.bench.options import Options

MODES = (
    "push",
    "queue",
    "latency",
    "storm",
    "idle",
    "messages",
    "history",
    "ws",
    "takeover",
    "overload",
)


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Some names, by comma."""
    if value is None:
        return None
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise click.BadParameter("names nothing", ctx, param)
    return found


@click.command()
@click.argument("mode", type=click.Choice(MODES))
@click.option("--rounds", type=Count(1, 100), help="Turns of each target.  [default: the mode's]")
@click.option(
    "--seconds",
    type=Seconds(600),
    metavar="S",
    help="Measured in each turn.  [default: the mode's]",
)
@click.option(
    "--warmup", type=Seconds(600, zero=True), metavar="S", help="Before that.  [default: 1]"
)
@click.option("--only", callback=_names, metavar="NAMES", help="Targets, by comma.")
@click.option("--load", "loads", callback=_names, metavar="NAMES", help="The mode's, by comma.")
@click.option("--agents", type=Count(1, 15_000), help="[default: the mode's]")
@click.option("--connections", type=Count(1, 400), help="Submitters.  [default: the mode's]")
@click.option("--open", type=Count(1, 1_000_000), help="Most tasks under way.")
@click.option("--batch-size", type=Count(1, 1000), help="Tasks of one batch.  [default: 100]")
@click.option("--rate", type=Number(0.1, 10_000), help="Of latency, a second.  [default: 300]")
@click.option("--tasks", type=Count(0, 10_000_000), help="Of history.  [default: 1000000]")
@click.option(
    "--limit", type=Seconds(600), metavar="S", help="Within which a storm is over.  [default: 60]"
)
@click.option(
    "--settle", type=Seconds(600), metavar="S", help="Rest before memory is read.  [default: 5]"
)
@click.option("--lines", type=Count(32, 5000), help="Connections of overload.  [default: 400]")
@click.option("--times-capacity", type=Number(1, 100), help="Load of overload.  [default: 10]")
@click.option("--times", type=Count(1, 1000), help="Agents that takeover kills.  [default: 20]")
@click.option(
    "--wait-idle",
    type=Seconds(600, zero=True),
    metavar="S",
    help="Wait so long, before each turn, for a machine that does nothing else.",
)
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Where servers keep their data, on a disk.  [default: where temporary files are]",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write the whole report there; - is standard output, in place of the tables.",
)
@click.option("--self-test", is_flag=True, help="Measure the load generator alone.")
@hub_options
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    mode: str,
    json_file: Path | None,
    self_test: bool,
    **wanted: Any,
) -> None:
    """Measure the hub beside its floors: the same work with less done for it.

    It starts a hub of its own, and what it is compared with: the spine (Klein,
    Autobahn and the durable batch, without checks or logic) and the bare stack
    (constants for answers).  They take turns under the same load, and each
    figure stands beside its ratio to theirs.  With --hub that hub is measured
    in place of an own one; this takes its admin token.  The benchmark's agents
    and tokens are revoked at the end, its tasks stay.

    \b
    Modes:
      push      single pushes, as fast as they are answered
      queue     submissions, one by one and in batches of 100
      latency   an even pace: until the agent has the task
      storm     5000 agents identify at once, while others work
      idle      memory of 10000 agents that do nothing
      messages  from one agent to another, and to all
      history   with a million stored tasks, beside an empty hub
      ws        submissions over WebSocket
      takeover  from kill -9 of an agent until its task runs elsewhere
      overload  ten times what the hub can take

    \b
    Example:
      agentcom bench push
      agentcom bench queue --load batch --rounds 3 --json batch.json
      agentcom bench latency --only spine,hub --seconds 8
      agentcom bench history --tasks 100000
      agentcom bench push --hub http://127.0.0.1:4000
      agentcom bench push --self-test
    """
    from agentcom.bench.asking import Unfit, asked
    from agentcom.bench.run import run, try_generator
    from agentcom.bench.servers import ServerFailed
    from agentcom.bench.shown import generator_told, text_of, wrong

    try:
        options = asked(mode, self_test=self_test, **_hub_of(ctx), **wanted)
    except Unfit as e:
        raise click.UsageError(str(e), ctx) from None
    try:
        with interruptible(), _shown(options) as progress:
            report = try_generator(options) if self_test else run(options, progress)
    except ServerFailed as e:
        raise click.ClickException(str(e)) from None
    except Interrupted:
        raise click.ClickException("stopped; everything that was started is ended") from None
    text = generator_told(report) if self_test else text_of(report)
    _write(text, report, json_file)
    if not self_test and (lines := wrong(report)):
        raise click.ClickException("not everything came to its end:\n" + "\n".join(lines))


def _hub_of(ctx: click.Context) -> dict[str, str | None]:
    """The hub that was named with ``--hub``, if one was, and its token."""
    # The environment names the hub that one works with; to load that takes more than its being
    # there.
    settings = Settings.of(ctx)
    if not settings.named:
        return {}
    url = settings.url
    if url.secure or url.prefix:
        raise click.UsageError(
            f"the benchmark speaks plain HTTP: give {url} as the hub's own http://HOST:PORT", ctx
        )
    if settings.any_token is None:
        raise click.UsageError(
            f"{url} is measured with its admin token: give it with --token or $AGENTCOM_TOKEN, "
            "or name the hub's data directory with --data-dir",
            ctx,
        )
    return {"hub": str(url), "token": settings.any_token}


def _write(text: str, report: dict[str, Any], json_file: Path | None) -> None:
    whole = json.dumps(report, indent=2)
    if json_file is not None and str(json_file) == "-":
        click.echo(whole)
        return
    click.echo(text)
    if json_file is not None:
        try:
            json_file.write_text(whole + "\n")
        except OSError as e:
            raise click.ClickException(f"--json {json_file}: {e.strerror}") from None


class Lines:
    """Progress where nobody looks on: a line for each step."""

    _open = False

    def begins(self, what: str) -> None:
        self._open = True
        click.echo(what, nl=False, err=True)

    def ended(self, how: str) -> None:
        self._open = False
        click.echo(f": {how}", err=True)

    def close(self) -> None:
        """End a line whose end never came."""
        if self._open:
            click.echo(err=True)


@contextmanager
def _shown(options: Options) -> Iterator[Any]:
    """A bar on a terminal, lines elsewhere, both on standard error."""
    if not sys.stderr.isatty():
        lines = Lines()
        try:
            yield lines
        finally:
            lines.close()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=options.rounds * len(options.only))

        class Bar:
            """Progress where somebody looks on."""

            what = ""

            def begins(self, what: str) -> None:
                self.what = what
                shown.update(task, description=what)

            def ended(self, how: str) -> None:
                shown.console.print(f"{self.what}: {how}", highlight=False, markup=False)
                if self.what.startswith("round"):
                    shown.advance(task)

        yield Bar()
