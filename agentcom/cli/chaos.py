"""``agentcom chaos``: a fault test of the hub and its agents on this machine."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentcom.cli.runtime import Runtime, run_reactor
from agentcom.cli.values import Count, Seconds

if TYPE_CHECKING:
    from agentcom.chaos.judge import Verdict
    from agentcom.chaos.plan import Plan

FAULTS_SHOWN = 20
HISTORY = "history.jsonl"
MOST_SEED = 2**53


@click.command()
@click.option("--tasks", type=Count(1, 100_000), default=200, show_default=True)
@click.option("--agents", type=Count(1, 200), default=8, show_default=True)
@click.option(
    "--kill-hub", type=Count(0, 1_000), default=3, show_default=True, help="kill -9 of the hub."
)
@click.option(
    "--kill-writer",
    type=Count(0, 1_000),
    default=1,
    show_default=True,
    help="kill -9 of the process that writes the hub's database.",
)
@click.option(
    "--cut",
    type=Count(0, 10_000),
    default=30,
    show_default=True,
    help="Lines closed, reset, half-closed, stalled, silenced or slowed.",
)
@click.option(
    "--kill-agent", type=Count(0, 10_000), default=10, show_default=True, help="kill -9 of agents."
)
@click.option(
    "--freeze",
    "--stop",
    type=Count(0, 10_000),
    default=5,
    show_default=True,
    help="SIGSTOP of agents, SIGCONT later.",
)
@click.option("--seed", type=Count(0, MOST_SEED), help="Of the plan.  [default: any]")
@click.option(
    "--limit",
    type=Seconds(86_400),
    metavar="TIME",
    help="Within which all tasks must have ended.  [default: fits the plan]",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A new directory for all files of the run; it stays.",
)
@click.option(
    "--history",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the history there; it stays.",
)
@click.option(
    "--check",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Run nothing: judge the history of an earlier run.",
)
@click.option("--json", "as_json", is_flag=True, help="Show the verdict as JSON.")
@click.pass_context
def chaos(
    ctx: click.Context,
    /,
    limit: float | None,
    keep: Path | None,
    history: Path | None,
    check: Path | None,
    as_json: bool,
    **asked: int | None,
) -> None:
    """See whether tasks are lost, or accepted twice, while things break.

    It starts a hub of its own and agents, all of them real processes, and
    submits tasks; meanwhile it kills the hub and agents, freezes agents and
    disturbs their lines.  Then a program checks the history of the run.  The
    last line tells what came of it; the exit code is 1 if anything is wrong.

    The same seed and numbers give the same plan, though not the same timing.

    \b
    Example:
      agentcom chaos
      agentcom chaos --tasks 2000 --agents 20 --kill-hub 10 --cut 100 --seed 7
      agentcom chaos --check history.jsonl
    """
    if check is not None:
        ctx.exit(show(*_checked(check), as_json))
    from agentcom.chaos.plan import Size, draw

    if asked["seed"] is None:
        asked["seed"] = secrets.randbelow(10**6)
    plan = draw(Size(**{name: count or 0 for name, count in asked.items()}))
    work = _directory(keep)
    path = history or work / HISTORY
    verdicts: list[Verdict] = []
    runtime = ctx.find_object(Runtime) or Runtime()

    async def run(reactor: Any) -> int:
        verdicts.append(await _run(runtime, reactor, plan, work, path, limit))
        return show(verdicts[0], path, as_json)

    try:
        run_reactor(ctx, run, "stopped")
    finally:
        if keep is None:
            if verdicts and verdicts[0].good:
                shutil.rmtree(work, ignore_errors=True)
            else:
                click.echo(f"the files of the run are in {work}", err=True)


async def _run(
    runtime: Runtime, reactor: Any, plan: Plan, work: Path, path: Path, limit: float | None
) -> Verdict:
    from twisted.internet.defer import CancelledError, Deferred

    from agentcom.chaos.history import Recorder, read_file
    from agentcom.chaos.judge import judge
    from agentcom.chaos.run import NoHub
    from agentcom.chaos.run import run as run_plan

    size = plan.size
    _say(
        f"seed {size.seed}: {size.tasks} tasks, {size.agents} agents, {size.kill_hub} kills of the "
        f"hub and {size.kill_writer} of its writer, {size.cut} cuts, {size.kill_agent} kills and "
        f"{size.freeze} freezes of agents, within {plan.span_s:.0f} s"
    )
    try:
        file = path.open("wb")
    except OSError as e:
        raise click.ClickException(f"the history cannot be written: {e}") from None
    with file:
        recorder = Recorder(file, reactor.seconds)
        running = Deferred.fromCoroutine(run_plan(reactor, plan, work, recorder, _say, limit))
        runtime.on_signals(reactor, running.cancel)
        try:
            await running
        except CancelledError:
            raise click.ClickException("stopped; everything that was started is ended") from None
        except NoHub as e:
            raise click.ClickException(str(e)) from None
    return judge(read_file(path))


def show(verdict: Verdict, path: Path, as_json: bool) -> int:
    """Print a verdict; gives the exit code."""
    if as_json:
        from msgspec import to_builtins

        told = {**to_builtins(verdict), "good": verdict.good, "history": str(path)}
        click.echo(json.dumps(told))
        return 0 if verdict.good else 1
    click.echo(", ".join(f"{count} {name}" for name, count in verdict.figures.items() if count))
    for fault in verdict.faults[:FAULTS_SHOWN]:
        click.echo(f"FAULT {fault}")
    if not verdict.good:
        click.echo(f"{len(verdict.faults)} faults; the history is in {path}")
    click.echo(str(verdict))
    return 0 if verdict.good else 1


def _checked(path: Path) -> tuple[Verdict, Path]:
    from agentcom.chaos.history import BrokenHistory, read_file
    from agentcom.chaos.judge import judge

    try:
        return judge(read_file(path)), path
    except BrokenHistory as e:
        raise click.ClickException(f"{path}: {e}") from None


def _directory(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="agentcom-chaos-"))
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise click.UsageError(f"--keep {keep}: {e.strerror}") from None
    if any(keep.iterdir()):
        raise click.UsageError(f"--keep {keep}: it is not empty; name a new directory")
    return keep.absolute()


def _say(text: str) -> None:
    click.echo(text, err=True)
