"""A hub, its agents and its disk; what the rules of the machine act on.

The hub is the real one from the session layer down.  It dies and is born
anew on the same disk; the record of what was seen lives on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from agentcom.core.ids import hash_token
from agentcom.core.state import Status
from agentcom.core.tokens import DEFAULT_SCOPES, Token
from agentcom.errors import AgentComError
from tests.model import limits, memory
from tests.model.disk import Disk
from tests.model.drained import Drained
from tests.model.lines import ModelLine
from tests.model.lives import RETAIN_S, Lives
from tests.model.promises import Promises, demand
from tests.model.record import Said

AGENTS = ("ann", "bob", "cid")
FINE = ("the hub ends to recover from disk", "cannot reuse already awaited coroutine")
"""What may be logged: a hub that gives up, as it should, and one that is cleared away."""

ENDING = frozenset({"task_complete", "task_failed"})


def token_of(agent_id: str) -> str:
    """The one token of an agent."""
    return f"{agent_id:0>64}"


def tokens() -> list[Token]:
    """What the disk has of tokens from the start."""
    return [
        Token(
            hash=hash_token(token_of(agent_id)),
            agent_id=agent_id,
            prefix="",
            scopes=DEFAULT_SCOPES,
            created_at=0,
        )
        for agent_id in AGENTS
    ]


class World(Lives):
    """One example's world.

    :param log: errors that were logged since the last call.
    :ivar lines: the newest line of each agent that is here.
    :ivar older: lines that were replaced and are not down yet.
    :ivar drained: what operators were told of drains.
    """

    def __init__(self, disk: Disk, log: Callable[[], list[str]]) -> None:
        self._log = log
        self._refs = 0
        self._failures: list[Failure] = []
        self.drained = Drained()
        super().__init__(disk)
        self.promises = Promises(disk, self.record, RETAIN_S)

    def boot(self, at: float) -> None:
        """A hub begins, and nobody is there."""
        self._left: dict[str, float] = {}
        self.lines: dict[str, ModelLine] = {}
        self.older: list[ModelLine] = []
        super().boot(at)
        self.offers.drained = self.drained.born(self.hub, AGENTS)

    def stop(self, away_s: float) -> None:
        """The hub is stopped in good order, and begins again."""
        drained = self.hub.drain()
        if not self.be_well():
            return
        demand(drained.called, "the hub stops and does not come to an end")
        self.hub.stop()
        for line in [*self.lines.values(), *self.older]:
            line.fall()
        self.be_well()
        self.check()
        self.disk.crash(False)
        self.boot(self.clock.seconds() + away_s)

    # -- agents ---------------------------------------------------------------

    def connect(self, agent_id: str, told: dict[str, Any]) -> ModelLine:
        """An agent identifies on a new line."""
        line = ModelLine(agent_id, self.hub, self.clock, self.record.hear)
        self.offers.came(agent_id)
        replaced = self.lines.get(agent_id)
        self.identify(line, told)
        demand(self.hub.roster.get(agent_id) is line, f"{agent_id} is not let in")
        if replaced is not None:
            demand(replaced.closed == 4001, f"{agent_id} was replaced, not {replaced.closed}")
            self.older.append(replaced)
        self.lines[agent_id] = line
        self._left.pop(agent_id, None)
        return line

    def identify(self, line: ModelLine, told: dict[str, Any]) -> None:
        """An agent says who it is, and what it has."""
        line.told = told
        if told.get("tasks"):
            self.offers.spoke(line.agent_id)
        who = {"agent_id": line.agent_id, "token": token_of(line.agent_id), "presence": "none"}
        line.say({"type": "identify", **who, **told})
        self.settle()

    def vanish(self, agent_id: str) -> None:
        """An agent's line breaks."""
        self.lines.pop(agent_id).fall()
        self._left[agent_id] = self.clock.seconds()
        self.settle()

    def report(
        self, line: ModelLine, kind: str, task_id: str, generation: int | None, **fields: Any
    ) -> None:
        """An agent reports on a task."""
        self._refs += 1
        said = Said(
            line.agent_id,
            kind,
            task_id,
            generation,
            fields.get("result"),
            self._must_count(line.agent_id, kind, task_id, generation),
        )
        self.record.said[self._refs] = said
        self.offers.spoke(line.agent_id)
        frame = {"type": kind, "task_id": task_id, "ref": self._refs, **fields}
        if generation is not None:
            frame["generation"] = generation
        line.say(frame)
        self.settle()
        self._takes_work(said)

    def _takes_work(self, said: Said) -> None:
        """Who has just spoken of a task of its own is not taken for one that takes no work."""
        goes_on = any(
            about is said and (reply.get("action") == "continue" or said.counts)
            for about, reply in self.record.replies
            # A failure may only repeat what was said before.
            if said.kind != "task_failed"
        )
        holding = self.hub.dispatch.holdings.get(said.agent_id)
        if goes_on and self.settled and holding is not None:
            demand(not holding.unresponsive, f"{said} was taken for nothing")

    def _must_count(self, agent_id: str, kind: str, task_id: str, generation: int | None) -> bool:
        task = self.disk.task(task_id)
        if task is None or not self.settled or task.agent_id != agent_id:
            return False
        if generation not in (None, 0, task.generation):
            return False
        held = task.status.held
        if kind == "task_accepted":
            return held
        return kind in ENDING and (held or task.status is Status.QUEUED)

    # -- the rest of the world --------------------------------------------------

    def ask(
        self,
        wanted: Callable[[], Awaitable[Any]],
        answered: Callable[[Any], None],
        refused: Callable[[AgentComError], None] = lambda _: None,
    ) -> None:
        """Somebody asks the hub for something.

        :param answered: judges the answer, after the next look at the disk.
        :param refused: judges the refusal, in the same way.
        """

        hub = self.hub

        async def asked() -> None:
            try:
                found = await wanted()
            except AgentComError as e:
                error = e
                if hub is self.hub:
                    self.record.answers.append(lambda: refused(error))
            else:
                if hub is self.hub:
                    self.record.answers.append(lambda: answered(found))

        def failed(failure: Failure) -> None:
            # What a dead hub had under way ends somehow when it is cleared away.
            if hub is self.hub:
                self._failures.append(failure)

        Deferred.fromCoroutine(asked()).addErrback(failed)
        self.settle()

    # -- judgement ------------------------------------------------------------

    def check(self) -> None:
        """Everything that was promised holds."""
        self.bury()
        logged = [text for text in self._log() if not any(fine in text for fine in FINE)]
        demand(not logged, f"the hub logged {logged}")
        if self._failures:
            self._failures[0].raiseException()
        demand(not self.offers.broken, "; ".join(self.offers.broken))
        self.promises.check(self.hub.now())
        if self.settled:
            draining = self.offers.draining | self.offers.drained
            memory.agrees(self.hub, self.record.tasks, draining, self.offers.standstill)

    def check_times(self) -> None:
        """Nothing is over its time; to be asked when time has passed."""
        if not self.settled or self.disk.late or self.disk.slow or self.store.trouble():
            return
        now = self.clock.seconds()
        absent = {
            agent_id: now - max(self.booted_at, self._left.get(agent_id, 0.0))
            for agent_id in AGENTS
            if agent_id not in self.lines
        }
        limits.kept(self.record, self.hub.now(), absent)
        self.drained.kept(self.hub)
