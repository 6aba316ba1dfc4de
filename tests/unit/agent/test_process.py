"""How a process under twistd ends."""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from agentcom import process
from tests.unit.service.support import MemoryReactor


class EndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.err = io.StringIO()
        self.patch(sys, "__stderr__", self.err)

    def fail_to_start(self, **twistd: Any) -> None:
        ended = self.assertRaises(SystemExit, process.fail_to_start, twistd, "it is taken")
        self.assertEqual(ended.code, 1)

    def test_foreground(self) -> None:
        """In the foreground it is one sentence on stderr, and no pid file stays."""
        pidfile = Path(self.mktemp())
        pidfile.write_text("1")
        self.fail_to_start(nodaemon=True, pidfile=str(pidfile))
        self.assertEqual(self.err.getvalue(), "agentcom: it is taken\n")
        self.assertFalse(pidfile.exists())

    def test_no_stderr(self) -> None:
        """Also a process without a stderr ends."""
        self.patch(sys, "__stderr__", None)
        self.fail_to_start(nodaemon=True)

    def test_daemon(self) -> None:
        """A daemon tells its waiting parent process, which is the one with a stderr."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        self.fail_to_start(statusPipe=write)
        self.assertEqual(os.read(read, 1_000), b"1 agentcom: it is taken")
        self.assertEqual(self.err.getvalue(), "")

    def test_exit_code(self) -> None:
        """A process that is told to ends with exit code 1 when its end comes."""
        asked: list[Any] = []
        self.patch(atexit, "register", lambda *call: asked.append(call))
        process.exit_with_1()
        self.assertEqual(asked, [(os._exit, 1)])


class SignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def test_signals(self) -> None:
        """Each signal is a call in the reactor's thread, for as long as it runs."""
        reactor = MemoryReactor()
        calls: list[str] = []
        before = signal.getsignal(signal.SIGTERM)
        process.on_signals(reactor, lambda: calls.append("stop"))
        self.assertIs(signal.getsignal(signal.SIGTERM), before)
        reactor.start()
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(calls, [])
        reactor.turn()
        self.assertEqual(calls, ["stop"])
        os.kill(os.getpid(), signal.SIGINT)
        reactor.turn()
        self.assertEqual(calls, ["stop", "stop"])
        for f, args, kwargs in reactor.triggers["after"]["shutdown"]:
            f(*args, **kwargs)
        self.assertIs(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)


class TimerTests(SynchronousTestCase):
    def test_steady(self) -> None:
        """Timers do not follow a clock that is set."""
        reactor = MemoryReactorClock()
        process.steady_timers(reactor)
        now = reactor.seconds()
        self.patch(process.runtime, "seconds", lambda: now - 3_600)
        self.assertGreaterEqual(reactor.seconds(), now)
