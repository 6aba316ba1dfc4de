"""The axes of the table of disconnects, and what a row of it is.

The rows are in ``disconnected_agents`` and ``disconnected_hubs``, what is done
with them in ``vanishing``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


class Who(Enum):
    """Who vanished.

    An agent with a journal knows after its death what it had accepted, and its
    work goes on meanwhile; one without begins life anew.
    """

    AGENT = "the agent's process, which forgets everything"
    JOURNAL = "the agent's process, which has a journal"
    LINE = "the line alone"
    HALF_OPEN = "the line, and the hub has not noticed"
    HUB = "the hub, which is started again"
    BOTH = "the hub, and the agent's process, which forgets everything"
    BOTH_JOURNAL = "the hub, and the agent's process, which has a journal"

    @property
    def hub_dies(self) -> bool:
        return self in (Who.HUB, Who.BOTH, Who.BOTH_JOURNAL)

    @property
    def forgets(self) -> bool:
        return self in (Who.AGENT, Who.BOTH)

    @property
    def has_journal(self) -> bool:
        return self in (Who.JOURNAL, Who.BOTH_JOURNAL)


class Step(Enum):
    """At which step."""

    ASSIGNMENT_LOST = "assigned, and the frame was lost with the line"
    OFFERED = "it heard of the task and said nothing yet"
    ACCEPT_UNHEARD = "it accepted; the acknowledgement was lost"
    WORKING = "it works, acknowledged"
    PROGRESS = "it has told progress"
    RESULT_LOST = "its result never arrived"
    RESULT_LATE = "its result arrives on the old line after it has a new one"
    RESULT_UNHEARD = "its result arrived; the acknowledgement was lost"
    RESULT_ACKED = "its result was acknowledged"
    FAILURE_UNHEARD = "it told that it failed; the acknowledgement was lost"
    REJECTED = "it rejected the task"
    CANCELLED = "it works, and the task is cancelled while it is away"
    QUIET = "it was away before, and is in the two quiet seconds"
    DRAINING = "it works and is draining"
    SUPERSEDED = "it was away for too long before and has it anew, and its older run has ended"


class Back(Enum):
    """When it is back; but for two of them another agent has come meanwhile."""

    AT_ONCE = "before any time has passed, with nobody else there"
    IN_HOLD = "while the task is held"
    AFTER_HOLD = "after the hold, with nobody else there"
    REASSIGNED = "after another agent was given the task"
    ENDED = "after that other agent has completed it"
    NEVER = "never"

    @property
    def alone(self) -> bool:
        return self in (Back.AT_ONCE, Back.AFTER_HOLD)


class Generation(Enum):
    """What its reports carry; the value is what old clients send."""

    ABSENT = None
    ZERO = 0
    SENT = "the current one"


class Says(Enum):
    """How it names the task that it has when it is back; ``last_status`` is the value."""

    NOTHING = "it does not"
    IDENTIFY = "identify.tasks"
    STATE = "state_report"
    RECOVERING = None
    WORKING = "working"
    ACCEPTED = "accepted"
    WAKING = "waking"
    CONFIRMING = "waking_confirmation"

    @property
    def recovers(self) -> bool:
        return self not in (Says.NOTHING, Says.IDENTIFY, Says.STATE)


class Then(Enum):
    """What follows once it is back."""

    ENDS = "it ends what it has"
    BUSY = "it is too busy for what is sent again, the first time"
    SILENT = "nothing is heard of the task any more"


class Terms(NamedTuple):
    """What was asked for with the task; durations in seconds.

    :ivar backoff_s: between a failure and the next attempt, half of it by chance.
    """

    hold_s: int = 30
    on_disconnect: str = "requeue"
    max_attempts: int = 3
    accept_timeout_s: int = 60
    backoff_s: int = 1
    push: bool = False

    def body(self) -> dict[str, Any]:
        """The fields of a submission."""
        fields = self._asdict()
        del fields["push"]
        return {**fields, "backoff": {"initial_s": fields.pop("backoff_s")}}


USUAL = Terms()


class End(NamedTuple):
    """The task in the end, as the API shows it.

    :ivar result: ``a1`` is what the first run of agent ``a`` made.
    """

    status: str
    agent_id: str
    generation: int
    attempts: int
    result: str | None = None


@dataclass(frozen=True)
class Case:
    """One row: what happens, and what the contract says must come of it.

    :ivar told: what the agent is told on its new line, in order.
    :ivar other: what the other agent is told, in order.
    :ivar events: of the task, in order.
    """

    name: str
    who: Who
    step: Step
    back: Back
    generation: Generation
    says: Says
    told: str
    other: str
    end: End
    events: str
    terms: Terms = USUAL
    then: Then = Then.ENDS

    @property
    def given(self) -> tuple[object, ...]:
        """What happens, without what must come of it."""
        client = (self.generation, self.says, self.then)
        return (self.who, self.step, self.back, *client, self.terms)
