"""Threads that do what may block; the test is the reactor, and waits for each word of them."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from queue import Queue
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.workers import Workers

LIMIT_S = 10.0


class Thing:
    """Something that can be looked after."""


class WorkersTests(SynchronousTestCase):
    """One queue with some threads."""

    def setUp(self) -> None:
        self.calls: Queue[Callable[[], Any]] = Queue()
        self.outcomes: list[Any] = []
        self.workers = self.made("test", 2)

    def made(self, name: str, most: int) -> Workers:
        workers = Workers(self, name, most)  # type: ignore[arg-type]  # all that it uses of one
        self.addCleanup(workers.stop)
        return workers

    def callFromThread(self, call: Callable[..., Any], *args: Any, **kw: Any) -> None:
        self.calls.put(lambda: call(*args, **kw))

    def turn(self) -> None:
        """Wait for a word of a thread, and hear it."""
        self.calls.get(timeout=LIMIT_S)()

    def do(self, work: Callable[[], Any]) -> None:
        self.workers(work).addBoth(self.outcomes.append)

    def named(self) -> list[str]:
        return [t.name for t in threading.enumerate() if t.name.startswith("test-")]

    def test_result(self) -> None:
        """What the work gives fires in the reactor's turn, and not before."""
        self.do(lambda: threading.current_thread().name)
        self.assertEqual((self.outcomes, self.workers.busy), ([], 1))
        self.turn()
        self.assertEqual((self.outcomes, self.workers.busy), (["test-1"], 0))

    def test_failure(self) -> None:
        """What the work raises is its failure, and the thread goes on."""
        self.do(lambda: 1 // 0)
        self.turn()
        self.outcomes.pop().trap(ZeroDivisionError)
        self.do(lambda: 7)
        self.turn()
        self.assertEqual(self.outcomes, [7])

    def test_in_order(self) -> None:
        """One thread does what came first, first."""
        workers = self.made("one", 1)
        done: list[int] = []
        for number in range(50):
            workers(lambda number=number: done.append(number))
        for _ in range(50):
            self.turn()
        self.assertEqual(done, list(range(50)))

    def test_as_many_threads_as_are_needed(self) -> None:
        """A thread comes when none is free, up to the limit; what comes then waits."""
        for _ in range(2):
            self.do(lambda: None)
            self.turn()
        self.assertEqual(len(self.named()), 1)
        free = threading.Event()
        for _ in range(5):
            self.do(lambda: free.wait(LIMIT_S))
        self.assertEqual((len(self.named()), self.workers.busy), (2, 5))
        free.set()
        for _ in range(5):
            self.turn()
        self.assertEqual(self.outcomes, [None, None, *[True] * 5])

    def test_stop(self) -> None:
        """A stop waits for all work that was taken; what comes later is refused at once."""
        done: list[int] = []
        for number in range(20):
            self.do(lambda number=number: done.append(number))
        self.workers.stop()
        self.assertEqual((sorted(done), self.named()), (list(range(20)), []))
        self.failureResultOf(self.workers(lambda: None), RuntimeError)
        self.workers.stop()

    def test_cancelled(self) -> None:
        """Who waits no more is told nothing further; the work is done all the same."""
        done: list[int] = []
        waiting = self.workers(lambda: done.append(1))
        waiting.addBoth(self.outcomes.append)
        waiting.cancel()
        self.turn()
        self.assertEqual((len(self.outcomes), done, self.workers.busy), (1, [1], 0))

    def test_nothing_is_kept(self) -> None:
        """A thread that waits for work keeps nothing of the last that it did."""
        workers = self.made("one", 1)
        workers(Thing).addCallback(self.outcomes.append)
        self.turn()
        kept = weakref.ref(self.outcomes.pop())
        # Once the next is under way the thread has let go of the first.
        begun, free = threading.Event(), threading.Event()
        workers(lambda: (begun.set(), free.wait(LIMIT_S)))
        begun.wait(LIMIT_S)
        gc.collect()
        self.assertIsNone(kept())
        free.set()
