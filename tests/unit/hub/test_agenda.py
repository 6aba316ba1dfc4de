"""The agenda on a clock: what is due runs, whatever else goes wrong."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agentcom.hub.agenda import TICK_S, Agenda


class AgendaTests(SynchronousTestCase):
    """Entries by kind and key, and the tick."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.agenda = Agenda(self.clock)
        self.ran: list[tuple[float, str]] = []
        self.agenda.on("wake", lambda key: self.ran.append((self.clock.seconds(), key)))
        self.agenda.start()
        self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(0.25)

    def test_runs_at_its_time(self) -> None:
        """An entry runs when it is due, once, without waiting for the tick."""
        self.agenda.after("wake", "a", 0.25)
        self.agenda.after("wake", "b", 2.5)
        self.agenda.after("wake", "c", 0.0)
        self.clock.advance(0)
        self.assertEqual(self.ran, [(0, "c")])
        self.advance(10)
        self.assertEqual(self.ran, [(0, "c"), (0.25, "a"), (2.5, "b")])

    def test_order(self) -> None:
        """What is due at once runs in the order of its times."""
        for key, seconds in (("late", 0.2), ("early", 0.1), ("latest", 0.3)):
            self.agenda.after("wake", key, seconds)
        self.clock.advance(60)
        self.assertEqual([key for _, key in self.ran], ["early", "late", "latest"])

    def test_newest_time_counts(self) -> None:
        """A later word on the same entry replaces the earlier one, sooner or later."""
        self.agenda.after("wake", "a", 1)
        self.agenda.after("wake", "a", 5)
        self.agenda.after("wake", "b", 5)
        self.agenda.after("wake", "b", 1)
        self.advance(10)
        self.assertEqual(self.ran, [(1, "b"), (5, "a")])

    def test_cancel(self) -> None:
        """A cancelled entry does not run; cancelling what is not there is no mistake."""
        self.agenda.after("wake", "a", 1)
        self.agenda.cancel("wake", "a")
        self.agenda.cancel("wake", "never")
        self.advance(5)
        self.assertEqual(self.ran, [])
        self.agenda.after("wake", "a", 1)
        self.advance(5)
        self.assertEqual([key for _, key in self.ran], ["a"])

    def test_kinds_are_apart(self) -> None:
        """Entries of two kinds with one key know nothing of each other."""
        other: list[str] = []
        self.agenda.on("other", other.append)
        self.agenda.after("wake", "a", 1)
        self.agenda.after("other", "a", 1)
        self.agenda.cancel("wake", "a")
        self.advance(2)
        self.assertEqual((self.ran, other), ([], ["a"]))

    def test_cancel_several_kinds(self) -> None:
        """Entries of one key are forgotten by their kinds, those that are there, and no others."""
        other: list[str] = []
        self.agenda.on("other", other.append)
        for key in ("a", "b"):
            self.agenda.after("wake", key, 1)
            self.agenda.after("other", key, 1)
        self.agenda.cancel_all(("wake", "never"), "a")
        self.agenda.cancel_all(("other",), "b")
        self.advance(2)
        self.assertEqual(([key for _, key in self.ran], other), (["b"], ["a"]))

    def test_left(self) -> None:
        """How long an entry has left is told, by its newest time, until it runs or is cancelled."""
        self.assertIsNone(self.agenda.left("wake", "a"))
        self.agenda.after("wake", "a", 10)
        self.assertEqual(self.agenda.left("wake", "a"), 10)
        self.assertIsNone(self.agenda.left("other", "a"))
        self.assertIsNone(self.agenda.left("wake", "b"))
        self.advance(4)
        self.assertEqual(self.agenda.left("wake", "a"), 6)
        self.agenda.after("wake", "a", 2)
        self.assertEqual(self.agenda.left("wake", "a"), 2)
        self.advance(2)
        self.assertIsNone(self.agenda.left("wake", "a"))
        self.agenda.after("wake", "a", 1)
        self.agenda.cancel("wake", "a")
        self.assertIsNone(self.agenda.left("wake", "a"))

    def test_left_when_late(self) -> None:
        """An entry that is late has nothing left, and never less."""
        self.agenda.after("wake", "a", 1)
        self.agenda.stop()
        self.clock.advance(5)
        self.assertEqual(self.agenda.left("wake", "a"), 0)

    def test_survives_raising_steps(self) -> None:
        """A step that raises is logged; those after it run, and so do later ticks."""

        def broken(_: str = "") -> None:
            raise ZeroDivisionError

        self.agenda.on("broken", broken)
        self.agenda.every_tick(broken)
        swept: list[float] = []
        self.agenda.every_tick(lambda: swept.append(self.clock.seconds()))
        self.agenda.after("broken", "x", 1)
        self.agenda.after("unknown kind", "x", 1)
        self.agenda.after("wake", "a", 1)
        self.advance(5)
        self.assertEqual(self.ran, [(1, "a")])
        self.assertEqual(swept, [1, 2, 3, 4, 5])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 6)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_ticks_every_second(self) -> None:
        """The sweep runs at least once a second, also when nothing is due for long."""
        swept: list[float] = []
        self.agenda.every_tick(lambda: swept.append(self.clock.seconds()))
        self.agenda.after("wake", "far", 10_000)
        self.advance(10)
        self.assertGreaterEqual(len(swept), 10 / TICK_S)

    def test_steps_may_plan(self) -> None:
        """A step may put itself, and others, on the agenda again."""
        self.agenda.on("again", lambda key: self.agenda.after("again", key + "x", 1))
        self.agenda.on("soon", lambda key: self.agenda.after("wake", key, 0.25))
        self.agenda.after("again", "", 1)
        self.agenda.after("soon", "s", 1)
        self.advance(4)
        self.assertEqual(self.ran, [(1.25, "s")])
        self.assertEqual(self.agenda._due, {("again", "xxxx"): 5.0})

    def test_stop(self) -> None:
        """After a stop nothing runs, also when a step stopped it."""
        self.agenda.on("stop", lambda key: self.agenda.stop())
        self.agenda.after("stop", "", 1)
        self.agenda.after("wake", "a", 2)
        self.advance(5)
        self.assertEqual((self.ran, self.clock.getDelayedCalls()), ([], []))
        self.agenda.after("wake", "b", 0)
        self.agenda.stop()
        self.advance(5)
        self.assertEqual(self.ran, [])

    def test_entries_before_the_start(self) -> None:
        """What was put on the agenda before the start runs after it."""
        clock = Clock()
        agenda = Agenda(clock)
        ran: list[str] = []
        agenda.on("wake", ran.append)
        agenda.after("wake", "a", 0)
        self.assertEqual(ran, [])
        agenda.start()
        clock.advance(0)
        self.assertEqual(ran, ["a"])

    def test_stale_entries_are_thrown_away(self) -> None:
        """Replaced and cancelled entries do not pile up, and none of the others is lost."""
        for round in range(10_000):
            self.agenda.after("wake", "again", 5_000 + round)
            self.agenda.after("wake", f"gone {round}", 9_000)
            self.agenda.cancel("wake", f"gone {round}")
        self.agenda.after("wake", "a", 1)
        self.assertLess(len(self.agenda._heap), 2_000)
        self.advance(2)
        self.assertEqual(self.ran, [(1, "a")])
        self.clock.advance(20_000)
        self.assertEqual([key for _, key in self.ran], ["a", "again"])
