"""The desk after its own death: what the journal left, and what the hub says of it.

``crash`` drops everything but the journal's database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from agentcom.sidecar.desk import MAX_MENTIONS
from agentcom.sidecar.jobs import Key
from agentcom.sidecar.mending import AGAIN_S
from agentcom.sidecar.runner import Outcome
from tests.unit.sidecar.fakes import memory_journal, unwritable
from tests.unit.sidecar.test_desk import DeskTestCase

ONE = ("task-1", 1)


class RecoveryTestCase(DeskTestCase):
    slots = 2

    def crash(self, left: Collection[Key] = (), online: bool = True, **verdicts: str) -> None:
        """Die and start again.

        :param left: what the workshop can take up.
        :param verdicts: of ``identified``, by task.
        """
        self.said.clear()
        self.begin(left)
        if online:
            told = [{"task_id": t.replace("_", "-"), "action": a} for t, a in verdicts.items()]
            self.desk.online(self.said.append, told)

    def again(self) -> None:
        """Lose the line, and be back."""
        self.said.clear()
        self.desk.offline()
        self.desk.online(self.said.append, [])

    def rows(self) -> list[tuple[str, str]]:
        """What the journal holds."""
        return [(e.key[0], e.stage) for e in memory_journal(self.db).entries()]

    def asked(self) -> list[tuple[str, str]]:
        return [
            (f["task_id"], f["last_status"]) for f in self.said if f["type"] == "task_recovering"
        ]

    def refuse(self, error: str, kind: str = "task_recovering", **fields: Any) -> None:
        self.hear("error", error=error, message_type=kind, ref="task-1#1", **fields)


class DiskFirstTests(RecoveryTestCase):
    """What is said is on disk before."""

    def test_accepted(self) -> None:
        """A task is in the journal when its acceptance leaves."""
        self.desk.offline()
        rows: list[Any] = []
        self.desk.online(lambda frame: rows.append((frame["type"], self.rows())), [])
        self.heard_assign()
        self.assertEqual(rows, [("task_accepted", [("task-1", "accepted")])])

    def test_working(self) -> None:
        """It is working there when the work begins."""
        rows: list[Any] = []
        start = self.workshop.start

        def seen(*args: Any) -> Any:
            rows.append(self.rows())
            return start(*args)

        self.patch(self.workshop, "start", seen)
        self.run_one()
        self.assertEqual(rows, [[("task-1", "working")]])

    def test_ended(self) -> None:
        """Its end is there when the report leaves, and only then the work is discarded."""
        work = self.run_one()
        seen: list[Any] = []
        self.desk.offline()
        self.desk.online(lambda frame: seen.append((frame["type"], self.rows())), [])
        discard = work.discard
        self.patch(work, "discard", lambda: (seen.append(self.rows()), discard()))
        work.end()
        ended = [("task-1", "ended")]
        self.assertEqual(seen, [ended, ("task_complete", ended)])

    def test_gone(self) -> None:
        """Once the hub has had its last word the row is gone."""
        self.run_one().end()
        self.ack("complete")
        self.assertEqual(self.rows(), [])
        self.run_one().end()
        self.refuse("not_assignee", "task_complete")
        self.assertEqual(self.rows(), [])

    def test_aborted(self) -> None:
        """The row of a cancelled task goes when its run is gone."""
        work = self.run_one()
        self.hear("task_cancelled", generation=1, reason="r")
        self.assertEqual(self.rows(), [("task-1", "working")])
        work.end(Outcome(signal=15))
        self.assertEqual((self.rows(), work.did), ([], ["stop", "discard"]))

    def test_refused(self) -> None:
        """What the hub takes back before it began leaves nothing."""
        self.heard_assign()
        self.refuse("not_assignee", "task_accepted")
        self.assertEqual(self.rows(), [])

    def test_superseded(self) -> None:
        """A newer attempt takes the place of an older one's end."""
        self.run_one().end()
        self.heard_assign(generation=2)
        self.assertEqual(self.rows(), [("task-1", "accepted")])


class CrashTests(RecoveryTestCase):
    def test_accepted(self) -> None:
        """What was accepted and not begun is told so, not mentioned, and goes back."""
        self.heard_assign()
        self.crash()
        self.assertEqual(self.desk.mentions(), [])
        self.assertEqual(self.asked(), [("task-1", "accepted")])
        self.again()
        self.assertEqual(self.asked(), [("task-1", "accepted")])
        self.hear("task_reassign", ref="task-1#1")
        self.again()
        self.assertEqual((self.asked(), self.rows(), self.works), ([], [], []))

    def test_taken_up(self) -> None:
        """A run that lived on is mentioned, told of, and goes on to its end, not begun again."""
        self.run_one()
        self.crash(left=[ONE])
        self.assertEqual(self.desk.mentions(), [{"task_id": "task-1", "generation": 1}])
        self.assertEqual(self.asked(), [("task-1", "working")])
        self.assertEqual(self.works[0].did, [])
        self.hear("task_continue", generation=1, ref="task-1#1")
        self.assertEqual(self.works[0].did, ["go on"])
        self.again()
        self.assertEqual(self.asked(), [])
        self.works[0].ears.text("more\n")
        self.works[0].end()
        self.assertEqual([f["type"] for f in self.said], ["task_progress", "task_complete"])
        self.assertEqual((len(self.works), self.rows()), (1, [("task-1", "ended")]))

    def test_takes_its_slot(self) -> None:
        """A run that was taken up takes its slot; what is lost or not begun takes none."""
        for n in (1, 2):
            self.run_one(f"task-{n}")
        self.crash(left=[ONE])
        self.heard_assign("task-3")
        self.heard_assign("task-4")
        self.assertEqual(
            self.taken()[-2:], [("task_accepted", "task-3", 1), ("task_rejected", "task-4", 1)]
        )

    def test_ends_before_the_answer(self) -> None:
        """A run that ends before the hub has answered is reported all the same."""
        self.run_one()
        self.crash(left=[ONE])
        self.said.clear()
        self.works[0].end()
        self.assertEqual(self.taken(), [("task_complete", "task-1", 1)])
        self.hear("task_continue", generation=1, ref="task-1#1")
        self.hear("task_reassign", ref="task-1#1")
        self.assertEqual(self.desk.unreported, 1)

    def test_lost(self) -> None:
        """A run of which nothing is left has failed, once the hub still counts on it."""
        self.run_one()
        self.crash()
        self.assertEqual(self.desk.mentions(), [{"task_id": "task-1", "generation": 1}])
        self.assertEqual(self.taken(), [("task_recovering", "task-1", 1)])
        self.hear("task_continue", generation=1, ref="task-1#1")
        (report,) = self.said
        self.assertEqual((report["error"], report["retryable"]), ("agent crashed", True))
        self.assertIn("went down", report["reason"])
        self.crash()
        self.assertEqual(self.taken(), [("task_failed", "task-1", 1)])
        self.ack("failed")
        self.assertEqual(self.rows(), [])

    def test_lost_and_assigned_again(self) -> None:
        """The same assignment again shows that the hub counts on it."""
        self.run_one()
        self.crash()
        self.said.clear()
        self.heard_assign()
        self.assertEqual(self.taken(), [("task_failed", "task-1", 1)])

    def test_unbegun_and_assigned_again(self) -> None:
        """What never began may begin when the same assignment comes again, once."""
        self.heard_assign()
        self.crash()
        self.said.clear()
        self.heard_assign()
        self.assertEqual(self.taken(), [("task_accepted", "task-1", 1)])
        self.hear("task_reassign", ref="task-1#1")
        self.ack("accepted")
        self.ack("accepted")
        self.assertEqual(len(self.works), 1)

    def test_unbegun_and_continued(self) -> None:
        """A hub that says to go on with what never began has it begun."""
        self.heard_assign()
        self.crash()
        self.hear("task_continue", generation=1)
        self.assertEqual((len(self.works), self.rows()), (1, [("task-1", "working")]))

    def test_reassigned(self) -> None:
        """What the hub has given away is stopped, without a report."""
        self.run_one()
        self.crash(left=[ONE])
        self.hear("task_reassign")
        self.assertEqual(self.works[0].did, ["stop"])
        self.said.clear()
        self.works[0].end()
        self.assertEqual((self.said, self.rows()), ([], []))

    def test_verdict_wins(self) -> None:
        """What ``identified`` says to abort is not asked about any more."""
        self.run_one("task-1")
        self.run_one("task-2")
        self.crash(left=[ONE], task_1="abort", task_2="abort")
        self.assertEqual((self.asked(), self.works[0].did), ([], ["stop"]))
        self.assertEqual(self.rows(), [("task-1", "working")])
        self.works[0].end()
        self.assertEqual(self.rows(), [])

    def test_refusals(self) -> None:
        """Every refusal for good settles the matter, whatever was asked about."""
        for error in ("not_assignee", "stale_generation", "invalid_state", "unknown_message_type"):
            for begun, left in ((False, []), (True, []), (True, [ONE])):
                self.setUp()
                self.run_one() if begun else self.heard_assign()
                self.crash(left=left)
                self.refuse(error, status="queued")
                for work in self.works:
                    self.assertEqual(work.did, ["stop"])
                    work.end()
                self.assertEqual(self.rows(), [], (error, begun, left))
                self.again()
                self.assertEqual(self.said, [])

    def test_passing_refusal(self) -> None:
        """A hub that cannot answer now is asked again on the next connection."""
        self.run_one()
        self.crash(left=[ONE])
        self.refuse("store_unavailable")
        self.assertEqual(self.works[0].did, [])
        self.again()
        self.assertEqual(self.asked(), [("task-1", "working")])

    def test_cancelled(self) -> None:
        """A cancellation ends what an earlier process left, in whatever state it is."""
        self.run_one("task-1")
        self.run_one("task-2")
        self.works[1].end()
        self.heard_assign("task-3")
        self.crash(left=[ONE])
        for n in (1, 3):
            self.hear("task_cancelled", task_id=f"task-{n}", generation=1, reason="r")
        self.works[0].end()
        self.assertEqual(self.rows(), [("task-2", "ended")])

    def test_tidy(self) -> None:
        """The workshop keeps what the journal still counts on, and nothing else."""
        self.run_one("task-1")
        self.run_one("task-2")
        self.works[1].end()
        self.heard_assign("task-3")
        self.crash()
        self.assertEqual(self.workshop.known, [("task-1", 1), ("task-3", 1)])

    def test_many_mentions(self) -> None:
        """``identify`` stays a frame that the hub takes, however much there is to say."""
        for n in range(MAX_MENTIONS + 5):
            self.journal.ended((f"task-{n}", 1), [{"type": "task_complete"}])
        self.run_one("running")
        self.crash(left=[("running", 1)], online=False)
        mentions = self.desk.mentions()
        self.assertEqual((len(mentions), mentions[0]["task_id"]), (MAX_MENTIONS, "running"))


class OutboxTests(RecoveryTestCase):
    def test_said_by_the_next_process(self) -> None:
        """Ends outlive the process, with what was printed before them, in their order."""
        first, second = self.run_one("task-1"), self.run_one("task-2")
        self.desk.offline()
        second.end()
        first.ears.text("bye\n")
        first.end(Outcome(exit_code=3))
        self.crash()
        self.assertEqual(
            self.taken(),
            [
                ("task_complete", "task-2", 1),
                ("task_progress", "task-1", 1),
                ("task_failed", "task-1", 1),
            ],
        )
        self.again()
        self.assertEqual([kind for kind, *_ in self.taken()], ["task_complete", "task_failed"])

    def test_assigned_again(self) -> None:
        """An assignment of what an earlier process has ended is answered with the end."""
        self.run_one().end()
        self.crash()
        self.said.clear()
        self.heard_assign()
        self.assertEqual(self.taken(), [("task_complete", "task-1", 1)])
        self.assertEqual(self.works, [])

    def test_thrown_out(self) -> None:
        """What ended before the agent was thrown out is kept for a better token."""
        self.run_one("task-1").end()
        self.run_one("task-2")
        self.desk.abort_all("revoked")
        self.assertEqual(self.desk.unreported, 0)
        self.works[1].end()
        self.assertEqual(self.rows(), [("task-1", "ended")])
        self.crash()
        self.assertEqual(self.taken(), [("task_complete", "task-1", 1)])

    def test_unreadable(self) -> None:
        """An end that cannot be read stops nothing else."""
        self.run_one("task-1").end()
        self.run_one("task-2").end()
        self.db.execute("UPDATE attempts SET said = x'00' WHERE task_id = 'task-1'")
        self.again()
        self.assertEqual(self.taken(), [("task_complete", "task-2", 1)])


class JournalFailsTests(RecoveryTestCase):
    def test_not_accepted(self) -> None:
        """What cannot be written down is not taken, and the hub hears why."""
        unwritable(self.db)
        self.heard_assign()
        self.assertIn("journal cannot be written", self.said[0]["reason"])
        self.assertEqual(self.taken(), [("task_rejected", "task-1", 1)])
        unwritable(self.db, False)
        self.heard_assign()
        self.assertEqual(self.taken(), [("task_accepted", "task-1", 1)])

    def test_not_begun(self) -> None:
        """What cannot be noted as begun goes back, and for a while nothing new is taken."""
        self.heard_assign()
        unwritable(self.db)
        self.said.clear()
        self.ack("accepted")
        self.assertEqual((self.asked(), self.works), ([("task-1", "accepted")], []))
        unwritable(self.db, False)
        self.hear("task_reassign", ref="task-1#1")
        self.assertEqual(self.rows(), [])
        self.said.clear()
        self.heard_assign(generation=2)
        self.clock.advance(AGAIN_S)
        self.heard_assign(generation=2)
        self.assertEqual(
            self.taken(), [("task_rejected", "task-1", 2), ("task_accepted", "task-1", 2)]
        )

    def test_end(self) -> None:
        """An end that cannot be written is reported, kept, and written when that works again."""
        work = self.run_one()
        unwritable(self.db)
        work.end()
        self.assertEqual(self.taken(), [("task_complete", "task-1", 1)])
        self.assertEqual(work.did, [])
        self.clock.advance(AGAIN_S)
        self.assertEqual(self.rows(), [("task-1", "working")])
        unwritable(self.db, False)
        self.clock.advance(AGAIN_S)
        self.assertEqual((self.rows(), work.did), ([("task-1", "ended")], ["discard"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.crash()
        self.assertEqual(self.taken(), [("task_complete", "task-1", 1)])

    def test_forgotten_later(self) -> None:
        """Whatever could not be forgotten is forgotten when that works again."""
        ways: list[Callable[[], object]] = [
            lambda: self.crash(task_1="abort"),
            lambda: self.refuse("not_assignee", "task_progress") or self.works[0].end(),
        ]
        for forget in ways:
            self.setUp()
            self.run_one()
            unwritable(self.db)
            forget()
            unwritable(self.db, False)
            self.assertEqual(self.rows(), [("task-1", "working")])
            self.clock.advance(AGAIN_S)
            self.assertEqual(self.rows(), [])

    def test_end_acknowledged_unwritten(self) -> None:
        """An end that the hub has taken need not be written, and its row goes."""
        work = self.run_one()
        unwritable(self.db)
        work.end()
        self.ack("complete")
        self.assertEqual(work.did, ["discard"])
        unwritable(self.db, False)
        self.clock.advance(AGAIN_S)
        self.assertEqual(self.rows(), [])


class TroubleTests(RecoveryTestCase):
    """The agent's own trouble is not the task's."""

    def test_work_that_cannot_begin(self) -> None:
        """A command that could not be started costs the task no attempt, and for some seconds
        nothing else is taken."""
        work = self.run_one()
        self.said.clear()
        work.end(Outcome(problem="the run's directory cannot be made: disk full", begun=False))
        self.assertEqual((self.asked(), work.did), ([("task-1", "accepted")], ["discard"]))
        self.hear("task_reassign", ref="task-1#1")
        self.assertEqual((self.rows(), self.desk.unreported), ([], 0))
        self.heard_assign("task-2")
        self.assertEqual(self.taken()[-1], ("task_rejected", "task-2", 1))
        self.clock.advance(AGAIN_S)
        self.heard_assign("task-3")
        self.assertEqual(self.taken()[-1], ("task_accepted", "task-3", 1))

    def test_late_refusal_of_an_older_attempt(self) -> None:
        """A refusal of an older attempt, by a hub that repeats no ref, harms no offer."""
        self.run_one()
        self.heard_assign(generation=2)
        self.works[0].end()
        self.heard_assign(generation=2)
        self.hear("error", error="stale_generation", message_type="task_progress", task_id="task-1")
        self.hear(
            "error", error="stale_generation", message_type="task_progress", ref="#" + "9" * 5000
        )
        self.ack("accepted", ref="task-1#2")
        self.assertEqual(len(self.works), 2)

    def test_report_that_cannot_be_read(self) -> None:
        """A report that the hub cannot read is said once more, plainly, or the task would seem
        to be worked on for ever."""
        self.run_one().end(Outcome(error="x", retryable="no"))  # type: ignore[arg-type]
        self.said.clear()
        wrong = [{"field": "retryable", "error": "wrong_type", "detail": "a boolean"}]
        self.refuse("validation_failed", "task_failed", errors=wrong)
        (report,) = self.said
        self.assertEqual((report["type"], report["task_id"]), ("task_failed", "task-1"))
        self.assertIn("retryable", report["reason"])
        self.assertEqual(self.rows(), [("task-1", "ended")])
        self.refuse("validation_failed", "task_failed", errors=wrong)
        self.assertEqual((len(self.said), self.desk.unreported, self.rows()), (1, 0, []))


class DrainTests(RecoveryTestCase):
    def test_drain(self) -> None:
        """Nothing new is taken, what runs goes on, and what is not begun goes back."""
        work = self.run_one("task-1")
        self.heard_assign("task-2")
        self.said.clear()
        self.assertEqual(self.desk.drain(), [ONE])
        still = self.desk.still()
        self.assertEqual(self.asked(), [("task-2", "accepted")])
        self.ack("accepted", ref="task-2#1", task_id="task-2")
        self.heard_assign("task-3")
        self.assertEqual(self.taken()[-1], ("task_rejected", "task-3", 1))
        self.assertEqual((work.did, len(self.works)), ([], 1))
        self.assertNoResult(still)
        work.end()
        self.successResultOf(still)

    def test_unbegun_while_closing(self) -> None:
        """An agent that goes begins nothing, not even what it is told to go on with."""
        self.heard_assign()
        self.desk.drain()
        self.hear("task_continue", generation=1)
        self.assertEqual((self.works, self.rows()), ([], [("task-1", "accepted")]))

    def test_waits_for_the_answer(self) -> None:
        """On a line, what is handed back is waited for; the next start need not do it."""
        self.heard_assign()
        self.desk.close()
        idle = self.desk.idle()
        self.assertNoResult(idle)
        self.hear("task_reassign", ref="task-1#1")
        self.successResultOf(idle)
        self.assertEqual(self.rows(), [])

    def test_goes_without_a_line(self) -> None:
        """What is not begun while the line is down does not hold the agent."""
        self.heard_assign()
        self.desk.offline()
        self.desk.close()
        self.successResultOf(self.desk.idle())
        self.crash()
        self.assertEqual(self.asked(), [("task-1", "accepted")])
