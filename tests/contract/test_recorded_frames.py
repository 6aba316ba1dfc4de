"""The recorded frames of two older sidecars, replayed to this hub.

Whatever they said to the hub that they were recorded with is said here, at
the same moments, with the task ids that this hub gave.  What the recorded
hub did not know, this one must serve as PROTOCOL.md says.
"""

import json
from pathlib import Path
from typing import Any

from agentcom.testing import STARTED_AT, FakeAgent, MemoryHub
from tests.contract.helpers import Frame, HubTests

FIXTURES = Path(__file__).parents[1] / "fixtures"

WAITED_FOR = {
    "identify": ("identified", None),
    "task_accepted": ("task_ack", "accepted"),
    "task_rejected": ("task_ack", "rejected"),
    "task_complete": ("task_ack", "complete"),
    "task_recovering": ("task_reassign", None),
    "ping": ("pong", None),
}
"""From each type that the sidecars send to type and status of its reply."""

LACKED = ("task_rejected", "wake_result", "resource_report")
"""What the recorded hub did not know."""


def recorded(name: str) -> list[dict[str, Any]]:
    """The lines of a recording."""
    text = (FIXTURES / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


class Replay:
    """One recording, replayed.

    :param echo: the sidecar gives back the generation that it was assigned,
        where it sends one.
    :ivar said: each frame of the agent with what came in return.
    :ivar tasks: from description to task id.
    :ivar assigned: from description to the first assignment.
    """

    def __init__(self, hub: MemoryHub, name: str, echo: bool = False) -> None:
        self._hub = hub
        self._echo = echo
        self._ids: dict[str, str] = {}
        self._agent: FakeAgent | None = None
        self._connection = 0
        self.said: list[tuple[Frame, list[Frame]]] = []
        self.tasks: dict[str, str] = {}
        self.assigned: dict[str, Frame] = {}
        for line in recorded(name):
            self._reach(line["t_ms"])
            if line["from"] == "agent":
                self._speak(line["connection"], line["frame"])
            elif line["frame"]["type"] == "task_assign":
                self._push(line["frame"])

    @property
    def agent(self) -> FakeAgent:
        """The connection of now."""
        assert self._agent is not None
        return self._agent

    def _reach(self, t_ms: int) -> None:
        passed = self._hub.clock.seconds() - STARTED_AT
        self._hub.advance(max(0.0, t_ms / 1000 - passed))

    def _push(self, frame: Frame) -> None:
        task_id = self._hub.push("side-1", frame["description"], metadata=frame["metadata"])
        self._ids[frame["task_id"]] = task_id
        self.tasks[frame["description"]] = task_id
        self.assigned[frame["description"]] = self.agent.of("task_assign")[-1]

    def _speak(self, connection: int, frame: Frame) -> None:
        if connection != self._connection:
            if self._agent is not None:
                self._agent.vanish()
            self._connection = connection
            self._agent = self._hub.connect()
        said = dict(frame)
        if said.get("token") == "TOKEN":
            said["token"] = self._hub.token("side-1")
        if said.get("task_id") in self._ids:
            said["task_id"] = self._ids[said["task_id"]]
        if self._echo and "generation" in said:
            assigned = [f for f in self.agent.of("task_assign") if f["task_id"] == said["task_id"]]
            said["generation"] = assigned[-1]["generation"]
        answers = self.agent.say_text(json.dumps(said).encode())
        self.said.append((said, answers))


class Recording:
    """What holds for each recording; mixed into a test of one."""

    name: str
    echo = False

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.replay = Replay(self.hub, self.name, self.echo)
        self.agent = self.replay.agent

    def test_all_was_said(self: Any) -> None:
        """Every frame of the sidecar was replayed, on both of its connections."""
        lines = [line for line in recorded(self.name) if line["from"] == "agent"]
        self.assertEqual(
            [s["type"] for s, _ in self.replay.said], [x["frame"]["type"] for x in lines]
        )
        self.assertEqual({line["connection"] for line in lines}, {1, 2})

    def test_no_errors(self: Any) -> None:
        """No frame of it is answered with an error, and its line is never closed."""
        for frame, answers in self.replay.said:
            self.assertNotIn("error", [a["type"] for a in answers], (frame, answers))
        self.assertIsNone(self.agent.closed)

    def test_each_reply(self: Any) -> None:
        """Each frame gets the one reply of section 3.1, or none where it has none."""
        for frame, answers in self.replay.said:
            replies = [(a["type"], a.get("status")) for a in answers if a["type"] != "task_assign"]
            wanted = WAITED_FOR.get(frame["type"])
            self.assertEqual(replies, [] if wanted is None else [wanted], frame)
            for answer in answers:
                if "task_id" in answer and answer["type"] != "task_assign":
                    self.assertEqual(answer["task_id"], frame["task_id"])

    def test_as_the_recorded_hub(self: Any) -> None:
        """What the recorded hub could serve is served the same here."""
        then = [
            {k: v for k, v in line["frame"].items() if k not in ("task_id", "timestamp")}
            for line in recorded(self.name)
            if line["from"] == "hub" and line["frame"]["type"] not in ("task_assign", "error")
        ]
        now = [
            answer
            for frame, answers in self.replay.said
            for answer in answers
            if frame["type"] not in LACKED and answer["type"] != "task_assign"
        ]
        for answer, wanted in zip(now, then, strict=True):
            self.assert_fields(answer, **wanted)

    def test_assignments(self: Any) -> None:
        """Each assignment has at least what the recorded one had."""
        for line in recorded(self.name):
            then = line["frame"]
            if then["type"] == "task_assign":
                now = self.replay.assigned[then["description"]]
                self.assertTrue(set(now) >= set(then))
                self.assert_fields(now, metadata=then["metadata"], generation=1, attempt=1)

    def test_finished(self: Any) -> None:
        """What it completed is completed, with its result, at the first attempt."""
        for description in ("first", "bad wake"):
            self.assert_task(
                self.replay.tasks[description],
                status="completed",
                result={"status": "success", "output": "ok"},
                generation=1,
                attempts=1,
            )

    def test_rejected(self: Any) -> None:
        """What it was too busy for is not lost: it was sent again when it was free."""
        task_id = self.replay.tasks["while busy"]
        self.assert_task(task_id, status="assigned", agent_id="side-1", generation=2, attempts=1)
        names = self.hub.events_of(task_id)
        self.assertEqual(names[2:], ["task_rejected", "task_requeued", "task_assigned"])

    def test_recovered(self: Any) -> None:
        """What it had not begun when it was killed waits for it, with no attempt spent."""
        task_id = self.replay.tasks["crash me"]
        self.assert_task(task_id, status="queued", attempts=0)
        names = self.hub.events_of(task_id)
        self.assertEqual(names[3:], ["task_recovering", "task_requeued"])

    def test_goes_on(self: Any) -> None:
        """The sidecar can end what is left, one task after the other."""
        for description in ("while busy", "crash me"):
            task_id = self.replay.tasks[description]
            sent = [f["task_id"] for f in self.agent.of("task_assign")]
            self.assertIn(task_id, sent)
            for type in ("task_accepted", "task_complete"):
                self.assertEqual(self.agent.say(type, task_id=task_id)[0]["type"], "task_ack")
            self.assert_task(task_id, status="completed", attempts=1)


class OlderSidecar1Tests(Recording, HubTests):
    """A sidecar that never sends a generation."""

    name = "older-sidecar-1.jsonl"


class OlderSidecar2Tests(Recording, HubTests):
    """A sidecar that sends the generation 0, and reports on itself."""

    name = "older-sidecar-2.jsonl"

    def test_reports_on_itself(self) -> None:
        """What it says of its machine and its wakes is shown with it."""
        shown = self.hub.request("GET", "/api/agents/side-1").body
        self.assert_fields(shown["resource_report"], cpu_percent=1.5, vram_used_bytes=None)
        self.assert_fields(shown["wake_result"], status="success", attempt=1)


class OlderSidecar2EchoingTests(OlderSidecar2Tests):
    """The same sidecar, giving back the generation that this hub told it."""

    echo = True
