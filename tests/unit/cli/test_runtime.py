"""Running a coroutine for as long as it takes, on a reactor that is played."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from agentcom.cli import runtime as runtime_module
from agentcom.cli.runtime import Interrupted, Runtime
from agentcom.client.urls import HubURL


class FakeReactor:
    """Runs what it was told to run, then returns."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.stopped = False
        self.triggers: list[tuple[Any, ...]] = []

    def callWhenRunning(self, call: Callable[[], None]) -> None:
        self.calls.append((call,))

    def callLater(self, delay: float, call: Callable[[], None]) -> None:
        self.calls.append((call,))

    def callFromThread(self, call: Callable[[], None]) -> None:
        self.calls.append((call,))

    def addSystemEventTrigger(self, *trigger: Any) -> None:
        self.triggers.append(trigger)

    def stop(self) -> None:
        if self.stopped:
            raise ReactorNotRunning
        self.stopped = True

    def run(self) -> None:
        while self.calls:
            call, *arguments = self.calls.pop(0)
            call(*arguments)


class RuntimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.runtime = Runtime()
        self.patch(self.runtime, "reactor", lambda: self.reactor)

    def test_result(self) -> None:
        """The coroutine's exit code comes back, and the reactor is stopped."""

        async def main(reactor: Any) -> int:
            self.assertIs(reactor, self.reactor)
            return 7

        self.assertEqual(self.runtime.run(main), 7)
        self.assertTrue(self.reactor.stopped)

    def test_failure(self) -> None:
        """What the coroutine raises is raised."""

        async def main(reactor: Any) -> int:
            raise KeyError("x")

        with self.assertRaises(KeyError):
            self.runtime.run(main)

    def test_interrupted(self) -> None:
        """A reactor that was stopped from outside leaves no result."""
        never: Deferred[int] = Deferred()

        async def main(reactor: Any) -> int:
            return await never

        with self.assertRaises(Interrupted):
            self.runtime.run(main)

    def test_signals(self) -> None:
        """Signals reach the stopper in the reactor's own thread."""
        handlers: dict[int, Callable[..., None]] = {}
        self.patch(runtime_module.signal, "signal", handlers.__setitem__)
        stops: list[int] = []
        self.runtime.on_signals(self.reactor, lambda: stops.append(1))
        self.assertEqual(set(handlers), {signal.SIGINT, signal.SIGTERM})
        handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(stops, [])
        self.reactor.run()
        self.assertEqual(stops, [1])

    def test_interruptible(self) -> None:
        """A signal ends a call that blocks; afterwards signals go where they went before."""
        before = signal.getsignal(signal.SIGINT)
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.assertRaises(Interrupted), runtime_module.interruptible():
                signal.raise_signal(number)
        self.assertIs(signal.getsignal(signal.SIGINT), before)

    def test_before_stop(self) -> None:
        """What breaks when the reactor stops is told before."""
        self.runtime.before_stop(self.reactor, print)
        self.assertEqual(self.reactor.triggers, [("before", "shutdown", print)])

    def test_stopped_already(self) -> None:
        """A coroutine that ends because of a signal finds the reactor stopped."""

        async def main(reactor: Any) -> int:
            reactor.stop()
            return 0

        self.assertEqual(self.runtime.run(main), 0)

    def test_connect(self) -> None:
        """A client is made for the address that was given."""
        client = self.runtime.connect(self.reactor, HubURL.parse("http://h:1"), None)
        self.assertIs(client.clock, self.reactor)
