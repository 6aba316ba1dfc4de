"""What many watchers cost, and what each of them is handed.

The log is the real one; time is a clock's.
"""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.events import PRESENCE, TASKS, Draft, payload
from agentcom.core.tokens import SUBMIT, Token
from agentcom.errors import HubStopping
from agentcom.hub import eventlog, watching
from agentcom.hub.eventlog import WATCHED_BYTES, EventLog, Gap, Page
from agentcom.hub.watching import Wanted, Watch, Watchers
from agentcom.store.interface import Unit, event_weight
from tests.unit.hub.test_auth import Late
from tests.unit.store.support import NOW, make_clock, memory_store


class Note:
    """A reader that writes everything down."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.shown: list[str] = []
        self.said: list[str] = []
        self.watch: Watch | None = None
        self.full_after = 10**9
        self.raises = False

    @property
    def seqs(self) -> list[int | None]:
        return [event.seq for page in self.pages for event in page.events]

    def take(self, page: Page, wanted: Wanted) -> None:
        if self.raises:
            raise ZeroDivisionError
        self.pages.append(page)
        if len(self.pages) >= self.full_after and self.watch is not None:
            self.watch.pause()

    def show(self, page: Page, wanted: Wanted) -> None:
        self.shown += [event.event for event in wanted.of(page)]

    def skip(self, gap: Gap) -> None:
        self.said.append(f"gap {gap.first}")

    def cut(self, reason: str) -> None:
        self.said.append(reason)


class WatchingTests(SynchronousTestCase):
    """Over the real store in memory."""

    def setUp(self) -> None:
        self.clock = make_clock()
        self.reads = Late()
        self.store = memory_store(self.clock, reads=self.reads)
        self.addCleanup(self.store.close)
        self.log = EventLog(self.store, "00000000", 0, 0)
        self.cut: Counter[str] = Counter()
        self.watchers = Watchers(self.log, self.clock, self.cut)

    def happen(self, count: int = 1, size: int = 0, topic: str = TASKS) -> None:
        told = payload(x="x" * size)
        for _ in range(count):
            draft = Draft(topic, "task_progress", NOW, "t", "w", 1, told)
            self.store.commit(Unit(drafts=[draft]))
        while self.store._commits.busy:
            self.clock.advance(0)
        self.settle()

    def settle(self) -> None:
        while any(c.getTime() <= self.clock.seconds() for c in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def open(self, note: Note, seq: int = 0, who: str = "w", wanted: Wanted | None = None) -> Watch:
        token = Token(hash=who, agent_id=who, prefix=who, scopes=(SUBMIT,), created_at=NOW)
        wanted = wanted or Wanted()
        note.watch = self.watchers.open("test", note, wanted, seq, token, 60.0)
        note.watch.wake()
        self.settle()
        return note.watch

    def test_one_page_for_all(self) -> None:
        """All who stand at the tip are handed the same page, encoded once."""
        notes = [Note() for _ in range(5)]
        for note in notes:
            self.open(note)
        self.happen()
        made: list[Page] = []
        for note in notes:
            self.assertIs(note.pages[0], notes[0].pages[0])
            note.pages[0].form("x", lambda page: made.append(page) or b"lines")
        self.assertEqual(len(made), 1)
        for _ in range(2 * eventlog.KEPT_PAGES):
            self.happen()
            for note in notes:
                self.assertIs(note.pages[-1], notes[0].pages[-1])

    def test_pages_are_small(self) -> None:
        """However large events are, a watcher is handed a bounded page at a time."""
        size = WATCHED_BYTES // 3
        self.happen(20, size=size)
        for ring in (True, False):
            if not ring:
                self.log._ring.clear()
                self.log._pages.clear()
            note = Note()
            self.open(note)
            self.assertEqual(note.seqs, list(range(1, 21)))
            for page in note.pages:
                weight = sum(map(event_weight, page.events[:-1]))
                self.assertLess(weight, WATCHED_BYTES)

    def forget(self, *seqs: int) -> None:
        """What retention does."""
        self.log.forgotten(max(seqs))
        self.store.commit(Unit(forgotten_events=list(seqs)))
        self.settle()

    def restart(self) -> None:
        """What is in the store only, as after a restart."""
        self.log._ring.clear()
        self.log._pages.clear()

    def test_forgotten_before_it_is_read(self) -> None:
        """Events that are forgotten between a wake and the read of the store are a gap."""
        self.happen(100)
        self.restart()
        note = Note()
        self.reads.queued = True
        self.open(note, 20)
        self.forget(*range(22, 61))
        self.reads.release()
        self.settle()
        self.assertEqual(note.said, ["gap 61"])
        self.assertEqual(note.seqs, list(range(61, 101)))

    def test_all_forgotten_before_it_is_read(self) -> None:
        """The same where nothing is left."""
        self.happen(30)
        self.restart()
        note = Note()
        self.reads.queued = True
        self.open(note, 20)
        self.forget(*range(1, 31))
        self.reads.release()
        self.settle()
        self.assertEqual(note.said, ["gap 31"])
        self.happen()
        self.assertEqual(note.seqs, [31])
        self.assertEqual(note.said, ["gap 31"])

    def test_news_while_nothing_is_found(self) -> None:
        """What happens while a watch reads, and finds nothing, is handed on at once."""
        self.happen(30)
        self.forget(*range(1, 31))
        self.restart()
        note = Note()
        self.reads.late = True
        self.open(note, 0)
        self.happen()
        self.assertEqual(note.seqs, [])
        self.reads.release()
        self.settle()
        self.assertEqual(note.seqs, [31])

    def test_forgotten_when_it_was_read(self) -> None:
        """Nothing is missing, and no gap is told, where the read was faster."""
        self.happen(100)
        self.restart()
        note = Note()
        self.reads.late = True
        self.open(note, 20)
        self.forget(*range(1, 61))
        self.reads.release()
        self.settle()
        self.assertEqual(note.said, [])
        self.assertEqual(note.seqs, list(range(21, 101)))

    def test_from_the_oldest(self) -> None:
        """Whoever asked for the oldest that are kept is told of no gap between them."""
        self.happen(100)
        self.forget(*range(1, 40), *range(41, 60))
        note = Note()
        self.open(note, 39)
        self.assertEqual(note.said, [])
        self.assertEqual(note.seqs, [40, *range(60, 101)])

    def test_one_page_a_turn(self) -> None:
        """However often it is woken, one that is far behind is handed a page at a time."""
        self.happen(20, size=WATCHED_BYTES // 3)
        note = Note()
        token = Token(hash="w", agent_id="w", prefix="w", scopes=(SUBMIT,), created_at=NOW)
        watch = self.watchers.open("test", note, Wanted(), 0, token, 60.0)
        for _ in range(5):
            watch.wake()
        self.assertEqual(len(note.pages), 1)
        self.settle()
        self.assertEqual(note.seqs, list(range(1, 21)))

    def test_stopped_far_behind(self) -> None:
        """One that is ended leaves nothing that would go on."""
        self.happen(20, size=WATCHED_BYTES // 3)
        self.settle()
        note = Note()
        token = Token(hash="w", agent_id="w", prefix="w", scopes=(SUBMIT,), created_at=NOW)
        watch = self.watchers.open("test", note, Wanted(), 0, token, 60.0)
        watch.wake()
        watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_after_the_stop(self) -> None:
        """When all have been ended no further one is let in."""
        note = Note()
        self.open(note)
        self.watchers.stop()
        self.assertEqual(note.said, ["hub_stopping"])
        self.assertRaises(HubStopping, self.open, Note())
        self.assertEqual(self.watchers.open_streams(), {})

    def test_rounds(self) -> None:
        """Many watchers are written to so many times a second together, in one go for all
        that happened meanwhile; nothing is missed."""
        self.patch(watching, "WRITES_PER_S", 100)
        notes = [Note() for _ in range(10)]
        for note in notes:
            self.open(note, who=str(len(self.watchers._watches)))
        for _ in range(400):
            self.happen()
            self.clock.advance(0.01)
        self.clock.advance(2)
        self.settle()
        writes = sum(len(note.pages) for note in notes)
        self.assertLessEqual(writes, 100 + 6 * 100)
        self.assertGreater(writes, 4 * 100)
        for note in notes:
            self.assertEqual(note.seqs, list(range(1, 401)))

    def test_few_wait_for_nothing(self) -> None:
        """A single watcher is told of each commit at once."""
        note = Note()
        self.open(note)
        for count in range(1, 50):
            self.happen()
            self.assertEqual(len(note.pages), count)

    def test_a_reader_at_its_limit(self) -> None:
        """A reader that can take no more is handed nothing, and then what it missed."""
        note = Note()
        note.full_after = 2
        watch = self.open(note)
        self.happen()
        self.happen()
        self.happen()
        self.assertEqual(note.seqs, [1, 2])
        note.full_after = 10**9
        watch.resume()
        self.assertEqual(note.seqs, [1, 2, 3])

    def test_slow(self) -> None:
        """A reader that takes nothing for its time is cut; one that does is not."""
        note, other = Note(), Note()
        self.open(note).pause()
        watch = self.open(other)
        watch.pause()
        self.clock.advance(59)
        watch.resume()
        watch.pause()
        self.clock.advance(2)
        self.assertEqual((note.said, other.said), (["slow"], []))
        self.assertEqual((self.cut, self.watchers.open_streams()), ({"slow": 1}, {"test": 1}))

    def test_live_events_are_bounded(self) -> None:
        """Of events that are in no log only so many wait to be shown, and so large."""
        note = Note()
        self.open(note)
        for _ in range(watching.LIVE + 50):
            self.log.announce(Draft(TASKS, "task_complete", NOW, "unknown"))
        self.settle()
        self.assertEqual(len(note.shown), watching.LIVE)
        for _ in range(5):
            told = payload(x="x" * (watching.LIVE_BYTES // 2))
            self.log.announce(Draft(TASKS, "task_failed", NOW, "unknown", payload=told))
        self.settle()
        self.assertEqual(note.shown.count("task_failed"), 1)
        self.log.announce(Draft(TASKS, "task_rejected", NOW, "unknown"))
        self.settle()
        self.assertEqual(note.shown[-1], "task_rejected")

    def test_live_events_and_topics(self) -> None:
        """They pass the same choice as all others, and none waits for a reader that is full."""
        notes = [Note() for _ in range(3)]
        self.open(notes[0], wanted=Wanted(frozenset({PRESENCE})))
        self.open(notes[1], wanted=Wanted(task_id="other"))
        watch = self.open(notes[2])
        watch.pause()
        self.log.announce(Draft(TASKS, "task_complete", NOW, "unknown"))
        self.settle()
        watch.resume()
        self.assertEqual([note.shown for note in notes], [[], [], []])

    def test_one_that_raises(self) -> None:
        """A reader that raises is logged and keeps nothing from the others."""
        bad, good = Note(), Note()
        bad.raises = True
        self.open(bad)
        self.open(good)
        self.happen()
        self.assertEqual(good.seqs, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_nothing_stays(self) -> None:
        """With the last watch everything that was kept for watches is gone."""
        watches = [self.open(Note(), who=str(n)) for n in range(3)]
        self.store.commit(Unit(drafts=[Draft(TASKS, "task_progress", NOW)]))
        self.log.announce(Draft(TASKS, "task_complete", NOW, "unknown"))
        round = self.watchers._round
        assert round is not None
        for watch in watches:
            watch.stop()
            watch.stop()
        self.assertFalse(round.active())
        self.assertEqual(self.watchers._of_tokens, {})
        self.assertEqual(self.log._watchers, set())
        self.assertIsNone(self.watchers._round)
        self.assertEqual(self.watchers._live, [])
