"""``task_submit``: tasks that come over a WebSocket, and programs that only submit."""

from __future__ import annotations

import json
from typing import Any

from agentcom.core.tokens import AGENT
from agentcom.testing import FakeAgent
from agentcom.ws import submitting
from tests.contract.helpers import held_back, queue
from tests.unit.http.support import HttpCase

Frame = dict[str, Any]


class SubmittingCase(HttpCase):
    """A program that submits, on a hub whose disk is the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.program = self.hub.agent("program", slots=0, presence="none")

    def submit(self, **fields: Any) -> list[Frame]:
        return self.program.say("task_submit", **{"description": "work", **fields})

    def taken(self, **fields: Any) -> str:
        (answer,) = self.submit(**fields)
        self.assertEqual(answer["type"], "task_submitted", answer)
        return str(answer["task_id"])

    def refused(self, answers: list[Frame], code: str, **fields: Any) -> Frame:
        (answer,) = answers
        self.assertEqual((answer["type"], answer.get("error")), ("error", code), answer)
        self.assertEqual(answer["message_type"], "task_submit")
        self.assertEqual({k: answer.get(k) for k in fields}, fields)
        return answer

    def count(self) -> int:
        by_status = self.get("/api/tasks/stats").body["by_status"]
        return sum(by_status.values())


class SubmitTests(SubmittingCase):
    """One frame, one task, one answer."""

    def test_submitted(self) -> None:
        """A task is queued as over HTTP, and answered with its id and the frame's ``ref``."""
        (answer,) = self.submit(
            ref={"my": 1}, priority="high", labels={"zone": {"!=": "us"}}, metadata={"a": [1]}
        )
        self.assertEqual(
            answer, {"type": "task_submitted", "task_id": answer["task_id"], "ref": {"my": 1}}
        )
        task = self.hub.task(answer["task_id"])
        expected = {
            "status": "queued",
            "submitted_by": "program",
            "priority": "high",
            "labels": {"zone": {"!=": "us"}},
            "metadata": {"a": [1]},
            "origin": "submit",
        }
        self.assertEqual({k: task[k] for k in expected}, expected)

    def test_without_ref(self) -> None:
        """Without a ``ref`` the answer has none."""
        (answer,) = self.submit()
        self.assertEqual(set(answer), {"type", "task_id"})

    def test_answer_follows_the_commit(self) -> None:
        """The answer does not leave before the task is on disk, ``pong`` does."""
        self.commits.holding = True
        self.assertEqual(self.submit(ref=1), [])
        self.assertEqual([f["type"] for f in self.program.say("ping")], ["pong"])
        self.commits.release()
        self.hub.settle()
        (answer,) = self.program.of("task_submitted")
        self.assertEqual(answer["ref"], 1)

    def test_many_in_order(self) -> None:
        """Many in one go are answered each, in their order."""
        for number in range(300):
            queue(self.program, "task_submit", description=str(number), ref=number)
        self.hub.settle()
        answers = self.program.of("task_submitted")
        self.assertEqual([a["ref"] for a in answers], list(range(300)))
        self.assertEqual(len({a["task_id"] for a in answers}), 300)
        self.assertEqual(self.hub.task(answers[7]["task_id"])["description"], "7")

    def test_idempotency_key(self) -> None:
        """A key makes a repeated frame the same task, on another line and in one batch too."""
        first = self.taken(idempotency_key="k", ref=1)
        self.assertEqual(self.taken(idempotency_key="k", ref=2), first)
        self.program.vanish()
        self.program = self.hub.agent("program", slots=0)
        self.assertEqual(self.taken(idempotency_key="k"), first)
        self.commits.holding = True
        for ref in (1, 2):
            queue(self.program, "task_submit", description="x", idempotency_key="l", ref=ref)
        self.hub.settle()
        self.commits.release()
        self.hub.settle()
        one, two = self.program.of("task_submitted")[-2:]
        self.assertEqual({one["ref"], two["ref"]}, {1, 2})
        self.assertEqual(one["task_id"], two["task_id"])

    def test_line_that_is_gone(self) -> None:
        """A task whose submitter is gone when it is on disk is there all the same."""
        self.commits.holding = True
        self.submit()
        self.program.vanish()
        self.commits.release()
        self.hub.settle()
        self.assertEqual(self.count(), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_an_agent_may_submit(self) -> None:
        """An agent that works may submit, also what it is given itself."""
        worker = self.hub.agent("worker", presence="none")
        answers = worker.say("task_submit", description="for me", ref=1)
        self.assertEqual({a["type"] for a in answers}, {"task_submitted", "task_assign"})


class RefusalTests(SubmittingCase):
    """What is refused, and what is held against the program."""

    def test_scope(self) -> None:
        """A token without ``submit`` is refused, and told which scope it takes."""
        token = self.hub.token("weak", (AGENT,))
        weak = self.hub.agent("weak", token=token)
        for _ in range(20):
            answers = weak.say("task_submit", description="x", ref=1)
            self.refused(answers, "forbidden", required_scope="submit", ref=1)
        self.assertIsNone(weak.closed)
        self.assertEqual(self.count(), 0)

    def test_conflict(self) -> None:
        """A key that was used for something else is told, with the first task."""
        task_id = self.taken(idempotency_key="k")
        answers = self.submit(idempotency_key="k", priority="low", ref=3)
        self.refused(answers, "idempotency_conflict", task_id=task_id, ref=3)

    def test_refusals_are_not_held_against_it(self) -> None:
        """Conflicts, a full disk and a hub that stops close nothing, however many there are."""
        self.taken(idempotency_key="k")
        for _ in range(12):
            self.refused(self.submit(idempotency_key="k", priority="low"), "idempotency_conflict")
        self.free = 0
        self.hub.advance(61)
        for key in (None, "other"):
            for _ in range(12):
                answers = self.submit(ref=1, idempotency_key=key)
                self.refused(answers, "store_unavailable", ref=1)
        self.free = 2**40
        self.hub.advance(61)
        self.hub.hub.drain()
        for _ in range(12):
            self.refused(self.submit(ref=1), "stopping", ref=1)
        self.assertIsNone(self.program.closed)
        self.assertEqual(self.count(), 1)

    def test_wrong_fields(self) -> None:
        """All wrong fields are told; ten such frames close the line."""
        answers = self.program.say("task_submit", ref=1, priority="huge", backoff={"factor": 0})
        told = self.refused(answers, "validation_failed", ref=1)
        self.assertEqual(
            [(e["field"], e["error"]) for e in told["errors"]],
            [
                ("description", "required"),
                ("priority", "invalid_value"),
                ("backoff.factor", "invalid_value"),
            ],
        )
        for _ in range(8):
            self.refused(self.submit(priority="huge"), "validation_failed")
        self.assertIsNone(self.program.closed)
        self.submit(priority="huge")
        self.assertEqual((self.program.closed or (None,))[0], 1008)

    def test_what_only_the_hub_can_tell(self) -> None:
        """A deadline that is over, and a task that is too large, are wrong fields too."""
        for number in range(10):
            self.assertIsNone(self.program.closed)
            if number % 2:
                told = self.refused(self.submit(deadline=1, ref=1), "validation_failed", ref=1)
                expected = ("deadline", "invalid_value")
            else:
                answers = self.submit(metadata={"x": "y" * (513 * 1024)}, ref=1)
                told = self.refused(answers, "validation_failed", ref=1)
                expected = ("metadata", "too_long")
            self.assertEqual([(e["field"], e["error"]) for e in told["errors"]], [expected])
        self.assertEqual((self.program.closed or (None,))[0], 1008)
        self.assertEqual(self.count(), 0)

    def test_largest(self) -> None:
        """A task of just below 512 KiB is taken."""
        self.taken(metadata={"x": "y" * (511 * 1024)})

    def test_before_identify(self) -> None:
        """Nobody submits before ``identify``."""
        stranger = self.hub.connect()
        (answer,) = stranger.say("task_submit", description="x", ref=1)
        self.assertEqual((answer["error"], answer["ref"]), ("not_identified", 1))

    def test_replaced(self) -> None:
        """On a line that was replaced only reports count."""
        never_closing = self.program
        never_closing.onCloseFrame = lambda code, reason: None
        self.program = self.hub.agent("program", slots=0, presence="none")
        queue(never_closing, "task_submit", description="x")
        self.hub.settle()
        self.assertEqual(self.count(), 0)
        self.assertEqual(never_closing.of("task_submitted"), [])

    def test_a_read_that_fails(self) -> None:
        """A key that cannot be looked up is logged, answered, and held against nobody."""
        self.reads.error = OSError("disk")
        answers = self.submit(idempotency_key="k", ref=1)
        self.reads.error = None
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.refused(answers, "internal_error", ref=1)
        self.assertIsNone(self.program.closed)
        self.taken(idempotency_key="k")


class FullTests(SubmittingCase):
    """A queue that has no more room."""

    settings = {"max_queued": 1}  # noqa: RUF012  # as the base class has it

    def test_queue_full(self) -> None:
        """What does not fit is told, and the line stays open."""
        self.taken()
        for key in (None, "k"):
            for _ in range(12):
                self.refused(self.submit(ref=1, idempotency_key=key), "queue_full", ref=1)
        self.assertIsNone(self.program.closed)
        self.assertEqual(self.count(), 1)


class HeldBackTests(SubmittingCase):
    """A program that submits faster than the disk takes it."""

    def line(self) -> Any:
        return self.hub.parts.factory.agents["program"]

    def test_held_back(self) -> None:
        """Past so many under way nothing more is read from it until some are answered."""
        self.patch(submitting, "UNDER_WAY", 5)
        self.commits.holding = True
        for ref in range(5):
            self.assertFalse(held_back(self.line()))
            self.submit(ref=ref)
        for _ in range(3):
            self.assertTrue(held_back(self.line()))
            self.hub.advance(0.5)
        self.commits.release()
        self.hub.advance(0.5)
        self.assertFalse(held_back(self.line()))
        self.assertEqual([f["ref"] for f in self.program.of("task_submitted")], list(range(5)))
        self.assertEqual(self.submit(ref=9)[0]["ref"], 9)

    def test_refused_ones_count_no_more(self) -> None:
        """What was refused is not under way, at once or later."""
        self.taken(idempotency_key="k")
        self.patch(submitting, "UNDER_WAY", 3)
        weak = self.hub.agent("weak", token=self.hub.token("weak", (AGENT,)))
        for _ in range(8):
            answers = self.submit(idempotency_key="k", priority="low")
            self.refused(answers, "idempotency_conflict")
            self.refused(weak.say("task_submit", description="x"), "forbidden")
        self.free = 0
        self.hub.advance(61)
        for _ in range(8):
            self.refused(self.submit(), "store_unavailable")
        self.assertFalse(held_back(self.line()))
        self.assertFalse(held_back(self.hub.parts.factory.agents["weak"]))


class NoSlotsTests(SubmittingCase):
    """``slots``: 0 in ``identify``."""

    def test_no_offers(self) -> None:
        """A program without slots is offered nothing; an agent that has some gets it."""
        task_id = self.taken()
        self.hub.advance(5)
        self.assertEqual(self.program.of("task_assign"), [])
        worker: FakeAgent = self.hub.agent("worker")
        self.hub.advance(5)
        self.assertEqual([f["task_id"] for f in worker.of("task_assign")], [task_id])

    def test_shown(self) -> None:
        """Everybody can see that it has none."""
        (shown,) = self.get("/api/agents").body["agents"]
        self.assertEqual((shown["slots"], shown["running"], shown["state"]), (0, 0, "idle"))

    def test_a_push_is_an_order(self) -> None:
        """A push goes to it all the same."""
        task_id = self.hub.push("program")
        self.assertEqual([f["task_id"] for f in self.program.of("task_assign")], [task_id])
        (ack,) = self.program.say("task_complete", task_id=task_id, generation=1)
        self.assertEqual(ack["status"], "complete")

    def test_it_may_change_its_mind(self) -> None:
        """With slots in a second ``identify`` it is offered what waits."""
        task_id = self.taken()
        token = self.hub.token("program")
        self.program.say("identify", agent_id="program", token=token, slots=1)
        self.hub.advance(3)
        self.assertEqual([f["task_id"] for f in self.program.of("task_assign")], [task_id])


class WireTests(SubmittingCase):
    """The frame itself."""

    def test_odd_frames(self) -> None:
        """Null fields and unknown ones do no harm; ``ref`` comes back as it was sent."""
        text = (
            b'{"type":"task_submit","description":"x","agent_id":null,"labels":null,'
            b'"future":[1,2],"ref":{"a": 1.50}}'
        )
        before = len(self.program.frames)
        self.program.say_text(text)
        (answer,) = self.program.frames[before:]
        self.assertEqual(answer["type"], "task_submitted")
        self.assertEqual(json.dumps(answer["ref"]), '{"a": 1.5}')
