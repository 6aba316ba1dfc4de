"""The desk: what is run, and what is said, over lost lines and second thoughts.

Runs are played by ``FakeWork``, the session by a list of frames; time is a
``Clock``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.sidecar.desk import Desk
from agentcom.sidecar.jobs import BATCH_S, which
from agentcom.sidecar.output import Note
from agentcom.sidecar.runner import Outcome
from tests.unit.sidecar.fakes import FakeWork, FakeWorkshop, database, memory_journal


def assign(task_id: str = "task-1", generation: int = 1) -> dict[str, Any]:
    """What the hub says when it hands out a task."""
    return {"type": "task_assign", "task_id": task_id, "generation": generation}


class DeskTestCase(SynchronousTestCase):
    slots = 1

    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[Any] = []
        self.db = database()
        self.begin()
        self.desk.online(self.said.append, [])

    def begin(self, left: Collection[tuple[str, int]] = ()) -> None:
        """A process of the agent, which may find what an earlier one left."""
        self.workshop = FakeWorkshop(left)
        self.works = self.workshop.works
        self.journal = memory_journal(self.db)
        self.desk = Desk(self.slots, self.journal, self.workshop, self.clock)
        self.desk.take_up()

    def hear(self, kind: str, **fields: Any) -> None:
        self.desk.received(kind, {"type": kind, "task_id": "task-1", **fields})

    def heard_assign(self, task_id: str = "task-1", generation: int = 1) -> None:
        self.desk.received("task_assign", assign(task_id, generation))

    def ack(self, status: str, ref: str | None = "task-1#1", **fields: Any) -> None:
        self.hear("task_ack", status=status, **({"ref": ref} if ref else {}), **fields)

    def taken(self) -> list[tuple[str, str, int]]:
        """What was said since the last look."""
        said = [(f["type"], f["task_id"], f["generation"]) for f in self.said]
        self.said.clear()
        return said

    def run_one(self, task_id: str = "task-1", generation: int = 1) -> FakeWork:
        self.heard_assign(task_id, generation)
        self.desk.received(
            "task_ack",
            {"task_id": task_id, "status": "accepted", "ref": f"{task_id}#{generation}"},
        )
        self.said.clear()
        return self.works[-1]


class LifecycleTests(DeskTestCase):
    def test_runs_after_the_ack(self) -> None:
        """A task is accepted, run once the hub agrees, and reported when it ends."""
        self.heard_assign()
        self.assertEqual(self.taken(), [("task_accepted", "task-1", 1)])
        self.assertEqual(self.works, [])
        self.ack("accepted")
        self.assertEqual(self.works[0].task, assign())
        self.works[0].end()
        self.assertEqual(self.taken(), [("task_complete", "task-1", 1)])
        self.assertEqual(self.desk.unreported, 1)
        self.ack("complete")
        self.assertEqual((self.desk.unreported, self.desk.mentions()), (0, []))

    def test_refused_task_is_not_run(self) -> None:
        """What the hub takes back before the work began never begins."""
        for error in ("not_assignee", "stale_generation", "invalid_state"):
            self.heard_assign()
            self.hear("error", error=error, message_type="task_accepted", status="queued")
            self.assertEqual((self.works, self.desk.mentions()), ([], []))

    def test_second_ack(self) -> None:
        """An acknowledgement that comes twice does not run the task twice."""
        self.run_one()
        self.ack("accepted")
        self.assertEqual(len(self.works), 1)

    def test_busy(self) -> None:
        """With all slots taken another task is rejected, and taken when one is free."""
        work = self.run_one()
        self.heard_assign("task-2")
        self.assertEqual(self.said[0]["reason"], "busy")
        self.assertEqual(self.taken(), [("task_rejected", "task-2", 1)])
        work.end()
        self.heard_assign("task-2")
        self.assertEqual(self.taken()[-1], ("task_accepted", "task-2", 1))

    def test_acks_without_ref(self) -> None:
        """Of a hub that repeats no ref the task's newest attempt is meant."""
        self.heard_assign()
        self.ack("accepted", ref=None)
        self.works[0].end(Outcome(exit_code=1))
        self.ack("failed", ref="odd", outcome="dead_letter")
        self.assertEqual(self.desk.unreported, 0)

    def test_wrong_ack(self) -> None:
        """Only the acknowledgement of the very report settles it."""
        self.run_one().end()
        self.ack("failed")
        self.ack("complete", ref="task-1#7")
        self.ack("rejected")
        self.assertEqual(self.desk.unreported, 1)

    def test_other_frames(self) -> None:
        """What is not about tasks is passed over."""
        self.desk.received("agent_joined", {})
        self.hear("error", error="unknown_message_type", message_type="x")
        self.assertEqual(self.said, [])


class LiveTests(DeskTestCase):
    def test_batches(self) -> None:
        """Output and progress go out together, a few times a second."""
        work = self.run_one()
        work.ears.text("a\n")
        work.ears.note(Note(50, "half"))
        work.ears.text("b\n")
        self.assertEqual(self.said, [])
        self.clock.advance(BATCH_S)
        about = {"type": "task_progress", "task_id": "task-1", "generation": 1, "ref": "task-1#1"}
        self.assertEqual(
            self.said,
            [
                {**about, "output": "a\n", "progress": 50, "message": "half"},
                {**about, "output": "b\n"},
            ],
        )

    def test_flood(self) -> None:
        """Much output is spread over several batches."""
        work = self.run_one()
        work.ears.text("x" * 200_000)
        self.clock.advance(BATCH_S)
        first = len(self.said)
        self.clock.advance(BATCH_S)
        self.assertGreater(len(self.said), first)

    def test_before_the_end(self) -> None:
        """What was printed is told before the end is."""
        work = self.run_one()
        work.ears.text("last words\n")
        work.end()
        self.assertEqual([f["type"] for f in self.said], ["task_progress", "task_complete"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_line(self) -> None:
        """While the hub reads slowly live output waits, reports do not."""
        work = self.run_one()
        self.desk.writable(False)
        work.ears.text("a\n")
        self.clock.advance(BATCH_S)
        self.assertEqual(self.said, [])
        self.desk.writable(True)
        self.clock.advance(BATCH_S)
        self.assertEqual(self.said[0]["output"], "a\n")

    def test_line_lost_in_a_batch(self) -> None:
        """A batch that comes due without a line waits for the next."""
        work = self.run_one()
        work.ears.text("a\n")
        self.desk.offline()
        self.clock.advance(BATCH_S)
        self.desk.online(self.said.append, [])
        self.clock.advance(BATCH_S)
        self.assertEqual([f.get("output") for f in self.said], ["a\n"])


class ReconnectTests(DeskTestCase):
    slots = 3

    def test_mentions(self) -> None:
        """Offered, running and unacknowledged tasks are named, aborted ones are not."""
        self.heard_assign("task-1")
        self.run_one("task-2", 5)
        self.run_one("task-3")
        self.works[-1].end()
        self.run_one("task-4")
        self.hear("task_cancelled", task_id="task-4", generation=1, reason="r")
        named = {(m["task_id"], m["generation"]) for m in self.desk.mentions()}
        self.assertEqual(named, {("task-1", 1), ("task-2", 5), ("task-3", 1)})

    def test_says_again(self) -> None:
        """After a lost line acceptances and reports are said again, until acknowledged."""
        self.heard_assign("task-1")
        self.run_one("task-2")
        self.desk.offline()
        self.works[0].ears.text("while away\n")
        self.works[0].end()
        for _ in range(2):
            self.said.clear()
            self.desk.online(self.said.append, [{"task_id": "task-2", "action": "continue"}])
            said = [(f["type"], f["task_id"]) for f in self.said if f["type"] != "task_progress"]
            self.assertEqual(said, [("task_complete", "task-2"), ("task_accepted", "task-1")])
            self.desk.offline()
        self.desk.online(self.said.append, [])
        self.ack("complete", ref="task-2#1")
        self.said.clear()
        self.desk.online(self.said.append, [])
        self.assertEqual(self.taken(), [("task_accepted", "task-1", 1)])

    def test_output_while_away(self) -> None:
        """What was printed without a line is told once, before the end of the run."""
        work = self.run_one()
        self.desk.offline()
        work.ears.text("while away\n")
        work.end()
        self.desk.online(self.said.append, [])
        self.assertEqual([f.get("output") for f in self.said], ["while away\n", None])
        self.said.clear()
        self.desk.online(self.said.append, [])
        self.assertEqual(self.taken(), [("task_complete", "task-1", 1)])

    def test_verdicts(self) -> None:
        """What the hub has given away is stopped without a report; the rest goes on."""
        lost, kept = self.run_one("task-1"), self.run_one("task-2")
        self.desk.offline()
        verdicts = [
            {"task_id": "task-1", "action": "abort"},
            {"task_id": "task-2", "action": "continue"},
            {"task_id": "task-9", "action": "abort"},
        ]
        self.desk.online(self.said.append, verdicts)
        self.assertEqual((lost.did, kept.did), (["stop"], []))
        lost.end(Outcome(exit_code=1))
        self.assertEqual(self.taken(), [])

    def test_state_report_ack(self) -> None:
        """The same word in an acknowledgement of a state has the same effect."""
        work = self.run_one()
        self.hear("state_report_ack", action="continue")
        self.hear("state_report_ack", action="abort", generation=7)
        self.assertEqual(work.did, [])
        self.hear("state_report_ack", action="abort")
        self.assertEqual(work.did, ["stop"])

    def test_repeated_assignment(self) -> None:
        """The same assignment again is accepted again, not run again, and not busy."""
        self.heard_assign()
        self.heard_assign()
        self.assertEqual(self.taken(), [("task_accepted", "task-1", 1)] * 2)
        self.ack("accepted")
        self.heard_assign()
        self.assertEqual(self.taken(), [("task_accepted", "task-1", 1)])
        self.works[0].end()
        self.said.clear()
        self.heard_assign()
        self.assertEqual(self.taken(), [("task_complete", "task-1", 1)])
        self.assertEqual(len(self.works), 1)

    def test_newer_attempt(self) -> None:
        """A newer attempt of the same task ends the older one and its report."""
        old = self.run_one(generation=1)
        self.heard_assign(generation=2)
        self.assertEqual(old.did, ["stop"])
        self.assertEqual(self.taken(), [("task_accepted", "task-1", 2)])
        self.ack("accepted", ref="task-1#2")
        self.works[1].end()
        self.heard_assign(generation=3)
        self.assertEqual(self.desk.unreported, 0)

    def test_aborted_is_not_accepted_again(self) -> None:
        """A repetition of what is just being stopped is not begun beside it."""
        work = self.run_one()
        self.hear("task_cancelled", generation=1, reason="r")
        self.heard_assign(generation=1)
        self.assertEqual(work.did, ["stop"])
        self.assertEqual(self.taken(), [("task_rejected", "task-1", 1)])


class RefusalTests(DeskTestCase):
    def test_cancelled(self) -> None:
        """A cancelled run is stopped once and reports nothing."""
        work = self.run_one()
        self.hear("task_cancelled", generation=1, reason="r")
        self.hear("task_cancelled", generation=1, reason="r")
        self.assertEqual(work.did, ["stop"])
        work.ears.text("dying\n")
        work.end(Outcome(signal=15))
        self.assertEqual((self.said, self.desk.unreported), ([], 0))

    def test_cancelled_before(self) -> None:
        """An older attempt's cancellation does not end a newer one."""
        work = self.run_one(generation=3)
        self.hear("task_cancelled", generation=2, reason="r")
        self.assertEqual(work.did, [])

    def test_refused_progress(self) -> None:
        """Refused progress ends the run if the task is lost, not if it only waits."""
        work = self.run_one()
        refusal = {"message_type": "task_progress", "ref": "task-1#1"}
        self.hear("error", error="invalid_state", status="queued", **refusal)
        self.assertEqual(work.did, [])
        self.hear("error", error="invalid_state", status="cancelled", **refusal)
        self.assertEqual(work.did, ["stop"])

    def test_refused_report(self) -> None:
        """A report that the hub will never take is not said for ever."""
        self.run_one().end()
        self.hear("error", error="stopping", message_type="task_complete", ref="task-1#1")
        self.hear("error", error="invalid_state", message_type="task_progress", ref="task-1#1")
        self.assertEqual(self.desk.unreported, 1)
        self.hear("error", error="not_assignee", message_type="task_complete", ref="task-1#1")
        self.assertEqual(self.desk.unreported, 0)


class ClosingTests(DeskTestCase):
    slots = 2

    def test_close(self) -> None:
        """At the end runs are stopped, reported as such, and nothing new is taken; what is
        not begun goes back to the queue."""
        work = self.run_one("task-1")
        self.heard_assign("task-2")
        self.said.clear()
        self.assertTrue(self.desk.close())
        idle = self.desk.idle()
        self.assertEqual(work.did, ["stop"])
        self.assertEqual(self.said[0]["last_status"], "accepted")
        self.assertEqual(self.taken(), [("task_recovering", "task-2", 1)])
        self.hear("task_reassign", task_id="task-2", ref="task-2#1")
        self.heard_assign("task-3")
        self.assertEqual(self.taken(), [("task_rejected", "task-3", 1)])
        work.end(Outcome(signal=15))
        self.assertEqual(self.said[0]["error"], "agent stopped")
        self.assertNoResult(idle)
        self.ack("failed")
        self.successResultOf(idle)

    def test_close_without_line(self) -> None:
        """Without a line nobody waits for acknowledgements."""
        self.run_one().end()
        self.desk.close()
        idle = self.desk.idle()
        self.assertNoResult(idle)
        self.desk.offline()
        self.successResultOf(idle)
        self.assertEqual(self.desk.unreported, 1)

    def test_nothing_to_do(self) -> None:
        """An idle desk closes at once."""
        self.assertFalse(self.desk.close())
        self.successResultOf(self.desk.idle())

    def test_kill(self) -> None:
        """At a second wish everything that runs is killed."""
        work = self.run_one("task-1")
        self.heard_assign("task-2")
        self.desk.kill()
        self.assertEqual(work.did, ["kill"])

    def test_abort_all(self) -> None:
        """When the hub takes nothing more, all ends and nothing is reported."""
        self.run_one("task-1").end()
        work = self.run_one("task-2")
        self.heard_assign("task-3")
        self.desk.abort_all("revoked")
        self.assertEqual((work.did, self.desk.unreported), (["stop"], 0))
        work.end()
        self.assertEqual(self.desk.mentions(), [])


class WhichTests(SynchronousTestCase):
    def test_unknown(self) -> None:
        """A reply about nothing known is about nothing."""
        self.assertEqual(which({"task_id": "t"}, [("u", 1)]), ("t", 0))
        self.assertEqual(which({"task_id": "t"}, [("t", 1), ("t", 2)]), ("t", 2))
