"""The event log: a ring of the newest, the store behind it, and cursors."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.events import TASKS, Draft, Event, payload
from agentcom.hub import eventlog
from agentcom.hub.eventlog import PAGE, EventLog, Gap
from agentcom.store.interface import Unit
from tests.unit.store.support import NOW, Held, make_clock, memory_store


class EventLogTests(SynchronousTestCase):
    """Over the real store in memory, whose reads are counted."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.reads = Held()
        self.store = memory_store(self.clock, reads=self._read)
        self.addCleanup(self.store.close)
        self.read = 0
        self.log = EventLog(self.store, "00000000", 0, 0)

    def _read(self, work: Any) -> Deferred[Any]:
        self.read += 1
        return self.reads(work)

    def happen(self, count: int, size: int = 0) -> None:
        told = payload(x="x" * size)
        for _ in range(count):
            draft = Draft(TASKS, "task_progress", NOW, "t", "w", 1, told)
            self.store.commit(Unit(drafts=[draft]))
        while self.store._commits.busy:
            self.clock.advance(0)

    def after(self, seq: int) -> list[int | None]:
        events: list[Event] = self.successResultOf(self.log.after(seq))
        return [event.seq for event in events]

    def start(self, cursor: str | None) -> int | Gap:
        return self.successResultOf(Deferred.fromCoroutine(self.log.start(cursor)))

    def test_the_tip_reads_no_disk(self) -> None:
        """Those at the tip are served from memory, those behind the ring by the store."""
        self.patch(eventlog, "RING", 100)
        self.happen(250)
        self.read = 0
        self.assertEqual(self.after(249), [250])
        self.assertEqual(self.after(150), list(range(151, 251)))
        self.assertEqual(self.after(250), [])
        self.assertEqual(self.read, 0)
        self.assertEqual(self.after(149), list(range(150, 251)))
        self.assertEqual(self.read, 1)

    def test_ring_and_store_say_the_same(self) -> None:
        """From wherever one reads on, one gets every event once, in order, by pages."""
        self.patch(eventlog, "RING", 100)
        self.patch(eventlog, "PAGE", 30)
        self.happen(250)
        for cursor in (0, 1, 119, 149, 150, 151, 249, 250):
            seen: list[int | None] = []
            seq = cursor
            while events := self.after(seq):
                self.assertLessEqual(len(events), 30)
                seen += events
                seq = events[-1] or 0
            self.assertEqual(seen, list(range(cursor + 1, 251)))

    def test_page(self) -> None:
        """A watcher is handed at most a page at a time, from memory too."""
        self.happen(PAGE + 100)
        self.assertEqual(len(self.after(0)), PAGE)
        self.assertEqual(len(self.after(PAGE)), 100)

    def test_ring_is_bounded_by_bytes(self) -> None:
        """Large events push older ones out of memory; the store still has them."""
        self.patch(eventlog, "RING_BYTES", 10_000)
        self.happen(30, size=1_000)
        held = sum(len(bytes(e.payload)) for e in self.log._ring)
        self.assertLessEqual(held, 10_000)
        self.assertEqual(self.log._ring_bytes, held)
        self.assertEqual(self.after(0), list(range(1, 31)))
        self.happen(1, size=50_000)
        self.assertEqual((len(self.log._ring), self.after(30)), (1, [31]))

    def test_bounds(self) -> None:
        """The ring holds at most 10 000 events."""
        self.assertEqual(eventlog.RING, 10_000)
        self.patch(eventlog, "RING", 7)
        self.happen(20)
        self.assertEqual(len(self.log._ring), 7)

    def test_after_a_restart(self) -> None:
        """A hub that starts with a long log reads the old part from the store."""
        self.happen(20)
        log = EventLog(self.store, "00000000", 20, 0)
        events = self.successResultOf(log.after(10))
        self.assertEqual([e.seq for e in events], list(range(11, 21)))
        self.assertEqual(self.successResultOf(log.after(20)), [])

    def test_cursors(self) -> None:
        """A cursor is ``epoch:seq``; none is from now, ``0`` from the oldest kept."""
        self.happen(5)
        self.assertEqual(self.log.cursor(3), "00000000:3")
        for cursor, expected in (
            (None, 5),
            ("0", 0),
            ("00000000:0", 0),
            ("3", 3),
            ("00000000:3", 3),
            ("00000000:5", 5),
        ):
            self.assertEqual(self.start(cursor), expected, cursor)

    def test_cursors_that_cannot_be_followed(self) -> None:
        """Too new, of another epoch, or no cursor at all: a gap that tells the oldest kept."""
        self.happen(5)
        for cursor in (
            "6",
            "00000000:6",
            "ffffffff:3",
            "ffffffff:0",
            "x",
            "00000000:",
            "-1",
            "1.5",
        ):
            self.assertEqual(self.start(cursor), Gap(1), cursor)
        for cursor in ("9" * 30, "\u0663", "00000000:\u00b2", "0x1", " 1", ":", "a:b:1"):
            self.assertEqual(self.start(cursor), Gap(1), cursor)

    def test_too_old(self) -> None:
        """With the beginning of the log gone, a cursor before it is a gap; ``0`` never is."""
        self.happen(10)
        self.store._connection.execute("DELETE FROM events WHERE seq <= 6")
        self.assertEqual(self.start("5"), Gap(7))
        self.assertEqual(self.start("00000000:3"), Gap(7))
        self.assertEqual(self.start("6"), 6)
        self.assertEqual(self.start("0"), 6)

    def test_watchers(self) -> None:
        """A commit wakes every watcher once; a stopped one hears no more."""
        woken: list[str] = []
        first = self.log.subscribe(lambda: woken.append("first"), lambda event: None)
        self.log.subscribe(lambda: woken.append("second"), lambda event: None)
        self.happen(3)
        self.assertEqual(sorted(woken), ["first", "second"])
        first.stop()
        first.stop()
        self.happen(1)
        self.assertEqual(woken.count("first"), 1)
        self.assertEqual(woken.count("second"), 2)

    def test_watcher_that_raises(self) -> None:
        """A watcher that raises is logged and keeps nothing from the others."""

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        heard: list[object] = []
        self.log.subscribe(broken, broken)
        self.log.subscribe(lambda: heard.append("woken"), heard.append)
        self.happen(1)
        self.log.announce(Draft(TASKS, "task_accepted", NOW, "unknown"))
        self.assertEqual(len(heard), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_live_events_are_not_stored(self) -> None:
        """An announced event reaches watchers with ``seq`` null, and no log."""
        heard: list[Event] = []
        self.log.subscribe(lambda: None, heard.append)
        self.log.announce(Draft(TASKS, "task_complete", NOW, "unknown", "w"))
        self.assertEqual([(e.seq, e.event) for e in heard], [(None, "task_complete")])
        self.assertEqual(self.after(0), [])
        self.assertEqual(self.successResultOf(self.store.events(0, 9)), [])
