"""How an agent lives: is its line open, does it take work, do its tasks move?

Three questions with a limit each (DESIGN.md), shown apart, because an agent
may answer pings and take nothing, and one that is silent for an hour may be
hard at work.  Tells what the hub knows and no more: what it has not heard is
``None``, and no task is called stuck for being quiet.  Reads, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from itertools import islice
from typing import Any

from agentcom.core.state import Status
from agentcom.hub.agenda import Agenda
from agentcom.hub.explained import TASK_LIMITS
from agentcom.hub.holdings import Holding, Holdings
from agentcom.hub.ledger import Ledger
from agentcom.hub.link import Link, Roster
from agentcom.hub.returning import QUIET_S
from agentcom.hub.standings import State, state
from agentcom.wire.frames import Limits

Told = dict[str, Any]


class Line(StrEnum):
    """The first answer: whether there is a connection."""

    OPEN = "open"
    HELD = "held"
    """Away, and tasks are kept for it."""
    AWAY = "away"


class Work(StrEnum):
    """The second answer: whether an agent is offered work; the first that is so."""

    AWAY = "away"
    UNRESPONSIVE = "unresponsive"
    """It let an offer pass without a word."""
    DRAINING = "draining"
    """Nothing more is to be offered."""
    PAUSED = "paused"
    """It rejected a task, or was relieved of one, a moment ago."""
    RETURNING = "returning"
    """It is just back and tells what it still has."""
    SUBMITS_ONLY = "submits_only"
    """It has no slots."""
    FULL = "full"
    """All its slots are taken."""
    TAKES_WORK = "takes_work"


_KEPT_FROM_WORK = {
    State.UNRESPONSIVE: Work.UNRESPONSIVE,
    State.DRAINING: Work.DRAINING,
    State.PAUSED: Work.PAUSED,
    State.RETURNING: Work.RETURNING,
}


def work_of(holding: Holding, slots: int) -> Work:
    """Whether a connected agent is offered work."""
    kept = _KEPT_FROM_WORK.get(state(holding))
    if kept is not None:
        return kept
    if not slots:
        return Work.SUBMITS_ONLY
    return Work.FULL if len(holding.held) >= slots else Work.TAKES_WORK


class Liveness:
    """Shows one agent.

    :param now: Unix milliseconds.
    :param limits: those of connections.
    :param contested: whether an agent id is fought over now.
    """

    def __init__(
        self,
        ledger: Ledger,
        holdings: Holdings,
        roster: Roster,
        agenda: Agenda,
        now: Callable[[], int],
        limits: Limits,
        contested: Callable[[str], bool],
    ) -> None:
        self._ledger = ledger
        self._holdings = holdings
        self._roster = roster
        self._agenda = agenda
        self._now = now
        self._limits = limits
        self._contested = contested

    def of(self, agent_id: str, most: int) -> Told:
        """The three answers, as ``docs/http-api.rst`` describes them.

        Times are Unix milliseconds, by the hub's own clock, which ``at`` tells.

        :param most: tasks that are shown.
        """
        link = self._roster.get(agent_id)
        # Of one that is away and left nothing, nothing is remembered.
        holding = self._holdings.get(agent_id) or Holding()
        return {
            "at": self._now(),
            "connection": self._connection(agent_id, link, holding),
            "work": self._work(agent_id, link, holding),
            "tasks": [self._task(i, at) for i, at in islice(holding.held.items(), most)],
        }

    def _connection(self, agent_id: str, link: Link | None, holding: Holding) -> Told:
        told: Told = {
            "state": Line.OPEN if link else Line.HELD if holding.held else Line.AWAY,
            "since": self._at(holding.left_at),
            "heard_at": None,
            "silence_ends_at": None,
            "ping_interval_s": self._limits.ping_interval_s,
            "silence_limit_s": self._limits.silence_limit_s,
            "held_until": None,
            "contested": self._contested(agent_id),
        }
        if link is not None:
            heard_at = self._now() - round(link.heard_ago_s() * 1000)
            told["since"] = link.agent.connected_at
            told["heard_at"] = heard_at
            told["silence_ends_at"] = heard_at + round(self._limits.silence_limit_s * 1000)
        else:
            ends = [self._due("hold", task_id) for task_id in holding.held]
            told["held_until"] = max((end for end in ends if end is not None), default=None)
        return told

    def _work(self, agent_id: str, link: Link | None, holding: Holding) -> Told:
        slots = 0 if link is None else link.agent.slots
        work = Work.AWAY if link is None else work_of(holding, slots)
        pause_ends_at = self._due("pause", agent_id) if holding.paused else None
        quiet_ends_at = self._due("quiet", agent_id) if holding.quiet else None
        since: int | None = None
        if work is Work.UNRESPONSIVE:
            since = self._at(holding.ignored_at)
        elif work is Work.DRAINING and holding.drain is not None:
            since = holding.drain.since
        elif work is Work.PAUSED and pause_ends_at is not None:
            since = pause_ends_at - round(holding.pause_s * 1000)
        elif work is Work.RETURNING and quiet_ends_at is not None:
            since = quiet_ends_at - round(QUIET_S * 1000)
        return {
            "state": work,
            "since": since,
            "slots": None if link is None else slots,
            "running": len(holding.held),
            "answered_at": self._at(holding.answered_at),
            "ignored": holding.ignored,
            "pause_ends_at": pause_ends_at,
            "quiet_ends_at": quiet_ends_at,
            "probe": self._probe(agent_id, holding) if work is Work.UNRESPONSIVE else None,
        }

    def _probe(self, agent_id: str, holding: Holding) -> Told:
        """How an agent that let an offer pass is tried again."""
        told: Told = {
            "state": "waits",
            "task_id": None,
            "at": None,
            "interval_s": holding.probe_s,
        }
        trial = holding.trial
        if trial is not None and self._agenda.left("accept", trial) is not None:
            told.update(state="under_way", task_id=trial)
        elif holding.probing:
            told["state"] = "open"
        else:
            told["at"] = self._due("probe", agent_id)
        return told

    def _task(self, task_id: str, spoken_at: float | None) -> Told:
        task = self._ledger.live[task_id]
        heard_at = self._at(spoken_at)
        if heard_at is None and task.status is Status.WORKING:
            # Only its agent's word leaves a task working, and the row remembers that.
            heard_at = task.updated_at
        told: Told = {
            "task_id": task_id,
            "status": task.status,
            "generation": task.generation,
            "progress": task.progress,
            "assigned_at": task.assigned_at,
            "heard_at": heard_at,
        }
        for kind, name in TASK_LIMITS.items():
            told[name] = self._due(kind, task_id)
        return told

    def _due(self, kind: str, key: str) -> int | None:
        """When an entry of the agenda is due, in Unix milliseconds."""
        left = self._agenda.left(kind, key)
        return None if left is None else self._now() + round(left * 1000)

    def _at(self, seconds: float | None) -> int | None:
        """A time of the agenda's clock in Unix milliseconds."""
        if seconds is None:
            return None
        return self._now() - round((self._agenda.seconds() - seconds) * 1000)
