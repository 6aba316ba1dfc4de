"""Threads for what may block: reads of the store, lines of the audit log.

In place of Twisted's thread pool, whose way of a call to its thread and back
takes three times as long: every read takes that way, and whoever waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

T = TypeVar("T")
Task = tuple[Callable[[], Any], Deferred[Any]]


class Workers:
    """Some threads with one queue; the first free one takes what came first.

    Called with work, from the reactor's thread, it gives what fires there once
    the work is done.  A thread is started when work comes for which none is free.

    :param name: of the threads, with a number.
    :param most: threads at the most.
    :ivar busy: how much was asked for that is not done.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str, most: int) -> None:
        self._reactor = reactor
        self._name = name
        self._most = most
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._ended = False
        self.busy = 0

    def __call__(self, work: Callable[[], T]) -> Deferred[T]:
        if self._ended:
            return fail(RuntimeError(f"the threads for {self._name} have ended"))
        self.busy += 1
        if self.busy > len(self._threads) < self._most:
            self._start()
        done: Deferred[T] = Deferred()
        self._queue.put((work, done))
        return done

    def stop(self) -> None:
        """End the threads, once all work is done; waits for that.

        What it fires then fires only if the reactor still runs.
        """
        if self._ended:
            return
        self._ended = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        name = f"{self._name}-{len(self._threads) + 1}"
        # A process that is otherwise at its end must not wait for a disk that hangs.
        thread = Thread(target=self._serve, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        # Nothing is named here, lest an idle thread keep the last page that it read.
        while self._do(self._queue.get()):
            pass

    def _do(self, task: Task | None) -> bool:
        """Do it and tell of it; whether there may be more to do."""
        if task is None:
            return False
        work, done = task
        try:
            result = work()
        except BaseException:
            self._reactor.callFromThread(self._over, done.errback, Failure())
        else:
            self._reactor.callFromThread(self._over, done.callback, result)
        return True

    def _over(self, fire: Callable[[Any], None], outcome: Any) -> None:
        self.busy -= 1
        fire(outcome)
