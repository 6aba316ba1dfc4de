"""The older client: what it remembers, and what it says.  Its command is a Deferred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from agentcom.chaos import command, oldstyle
from agentcom.chaos.oldstyle import OldAgent
from agentcom.testing import MemoryHub

Frame = Mapping[str, Any]
ASSIGN = {"type": "task_assign", "task_id": "t", "generation": 1, "description": "d"}


class OldAgentTests(SynchronousTestCase):
    """One agent, over several lines."""

    def make(self, generation: int | None = None) -> OldAgent:
        self.runs: list[Deferred[tuple[bytes, bytes, int]]] = []
        self.refused: list[Frame] = []
        self.said: list[Frame] = []

        def run(frame: Frame) -> Deferred[tuple[bytes, bytes, int]]:
            self.runs.append(Deferred())
            return self.runs[-1]

        return OldAgent({"agent_id": "a"}, generation, run, self.refused.append)

    def connect(self, agent: OldAgent) -> None:
        self.said.clear()
        agent.connected(self.said.append)
        agent.received({"type": "identified"})

    def test_reports(self) -> None:
        """It says nothing of a generation, or 0, and names the attempt in its result only."""
        for generation, told in ((None, {}), (0, {"generation": 0})):
            agent = self.make(generation)
            self.connect(agent)
            agent.received({**ASSIGN, "generation": 4})
            self.runs[0].callback((b"", b"", 0))
            result = {"by": "a", "generation": 4}
            self.assertEqual(
                self.said,
                [
                    {"type": "identify", "agent_id": "a"},
                    {"type": "task_accepted", "task_id": "t", **told},
                    {"type": "task_complete", "task_id": "t", "result": result, **told},
                ],
            )

    def test_sees_no_fence(self) -> None:
        """That the sink refused its work is success to it; any other failure is none."""
        agent = self.make()
        self.connect(agent)
        for code in (command.SUPERSEDED, command.FAILED):
            agent.received(ASSIGN)
            self.runs[-1].callback((b"", b"", code))
        agent.received(ASSIGN)
        self.runs[-1].errback(OSError("no such command"))
        kinds = [frame["type"] for frame in self.said if frame["type"] != "task_accepted"]
        self.assertEqual(kinds, ["identify", "task_complete", "task_failed", "task_failed"])

    def test_says_it_later(self) -> None:
        """What ended while the line was down is said after the next identified, once."""
        agent = self.make()
        self.connect(agent)
        agent.received(ASSIGN)
        agent.lost()
        self.runs[0].callback((b"", b"", 0))
        self.connect(agent)
        self.assertEqual([f["type"] for f in self.said], ["identify", "task_complete"])
        agent.lost()
        self.connect(agent)
        self.assertEqual([f["type"] for f in self.said], ["identify"])

    def test_keeps_a_bounded_number(self) -> None:
        """Of too many unsaid reports the oldest are forgotten."""
        self.patch(oldstyle, "MOST_UNSAID", 2)
        agent = self.make()
        self.connect(agent)
        for number in range(3):
            agent.received({**ASSIGN, "task_id": f"t{number}"})
        agent.lost()
        for run in self.runs:
            run.callback((b"", b"", 0))
        self.connect(agent)
        self.assertEqual([f.get("task_id") for f in self.said], [None, "t1", "t2"])

    def test_no_second_run(self) -> None:
        """A task that it works on is not begun again; one that it has forgotten is."""
        agent = self.make()
        self.connect(agent)
        agent.received(ASSIGN)
        agent.received(ASSIGN)
        self.assertEqual(len(self.runs), 1)
        self.runs[0].callback((b"", b"", 0))
        agent.received(ASSIGN)
        self.assertEqual(len(self.runs), 2)

    def test_refusals(self) -> None:
        """Refused reports are told; other errors are not."""
        agent = self.make()
        self.connect(agent)
        agent.received({"type": "error", "error": "not_assignee", "task_id": "t"})
        agent.received({"type": "error", "error": "invalid_json"})
        self.assertEqual([frame["error"] for frame in self.refused], ["not_assignee"])

    def test_with_a_hub(self) -> None:
        """A hub takes its words: a task that is pushed to it is completed."""
        hub = MemoryHub()
        line = hub.connect()
        agent = self.make()
        said: list[Frame] = []
        agent = OldAgent(
            {"agent_id": "a", "token": hub.token("a")}, None, agent._run, self.refused.append
        )
        agent.connected(said.append)

        def talk() -> None:
            while said:
                frame = dict(said.pop(0))
                for answer in line.say(frame.pop("type"), **frame):
                    agent.received(answer)

        talk()
        task_id = hub.push("a")
        agent.received(line.of("task_assign")[0])
        talk()
        self.runs[0].callback((b"", b"", 0))
        talk()
        self.assertEqual(hub.task(task_id)["status"], "completed")
        self.assertEqual(hub.task(task_id)["result"], {"by": "a", "generation": 1})
