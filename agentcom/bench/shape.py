"""How a mode is measured and shown, and what the tables of most modes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agentcom.bench import rates
from agentcom.bench.report import Figure, Goal, Report, at, rate
from agentcom.bench.tables import Column, lost, middle
from agentcom.bench.targets import Turn


def rate_said(report: Report) -> str:
    """The rate of a turn."""
    return f"{rate(report):.0f}/s"


class Shape(NamedTuple):
    """How a mode is measured and shown.

    `targets` are measured unless told otherwise, `fit` are all that can be; `floors` are those that
    the others are compared with. `loads` are what is done in each turn, those `left_out` not to a
    hub of somebody else; `without` says what is missing there, and `alone` that it cannot be done
    to one at all. `rounds` and `seconds` are the usual ones. `once` names what is done in the end,
    beside the rounds.
    """

    about: str
    targets: Sequence[str]
    fit: Sequence[str]
    floors: Sequence[str]
    figures: Sequence[Figure]
    columns: Sequence[Column]
    notes: Sequence[str]
    loads: Sequence[str]
    turn: Turn = rates.turn
    said: Callable[[Report], str] = rate_said
    agents: int = 32
    rounds: int = 2
    seconds: float = 3.0
    left_out: Sequence[str] = ()
    without: str = ""
    alone: str = ""
    once: str = ""


def value(*path: str) -> Callable[[Report], float | None]:
    """One number of a report."""

    def found(report: Report) -> float | None:
        number = at(report, *path)
        return None if number is None else float(number)

    return found


SPINES = ("spine", "spine-quick")
EXPERIMENTS = ("spine-ordered", "spine-1ms", "spine-0.5ms", "spine-inline")
HUBS = ("hub", "hub-plain")
STALL = Figure("stall ms", value("stall_ms", "wall"), [Goal("hub", 20, True)], 1, compared=False)
STALL_NOTE = (
    "stall ms: the longest turn of the event loop, in the last 5, 15 or 60 s, whichever holds the",
    "measured time, 0 where all were under 5 ms; of cpu: the most that one had a processor, what",
    "is missing it waited for one.",
)
COST = value("server_us_each")
US_EACH = Figure("us each", COST)
OF_CPU = Column("stall of cpu", middle("stall_ms", "cpu", digits=1))
PROCESSORS = (
    Column("cpu", middle("server_cpu")),
    Column("generator", middle("generator_cpu")),
    Column("its limit", middle("generator_limit_per_s", digits=0)),
    Column("else", middle("others_cpu")),
    Column("errors", lost),
)
PROCESSOR_NOTES = (
    "us each: processor time of the server for one of them. cpu, generator, else: processors used",
    "by server, load generator and anybody else; its limit: how many a second the generator could",
    "do with all of a processor, at its cost in this run. Where generator is near 1 it was the",
    "limit; where else is over 0.2 the machine was busy: run it again.",
)
