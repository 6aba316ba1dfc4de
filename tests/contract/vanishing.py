"""Plays one row of the table of disconnects.

An agent's program reacts to what it hears as the documentation tells agents
to, with one exception: told to abort, it reports its end all the same, for
work cannot always be stopped, and the fence must hold then too.

Time passes only in :meth:`Play.wait`, which lets both agents react each second.
"""

from __future__ import annotations

from typing import Any

from agentcom.testing import FakeAgent, MemoryHub
from tests.contract.disconnecting import Back, Case, Generation, Says, Step, Then, Who
from tests.contract.helpers import Frame, enqueue, history, mute, restarted

SILENCE_S = 60 + 20 + 5
"""Seconds until a hub has surely noticed a dead line and closed it."""

LOST_FOR_EVER_S = 3_700
"""More than ``recover_timeout_s``."""

ENDS = ("task_complete", "task_failed")
PRESENCE = ("agent_joined", "agent_left", "status_changed")


class Program:
    """What an agent's process does of itself.

    :ivar told: what it heard, in words of the table.
    :ivar has: generation of the task that it has, ``None`` without one.
    :ivar outbox: the report of an end that was not acknowledged.
    :ivar settled: results that it was told are accepted.
    """

    def __init__(self, name: str, generation: Generation = Generation.SENT) -> None:
        self.name = name
        self.generation = generation
        self.line: FakeAgent
        self.told: list[str] = []
        self.task_id = ""
        self.has: int | None = None
        self.run: str | None = None
        self.runs = 0
        self.outbox: Frame | None = None
        self.settled: set[str] = set()
        self.busy = False
        self._read = 0

    def connect(self, hub: MemoryHub, names_it: bool = False) -> None:
        """A new line; whatever was not read on the old one is lost."""
        fields: Frame = {"presence": "none"}
        if names_it:
            mention = {"task_id": self.task_id, **self.token()}
            fields = {"tasks": [mention] if self.has else []}
        self.line = hub.agent(self.name, **fields)
        self._read = 0
        self.told = []

    def token(self) -> Frame:
        """The generation, as this client sends it."""
        if self.generation is Generation.ABSENT:
            return {}
        sent = self.generation is Generation.SENT
        return {"generation": self.has if sent else 0}

    def say(self, type: str, **fields: Any) -> None:
        """A report on its task."""
        self.line.say(type, task_id=self.task_id, **self.token(), **fields)

    def begin(self) -> None:
        """Begin to work, unless it does."""
        if self.run is None:
            self.runs += 1
            self.run = f"{self.name}{self.runs}"

    def end(self, type: str = "task_complete") -> None:
        """The work has ended; the report is not sent yet."""
        self.begin()
        told = {"result": self.run} if type == "task_complete" else {"error": "broken"}
        self.outbox = {"type": type, "ref": self.run, **told}

    def send(self) -> None:
        """Send what was not acknowledged."""
        if self.outbox is not None:
            self.say(**self.outbox)

    def forget(self) -> None:
        """It has no task."""
        self.has = self.run = self.outbox = None

    def name_it(self, says: Says) -> None:
        """Say that it has the task."""
        if self.has is None:
            return
        if says is Says.STATE:
            self.say("state_report", status="working")
        elif says.recovers:
            self.say("task_recovering", last_status=says.value)

    def hear(self) -> None:
        """Read what came, and react."""
        while self._read < len(self.line.frames):
            frame = self.line.frames[self._read]
            self._read += 1
            if frame["type"] not in PRESENCE:
                self.told.append(_word(frame))
                self._react(frame)

    def _react(self, frame: Frame) -> None:
        type = frame["type"]
        if type == "task_assign":
            self._assigned(frame)
        elif type == "task_ack" and frame["status"] in ("complete", "failed"):
            if frame["status"] == "complete":
                self.settled.add(frame["ref"])
            self.forget()
        elif type == "task_cancelled":
            if frame["generation"] == self.has:
                self.forget()
        elif type == "task_reassign" or frame.get("message_type") in ENDS:
            self.forget()

    def _assigned(self, frame: Frame) -> None:
        # Old clients know tasks by their id alone.
        same = self.generation is not Generation.SENT or self.has == frame["generation"]
        if self.has is not None and not same:
            self.forget()
        self.task_id, self.has = frame["task_id"], frame["generation"]
        if self.busy:
            self.busy = False
            self.say("task_rejected", reason="busy")
        else:
            self.begin()
            self.say("task_accepted")


class Play:
    """One row, played.

    :ivar early: what the agent was told in its first 3 s.
    :ivar closes: the codes with which the hub closed the half-open line.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.hub = MemoryHub()
        self.agent = Program("a", case.generation)
        self.other = Program("b")
        self.closes: list[int] = []
        self.early: tuple[str, ...] = ()
        self._here: list[Program] = []
        self._first_life()
        self._vanish()
        self._away()
        if case.back is not Back.NEVER:
            self._return()
        self._finish()

    @property
    def here(self) -> list[Program]:
        """The agents that are connected in the end."""
        return self._here

    @property
    def task(self) -> Frame:
        """The task, as the API shows it."""
        return self.hub.task(self.agent.task_id)

    def events(self) -> str:
        """The task's events, in words of the table."""
        return " ".join(_event(event) for event in history(self.hub, self.agent.task_id))

    def wait(self, seconds: int, step: int = 1) -> None:
        """Let time pass; whoever is here reacts."""
        self._hear()
        for _ in range(0, seconds, step):
            self.hub.advance(step, step=1)
            self._hear()

    def _hear(self) -> None:
        for program in self._here:
            program.hear()

    def _first_life(self) -> None:
        agent, terms, step = self.agent, self.case.terms, self.case.step
        agent.connect(self.hub)
        if terms.push:
            agent.task_id = self.hub.push("a")
        else:
            agent.task_id = enqueue(self.hub, **terms.body())
        if step is Step.ASSIGNMENT_LOST:
            return
        agent.has = 1
        if step is Step.OFFERED:
            return
        if step is Step.REJECTED:
            agent.say("task_rejected", reason="not now")
            agent.forget()
            return
        agent.begin()
        agent.say("task_accepted")
        if step is Step.PROGRESS:
            agent.say("task_progress", progress=0.5)
            self.hub.advance(0.5)
        elif step is Step.FAILURE_UNHEARD:
            agent.end("task_failed")
            agent.send()
        elif step in (Step.RESULT_LOST, Step.RESULT_LATE):
            agent.end()
        elif step in (Step.RESULT_UNHEARD, Step.RESULT_ACKED):
            agent.end()
            agent.send()
        elif step is Step.QUIET:
            agent.line.vanish()
            self.hub.advance(1)
            agent.connect(self.hub)
            self.hub.advance(1)
        elif step is Step.DRAINING:
            agent.line.say("drain")
        elif step is Step.SUPERSEDED:
            self._supersede()
        if step is Step.RESULT_ACKED:
            agent.forget()

    def _supersede(self) -> None:
        """A newer run of the agent's own; what speaks after it is the older one."""
        agent = self.agent
        agent.end()
        agent.line.vanish()
        self.hub.advance(self.case.terms.hold_s + 1)
        agent.connect(self.hub)
        self.hub.advance(3)
        agent.runs += 1
        agent.line.say("task_accepted", task_id=agent.task_id, generation=2)

    def _vanish(self) -> None:
        who, agent = self.case.who, self.agent
        if who.hub_dies:
            self.hub = restarted(self.hub)
        elif who is Who.HALF_OPEN:
            mute(agent.line)
            agent.line.onCloseFrame = lambda code, reason: self.closes.append(code)
        else:
            agent.line.vanish()
        # What was heard of and not accepted is in no journal.
        if who.forgets or (who.has_journal and self.case.step is Step.OFFERED):
            agent.forget()

    def _away(self) -> None:
        back, terms = self.case.back, self.case.terms
        if self.case.step is Step.CANCELLED:
            self.hub.request("POST", f"/api/tasks/{self.agent.task_id}/cancel")
        if back is Back.AT_ONCE:
            return
        if not back.alone:
            self.other.connect(self.hub)
            self._here.append(self.other)
        noticed = SILENCE_S if self.case.who is Who.HALF_OPEN else 0
        self.wait(10 if back is Back.IN_HOLD else noticed + terms.hold_s + 5)
        if back is Back.NEVER:
            self.wait(60)
        elif back is Back.ENDED:
            self._end(self.other)

    def _return(self) -> None:
        case, agent = self.case, self.agent
        older, late = agent.line, case.step is Step.RESULT_LATE
        report = {"task_id": agent.task_id, **agent.token(), **(agent.outbox or {})}
        if late:
            # It believes that it has said it.
            agent.forget()
        agent.connect(self.hub, case.says is Says.IDENTIFY)
        agent.busy = case.then is Then.BUSY
        self._here.append(agent)
        if late:
            older.say(**report)
        agent.name_it(case.says)
        agent.send()
        self.wait(3)
        self.early = tuple(agent.told)
        if case.then is Then.BUSY:
            self.wait(61)
        elif case.then is Then.SILENT:
            self.wait(LOST_FOR_EVER_S, step=10)
        else:
            self._end(agent)

    def _finish(self) -> None:
        """Whoever has something ends it; longer than any pause or backoff."""
        for _ in range(4):
            if self.case.then is not Then.SILENT:
                self._end(self.agent)
            self._end(self.other)
            self.wait(20, step=5)

    def _end(self, program: Program) -> None:
        if program in self._here and program.has is not None:
            program.end()
            program.send()
            program.hear()


def _word(frame: Frame) -> str:
    """A frame, in one word of the table."""
    type = frame["type"]
    if type == "identified":
        return ":".join(["identified", *(task["action"] for task in frame.get("tasks", ()))])
    if type == "task_assign":
        return f"assign:{frame['generation']}/{frame['attempt']}"
    if type == "task_ack":
        return ":".join(filter(None, [frame["status"], frame.get("outcome")]))
    if type == "task_continue":
        return f"continue:{frame['generation']}"
    if type == "state_report_ack":
        return f"state:{frame['action']}"
    if type == "task_cancelled":
        return f"stop:{frame['reason']}"
    if type == "task_reassign":
        return "reassign"
    if type == "error":
        return ":".join(filter(None, ["refused", frame["error"], frame.get("status")]))
    return str(type)


_DETAIL = {
    "task_requeued": "reason",
    "task_dead_letter": "reason",
    "task_failed": "error",
    "task_recovering": "outcome",
}


def _event(event: Frame) -> str:
    """An event, in one word of the table."""
    name = event["event"]
    word = name.removeprefix("task_")
    if name == "task_assigned":
        return f"{word}:{event['agent_id']}"
    if name in _DETAIL:
        return f"{word}:{event['payload'][_DETAIL[name]]}"
    return str(word)
