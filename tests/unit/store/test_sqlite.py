"""The SQLite store: in memory for what it reads, on a file where files matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.events import PRESENCE, Draft, Event, payload
from agentcom.core.task import Ending, Priority, Status, Task
from agentcom.store.interface import TaskFilter, Unit
from agentcom.store.sqlite import SqliteStore, connect_reader, open_file
from tests.unit.store.support import (
    NOW,
    Held,
    make_clock,
    make_draft,
    make_task,
    make_token,
    memory_store,
)

FULL = make_task(
    "task-full",
    status=Status.WORKING,
    metadata=b'{"a":[1,"\xc3\xa4"]}',
    priority=Priority.HIGH,
    origin="push",
    pinned="worker",
    agent_id="worker",
    generation=3,
    attempts=2,
    max_attempts=5,
    progress=0.25,
    result=b"null",
    tokens_used=2**53,
    last_error="it \u2603 broke",
    assigned_at=NOW + 1,
    hold_s=12.5,
    requeues=7,
    recover_due=NOW + 2,
    output_bytes=99,
    ending=Ending("task_failed", "worker", 2, "retried"),
    idempotency_key="key",
    body_hash="hash",
)


class StoreCase(SynchronousTestCase):
    """An empty store in memory."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.commits = Held()
        self.free = 2**40
        self.store = memory_store(
            self.clock, commits=self.commits, free_bytes=lambda: self.free, min_free=1_000
        )
        self.addCleanup(self.store.close)

    def put(self, *units: Unit) -> None:
        for unit in units:
            self.store.commit(unit)
        self.settle()

    def settle(self) -> None:
        for _ in range(10):
            self.clock.advance(0)

    def listed(self, **wanted: Any) -> list[str]:
        rows = self.successResultOf(self.store.tasks(TaskFilter(**wanted)))
        return [task.id for _, task in rows]


class ReadingTests(StoreCase):
    """What was written is read back, and nothing else."""

    def task(self, task_id: str) -> Task | None:
        return self.successResultOf(self.store.task(task_id))

    def test_every_field_of_a_task(self) -> None:
        """A task is read back with every field as it was written."""
        for name in Task.__struct_fields__:
            default = msgspec.structs.replace(make_task("task-full"))
            if name != "id" and name not in {"description", "submitted_by"}:
                same = getattr(FULL, name) == getattr(default, name)
                self.assertEqual(same, name in {"created_at", "updated_at", "origin"}, name)
        self.put(Unit([FULL], True))
        self.assertEqual(self.task("task-full"), FULL)
        self.assertIsNone(self.task("task-other"))

    def test_every_change_of_a_task(self) -> None:
        """An update writes all that can change, and leaves the rest of the row alone."""
        self.put(Unit([make_task("task-full"), make_task("other")], True))
        new = msgspec.structs.replace(
            FULL,
            metadata=b"{}",
            priority=Priority.NORMAL,
            pinned=None,
            max_attempts=1,
            hold_s=30.0,
            idempotency_key=None,
            body_hash=None,
        )
        self.put(Unit([new]))
        self.assertEqual(self.task("task-full"), new)
        self.assertEqual(self.task("other"), make_task("other"))

    def test_fixed_fields_do_not_change(self) -> None:
        """Description, metadata and submitter are written once."""
        self.put(Unit([make_task("t")], True))
        self.put(Unit([make_task("t", description="x", metadata=b'{"x":1}', submitted_by="x")]))
        self.assertEqual(self.task("t"), make_task("t"))

    def test_by_idempotency_key(self) -> None:
        """A key belongs to its submitter."""
        self.put(Unit([make_task("a", idempotency_key="k"), make_task("b")], True))
        found = self.successResultOf(self.store.task_by_key("boss", "k"))
        self.assertEqual(found, make_task("a", idempotency_key="k"))
        for who, key in (("boss", "other"), ("other", "k")):
            self.assertIsNone(self.successResultOf(self.store.task_by_key(who, key)))

    def test_a_key_cannot_be_stored_twice(self) -> None:
        """The database itself refuses a second task of one submitter and key, and no other."""
        self.put(Unit([make_task("a", idempotency_key="k")], True))
        self.put(Unit([make_task("c", idempotency_key="k", submitted_by="other")], True))
        self.put(Unit([make_task("d"), make_task("e")], True))
        self.assertEqual(self.listed(), ["e", "d", "c", "a"])
        self.put(Unit([make_task("b", idempotency_key="k")], True))
        self.assertIsNone(self.task("b"))

    def test_filters(self) -> None:
        """Each filter narrows the list, together they narrow it further."""
        self.put(
            Unit([make_task("a", agent_id="w1", priority=Priority.URGENT)], True),
            Unit([make_task("b", agent_id="w2", status=Status.COMPLETED)], True),
            Unit([make_task("c", agent_id="w1", submitted_by="clerk")], True),
        )
        self.assertEqual(self.listed(), ["c", "b", "a"])
        self.assertEqual(self.listed(status="completed"), ["b"])
        self.assertEqual(self.listed(status="queued"), ["c", "a"])
        self.assertEqual(self.listed(agent_id="w1"), ["c", "a"])
        self.assertEqual(self.listed(priority="urgent"), ["a"])
        self.assertEqual(self.listed(submitted_by="clerk"), ["c"])
        self.assertEqual(self.listed(agent_id="w1", priority="normal"), ["c"])
        self.assertEqual(self.listed(agent_id="w1' OR 1=1 --"), [])

    def test_pages(self) -> None:
        """Pages of a list neither repeat nor miss a task, while new ones come in."""
        self.put(*(Unit([make_task(f"t{n}")], True) for n in range(5)))
        first = self.successResultOf(self.store.tasks(TaskFilter(limit=2)))
        self.put(Unit([make_task("new")], True))
        second = self.successResultOf(self.store.tasks(TaskFilter(limit=2, before=first[-1][0])))
        self.assertEqual([t.id for _, t in first + second], ["t4", "t3", "t2", "t1"])

    def test_events(self) -> None:
        """Events are read after a number, oldest first, all of them or of one task."""
        self.put(
            Unit(drafts=[make_draft("task_submitted", "a"), make_draft("task_submitted", "b")]),
            Unit(drafts=[Draft(PRESENCE, "agent_joined", NOW, None, "w", None, payload(x=1))]),
            Unit(drafts=[make_draft("task_cancelled", "a")]),
        )
        read = self.store
        everything = self.successResultOf(read.events(0, 100))
        self.assertEqual([e.seq for e in everything], [1, 2, 3, 4])
        third = Event(3, PRESENCE, "agent_joined", None, "w", None, NOW, msgspec.Raw(b'{"x":1}'))
        self.assertEqual(msgspec.json.encode(everything[2]), msgspec.json.encode(third))
        self.assertEqual([e.seq for e in self.successResultOf(read.events(2, 1))], [3])
        self.assertEqual([e.seq for e in self.successResultOf(read.task_events("a", 0, 9))], [1, 4])
        self.assertEqual([e.seq for e in self.successResultOf(read.task_events("a", 1, 9))], [4])
        self.assertEqual([e.seq for e in self.successResultOf(read.task_events("a", 0, 1))], [1])

    def test_first_seq(self) -> None:
        """The oldest kept number is 0 for an empty log, else the first one's."""
        self.assertEqual(self.successResultOf(self.store.first_seq()), 0)
        self.put(Unit(drafts=[make_draft()]), Unit(drafts=[make_draft()]))
        self.assertEqual(self.successResultOf(self.store.first_seq()), 1)

    def test_reads_see_only_what_is_committed(self) -> None:
        """While a commit is under way, readers of a file do not see its tasks."""
        path = Path(self.mktemp())
        writer = open_file(path, lambda: "e")
        held = Held()
        store = SqliteStore(
            self.clock,
            writer,
            lambda: connect_reader(str(path)),
            held,
            maybeDeferred,
            lambda: None,
        )
        self.addCleanup(store.close)
        held.holding = True
        store.commit(Unit([make_task("t")], True))
        self.clock.advance(0)
        self.assertEqual(len(held.waiting), 1)
        self.assertIsNone(self.successResultOf(store.task("t")))
        held.release()
        self.assertIsNotNone(self.successResultOf(store.task("t")))


class WritingTests(StoreCase):
    """What a commit does besides writing."""

    def test_sequence_is_stored(self) -> None:
        """A store that is opened again numbers on from where it ended, in the same epoch."""
        path = Path(self.mktemp())
        for expected in (2, 4):
            store = SqliteStore(
                self.clock,
                open_file(path, lambda: "epoch-1"),
                lambda: connect_reader(str(path)),
                maybeDeferred,
                maybeDeferred,
                lambda: None,
            )
            store.commit(Unit(drafts=[make_draft(), make_draft()]))
            self.settle()
            loaded = store.load()
            self.assertEqual((loaded.last_seq, loaded.epoch), (expected, "epoch-1"))
            seqs = [e.seq for e in self.successResultOf(store.events(0, 100))]
            self.assertEqual(seqs, list(range(1, expected + 1)))
            store.close()

    def test_load(self) -> None:
        """At start come the tasks that have not ended, oldest first, and all tokens."""
        statuses = list(Status)
        self.put(
            *(Unit([make_task(s.value, status=s)], True) for s in statuses),
            Unit(tokens=[make_token(), make_token("gone", revoked_at=NOW)]),
        )
        loaded = self.store.load()
        self.assertEqual([t.id for t in loaded.tasks], ["queued", "assigned", "working"])
        self.assertEqual({t.agent_id for t in loaded.tokens}, {"worker", "gone"})

    def test_token_fields(self) -> None:
        """A token is read back with every field, and a newer state replaces it."""
        old = make_token(expires_at=NOW + 5, scopes=("enroll",))
        self.put(Unit(tokens=[old]))
        self.assertEqual(self.store.load().tokens, [old])
        new = msgspec.structs.replace(old, revoked_at=NOW + 1)
        self.put(Unit(tokens=[new]))
        self.assertEqual(self.store.load().tokens, [new])

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
        self.put(Unit([make_task()], True))
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
        self.put(Unit([make_task("a")], True, [make_draft()]))
        db = self.store._connection
        db.execute("CREATE TRIGGER t BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'no'); END")
        answered: list[str] = []
        unit = Unit([make_task("b")], True, [make_draft()], (), lambda: answered.append("b"))
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
        self.put(Unit([make_task("report")], True))
        self.assertEqual(self.listed(), ["report"])
        self.free = 1_000
        self.store.check_space()
        self.assertIsNone(self.store.trouble())
