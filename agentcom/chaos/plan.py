"""What a run does, and when: drawn from a seed, with nothing but numbers and names.

The same size and seed always give the same plan.  What comes of it does not
repeat: the timing of real processes differs from run to run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from random import Random
from typing import Any

import msgspec

CALLERS = "callers"
"""The name of the line through which tasks are submitted and events are read."""

STAYS = "stays"
"""The capability of agents that come back whenever they are killed."""

SLOTS = 2
MEAN_WORK_S = 1.1
"""Seconds that a command takes, its start included."""

LEISURE = 1.8
"""How many times longer it takes than it had to: where all slots are taken, a task waits
until its old agent is back, and nothing is taken over."""

BATCH = 8
"""Tasks that are now and then submitted at once."""

DOWN_S = 3.0
"""Seconds that a kill of the hub costs, until its agents are back."""


class Kind(StrEnum):
    """What sort of agent it is.

    Our own sidecar; or an older client without a journal, whose reports carry
    no generation, or 0.
    """

    SIDECAR = "sidecar"
    OLD = "old"
    OLD_ZERO = "old-zero"


class What(StrEnum):
    """What is done to whom."""

    KILL_HUB = "kill-hub"
    KILL_WRITER = "kill-writer"
    KILL_AGENT = "kill-agent"
    FREEZE = "freeze"
    CLOSE = "close"
    RESET = "reset"
    HALF_TO_AGENT = "half-close-to-agent"
    HALF_TO_HUB = "half-close-to-hub"
    STALL = "stall"
    MUTE = "mute"
    SLOW = "slow"


CUTS = (
    What.CLOSE,
    What.RESET,
    What.HALF_TO_AGENT,
    What.HALF_TO_HUB,
    What.STALL,
    What.MUTE,
    What.SLOW,
)

LASTS_S: dict[What, tuple[float, float]] = {
    What.KILL_HUB: (0.0, 1.5),
    What.KILL_WRITER: (0.0, 1.5),
    What.KILL_AGENT: (0.5, 4.0),
    What.FREEZE: (1.0, 7.0),
    What.STALL: (0.5, 6.0),
    What.MUTE: (0.5, 6.0),
    What.SLOW: (1.0, 5.0),
}
"""Seconds, from and to: down, away, frozen, held, silent before the reset, slow."""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done, and how often it is disturbed."""

    tasks: int = 200
    agents: int = 8
    kill_hub: int = 3
    kill_writer: int = 1
    cut: int = 30
    kill_agent: int = 10
    freeze: int = 5
    seed: int = 0


class Member(msgspec.Struct, frozen=True):
    """One agent.

    :ivar returns: it is started again after it was killed.
    """

    name: str
    kind: Kind
    returns: bool = True

    @property
    def slots(self) -> int:
        """Tasks that it works on at a time; older clients know of one."""
        return SLOTS if self.kind is Kind.SIDECAR else 1


class Step(msgspec.Struct, frozen=True):
    """One disturbance.

    :ivar at_s: seconds after the run's begin.
    :ivar who: an agent, or `CALLERS`; ``None`` for the hub.
    :ivar for_s: how long it lasts.
    """

    at_s: float
    what: What
    who: str | None = None
    for_s: float = 0.0


class Work(msgspec.Struct, frozen=True):
    """One task.

    :ivar at_s: when it is submitted, in seconds after the run's begin; tasks
        with the same time are submitted as one batch.
    :ivar body: the fields of ``POST /api/tasks``; its idempotency key names it.
    """

    at_s: float
    body: dict[str, Any]

    @property
    def key(self) -> str:
        """The idempotency key."""
        return str(self.body["idempotency_key"])


class Plan(msgspec.Struct, frozen=True):
    """All of it.

    :ivar span_s: seconds within which everything is begun.
    """

    size: Size
    span_s: float
    members: list[Member]
    steps: list[Step]
    works: list[Work]

    @property
    def limit_s(self) -> float:
        """Seconds after which a run has failed, unless told otherwise."""
        return 60.0 + 3 * self.span_s


def draw(size: Size) -> Plan:
    """Draw the plan of a run.

    Each subject has a stream of chance of its own, so that one cut more does
    not change the tasks.
    """
    members = list(_members(size))
    span_s = _span_s(size, members)
    steps = sorted(_steps(size, members, span_s), key=lambda step: step.at_s)
    return Plan(size, span_s, members, steps, list(_works(size, span_s)))


def _chance(size: Size, subject: str) -> Random:
    return Random(f"{size.seed} {subject}")


def _members(size: Size) -> Iterator[Member]:
    # Every third is an older client, and of five one is gone once it is killed;
    # the first two, one of each sort, always come back.
    old = (Kind.OLD, Kind.OLD_ZERO)
    for number in range(size.agents):
        kind = old[number // 3 % 2] if number % 3 == 1 else Kind.SIDECAR
        yield Member(f"agent-{number:02}", kind, number % 5 != 4)


def _span_s(size: Size, members: list[Member]) -> float:
    slots = sum(member.slots for member in members)
    downs = size.kill_hub + size.kill_writer
    return round(
        max(
            5.0,
            0.5 * size.cut,
            1.0 * (size.kill_agent + size.freeze),
            # While there is no hub nothing new is begun.
            LEISURE * size.tasks * MEAN_WORK_S / slots + DOWN_S * downs,
        ),
        3,
    )


def _steps(size: Size, members: list[Member], span_s: float) -> Iterator[Step]:
    names = [member.name for member in members]

    def cut(chance: Random) -> tuple[What, str]:
        return chance.choice(CUTS), CALLERS if chance.random() < 0.15 else chance.choice(names)

    draws: list[tuple[int, str, Callable[[Random], tuple[What, str | None]]]] = [
        (size.kill_hub, "hub", lambda chance: (What.KILL_HUB, None)),
        (size.kill_writer, "writer", lambda chance: (What.KILL_WRITER, None)),
        (size.kill_agent, "kill", lambda chance: (What.KILL_AGENT, chance.choice(names))),
        (size.freeze, "freeze", lambda chance: (What.FREEZE, chance.choice(names))),
        (size.cut, "cut", cut),
    ]
    for count, subject, pick in draws:
        chance = _chance(size, subject)
        for number in range(count):
            # Spread out, or two kills of the hub would often be one.
            at_s = span_s * (0.05 + 0.9 * (number + chance.random()) / count)
            what, who = pick(chance)
            for_s = chance.uniform(*LASTS_S.get(what, (0.0, 0.0)))
            yield Step(round(at_s, 3), what, who, round(for_s, 3))


def _works(size: Size, span_s: float) -> Iterator[Work]:
    chance = _chance(size, "tasks")
    at_s, together = 0.0, 0
    for number in range(size.tasks):
        if together:
            together -= 1
        else:
            at_s = 0.8 * span_s * number / size.tasks
            together = BATCH - 1 if chance.random() < 0.04 else 0
        hopeless = chance.random() < 0.03
        fails = 99 if hopeless else 1 if chance.random() < 0.05 else 0
        deaf = chance.random() < 0.5
        what = {"work_s": round(chance.uniform(0.0, 2.0), 3), "fails": fails, "deaf": deaf}
        on_disconnect = chance.choices(("requeue", "fail", "keep"), (70, 15, 15))[0]
        body: dict[str, Any] = {
            "description": json.dumps(what),
            "idempotency_key": f"chaos-{size.seed}-{number}",
            "hold_s": chance.choice((0, 0, 0, 0, 0.2, 0.5, 1, 3)),
            "on_disconnect": on_disconnect,
            "accept_timeout_s": 5,
            "max_attempts": 2 if hopeless else 20,
            "backoff": {"initial_s": 0.1, "factor": 2, "max_s": 1},
        }
        if on_disconnect == "keep":
            # With an agent that never comes back it would wait for ever.
            body["capabilities"] = [STAYS]
        yield Work(round(at_s, 3), body)
