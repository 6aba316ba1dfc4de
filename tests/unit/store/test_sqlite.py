"""What a commit of the SQLite store does: what it writes, tells, and forgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from agentcom.core.state import Status, Task
from agentcom.store import script
from agentcom.store.commit import Batch
from agentcom.store.interface import Unit
from tests.unit.store.support import (
    NOW,
    StoreCase,
    file_store,
    make_draft,
    make_task,
    make_token,
    memory_store,
)


class WritingTests(StoreCase):
    """What a commit does besides writing."""

    def test_sequence_is_stored(self) -> None:
        """A store that is opened again numbers on from where it ended, in the same epoch."""
        path = Path(self.mktemp())
        for expected in (2, 4):
            store = file_store(self.clock, path, "epoch-1")
            store.commit(Unit(drafts=[make_draft(), make_draft()]))
            self.settle()
            loaded = store.load()
            self.assertEqual((loaded.last_seq, loaded.epoch), (expected, "epoch-1"))
            seqs = [e.seq for e in self.successResultOf(store.events(0, 100))]
            self.assertEqual(seqs, list(range(1, expected + 1)))
            store.close()

    def test_token_fields(self) -> None:
        """A token is read back with every field, and a newer state replaces it."""
        old = make_token(expires_at=NOW + 5, scopes=("enroll",))
        self.put(Unit(tokens=[old]))
        self.assertEqual(self.store.load().tokens, [old])
        new = msgspec.structs.replace(old, revoked_at=NOW + 1)
        self.put(Unit(tokens=[new]))
        self.assertEqual(self.store.load().tokens, [new])

    def test_the_agent_is_written_when_it_changes(self) -> None:
        """A change that keeps the agent leaves its column, and so its index, alone."""
        db = self.store._connection
        self.put(Unit(new=[make_task("t")]))
        for agent_id, written in (("w", 2), ("w", 1), ("v", 2), (None, 2), (None, 1)):
            before = db.total_changes
            self.put(Unit([make_task("t", agent_id=agent_id)]))
            self.assertEqual(db.total_changes - before, written, agent_id)
            self.assertEqual(self.task("t"), make_task("t", agent_id=agent_id))

    def test_the_agent_after_a_failure(self) -> None:
        """An agent that was written by a commit which failed is written again."""
        self.put(Unit(new=[make_task("t")]))
        self.commits.error = OSError("disk I/O error")
        self.put(Unit([make_task("t", agent_id="w")]))
        self.assertEqual(self.task("t"), make_task("t"))
        self.commits.error = None
        self.clock.advance(1)
        self.settle()
        self.assertEqual(self.task("t"), make_task("t", agent_id="w"))

    def test_the_agent_of_many(self) -> None:
        """What is known of the agents of tasks has a bound, and nothing rests on it."""
        self.patch(script, "KNOWN_AGENTS", 2)
        one = script.Script()
        for n in range(6):
            new = Unit(new=[make_task(f"t{n}", agent_id="v")])
            self.put(new)
            one.of(Batch([new], 0))
            self.assertLessEqual(len(one._agents), 3)
        for n in range(6):
            self.put(Unit([make_task(f"t{n}", agent_id="w")]))
            self.assertEqual(self.task(f"t{n}"), make_task(f"t{n}", agent_id="w"))

    def test_events_before_answers(self) -> None:
        """Listeners hear of a batch's events before any of its answers is given."""
        order: list[str] = []
        self.store.on_commit(lambda events: order.append(f"events {len(events)}"))
        self.put(
            Unit(drafts=[make_draft()], then=lambda: order.append("one")),
            Unit(drafts=[make_draft()], then=lambda: order.append("two")),
        )
        self.assertEqual(order, ["events 2", "one", "two"])

    def test_no_news_of_nothing(self) -> None:
        """A batch without events is no news."""
        heard: list[Any] = []
        self.store.on_commit(heard.append)
        self.put(Unit(new=[make_task()]))
        self.assertEqual(heard, [])

    def test_failing_answers_are_isolated(self) -> None:
        """A listener or an answer that raises is logged, and stops none of the others."""
        order: list[str] = []

        def broken(_: Any = None) -> None:
            raise ZeroDivisionError

        self.store.on_commit(broken)
        self.store.on_commit(lambda events: order.append("heard"))
        self.put(
            Unit(drafts=[make_draft()], then=broken),
            Unit(drafts=[make_draft()], then=lambda: order.append("answered")),
        )
        self.assertEqual(order, ["heard", "answered"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertIsNone(self.successResultOf(self.store.idle()))

    def test_all_or_nothing(self) -> None:
        """A batch that fails in the middle leaves no part of itself behind."""
        self.put(Unit(new=[make_task("a")], drafts=[make_draft()]))
        db = self.store._connection
        db.execute("CREATE TRIGGER t BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'no'); END")
        answered: list[str] = []
        unit = Unit(new=[make_task("b")], drafts=[make_draft()], then=lambda: answered.append("b"))
        self.store.commit(unit)
        self.clock.advance(0)
        self.assertEqual(self.listed(), ["a"])
        self.clock.advance(0.5)
        self.assertEqual(self.store.trouble(), "the store cannot be written to")
        db.execute("DROP TRIGGER t")
        self.clock.advance(1)
        self.settle()
        self.assertEqual((self.listed(), answered), (["b", "a"], ["b"]))
        self.assertIsNone(self.store.trouble())
        self.assertEqual(self.store.load().last_seq, 2)

    def test_low_disk_space(self) -> None:
        """Under the limit of free space there is trouble, until there is space again."""
        self.store.check_space()
        self.assertIsNone(self.store.trouble())
        self.free = 999
        self.store.check_space()
        self.store.check_space()
        self.assertEqual(self.store.trouble(), "the disk is nearly full")
        self.put(Unit(new=[make_task("report")]))
        self.assertEqual(self.listed(), ["report"])
        self.free = 1_000
        self.store.check_space()
        self.assertIsNone(self.store.trouble())


class ForgettingTests(StoreCase):
    """What goes: wholly, with the batch that says so, and never what lives."""

    def ended(self, task_id: str, **fields: Any) -> Task:
        return make_task(task_id, status=Status.COMPLETED, **fields)

    def seqs(self) -> list[int | None]:
        return [event.seq for event in self.successResultOf(self.store.events(0, 100))]

    def pruned(self) -> int:
        return self.store.load().pruned_seq

    def test_tasks_and_events_go(self) -> None:
        """What is named goes, in every index too, and nothing beside it."""
        self.put(Unit(new=[self.ended("a", idempotency_key="k"), self.ended("b")]))
        self.put(Unit(drafts=[make_draft(task_id=i) for i in ("a", "b", "a")]))
        self.put(Unit(forgotten=["a", "unknown"], forgotten_events=[1, 3, 77]))
        self.assertEqual((self.listed(), self.seqs()), (["b"], [2]))
        self.assertEqual(self.successResultOf(self.store.tasks_by_keys("boss", ["k"])), {})
        self.assertEqual(self.successResultOf(self.store.task_events("a", 0, 9)).events, [])
        self.put(Unit(new=[self.ended("c", idempotency_key="k")]))
        self.assertEqual(self.listed(), ["c", "b"])

    def test_the_highest_number_is_kept(self) -> None:
        """The highest number ever forgotten is stored and never goes down."""
        self.put(Unit(drafts=[make_draft(task_id=None)] * 9))
        self.assertEqual(self.pruned(), 0)
        self.put(Unit(forgotten_events=[2, 5, 3]))
        self.assertEqual(self.pruned(), 5)
        self.put(Unit(forgotten_events=[1]), Unit(forgotten_events=[4]))
        self.assertEqual(self.pruned(), 5)
        self.put(Unit(forgotten=["a"]))
        self.assertEqual(self.pruned(), 5)
        self.put(Unit(forgotten_events=[6]), Unit(forgotten_events=[7]))
        self.assertEqual((self.pruned(), self.seqs()), (7, [8, 9]))
        self.assertEqual(self.store.load().last_seq, 9)

    def test_written_and_forgotten_in_one_batch(self) -> None:
        """A task that one batch makes or changes, and forgets, is gone."""
        self.put(Unit(new=[self.ended("a")]))
        self.put(
            Unit(forgotten=["b"]),
            Unit([self.ended("a", updated_at=NOW + 1)], [self.ended("b")], [make_draft()] * 2),
            Unit(forgotten=["a"], forgotten_events=[1]),
        )
        self.assertEqual((self.listed(), self.seqs(), self.pruned()), ([], [2], 1))

    def test_the_last_state_decides(self) -> None:
        """A task that ends in the batch that forgets it is gone."""
        self.put(Unit(new=[make_task("a")]))
        self.put(Unit([self.ended("a")], forgotten=["a"]))
        self.assertEqual(self.listed(), [])

    def test_what_lives_stays(self) -> None:
        """A dead letter that is tried again before it goes stays, and so does its history."""
        dead = make_task("a", status=Status.DEAD_LETTER)
        again = msgspec.structs.replace(dead, status=Status.QUEUED, series=2)
        forget = Unit(forgotten=["a"], forgotten_events=[1, 2])
        for batches in (
            [[Unit([again]), forget]],
            [[forget, Unit([again])]],
            [[Unit([again])], [forget]],
        ):
            store = memory_store(self.clock)
            self.addCleanup(store.close)
            self.store = store
            self.put(Unit(new=[dead], drafts=[make_draft(task_id="a"), make_draft(task_id=None)]))
            for units in batches:
                self.put(*units)
            self.assertEqual(self.task("a"), again)
            self.assertEqual(self.seqs(), [1])

    def test_all_or_nothing(self) -> None:
        """A batch that fails while it forgets leaves everything as it was."""
        self.put(Unit(new=[self.ended("a")], drafts=[make_draft(task_id="a")]))
        db = self.store._connection
        db.execute("CREATE TRIGGER t BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'no'); END")
        self.store.commit(Unit(forgotten=["a"], forgotten_events=[1]))
        self.clock.advance(0)
        self.assertEqual((self.listed(), self.seqs(), self.pruned()), (["a"], [1], 0))
        db.execute("DROP TRIGGER t")
        self.clock.advance(1)
        self.settle()
        self.assertEqual((self.listed(), self.seqs(), self.pruned()), ([], [], 1))
