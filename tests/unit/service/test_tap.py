"""``makeService`` for real, on a reactor in memory; and how a process ends."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

import twisted.internet
from twisted.application.service import IService
from zope.interface.verify import verifyObject

from agentcom import tap
from agentcom.service import HubService
from agentcom.tap import Options, makeService
from tests.unit.service.support import ServiceCase


class TapCase(ServiceCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(twisted.internet, "reactor", self.reactor)
        self.err = io.StringIO()
        self.patch(sys, "__stderr__", self.err)

    def options(self, *args: str, **parent: Any) -> Options:
        options = Options()
        options.parseOptions([f"--data-dir={self.folder}", "--listen=tcp:4000", *args])
        options.parent = parent
        return options

    def made(self, options: Options) -> HubService:
        service = makeService(options)
        assert isinstance(service, HubService)
        self._services.append(service)
        return service


class MakeServiceTests(TapCase):
    """From options to a service."""

    def test_service(self) -> None:
        """The options make a service that opens nothing until it starts, and then serves."""
        service = self.made(self.options("--presence-limit=7"))
        self.assertTrue(verifyObject(IService, service))
        self.assertEqual(service.config.presence_limit, 7)
        self.assertFalse(self.folder.exists())
        self.assertEqual(self.reactor.listening, {})
        service.startService()
        self.assertEqual(set(self.reactor.listening), {4000})
        self.assertEqual(self.request(service, "GET", "/ready").status, 200)

    def test_options_are_parsed_first(self) -> None:
        """Options that were never parsed make no service."""
        self.assertRaises(ValueError, makeService, Options())

    def test_open_registration(self) -> None:
        """A flag of the command line reaches the route."""
        service = self.made(self.options("--open-registration"))
        service.startService()
        (self.folder / "admin.token").write_text("no token\n")
        answer = self.request(service, "POST", "/api/onboard/register", b'{"agent_id":"new"}')
        self.assertEqual(answer.status, 201)

    def test_plugin(self) -> None:
        """twistd's subcommand is this module."""
        from twisted.plugins import agentcom_plugin

        maker = agentcom_plugin.agentcom
        self.assertEqual((maker.tapname, maker.module), ("agentcom", "agentcom.tap"))
        self.assertIs(maker.options, Options)
        self.assertIs(maker.makeService, makeService)


class FailingTests(TapCase):
    """How a hub that cannot start ends its process."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor.listening[4000] = "somebody else"

    def test_foreground(self) -> None:
        """In the foreground it is one sentence on stderr, exit code 1, no pid file left."""
        pidfile = self.folder.with_name(self.folder.name + ".pid")
        pidfile.write_text("1")
        options = self.options(nodaemon=True, pidfile=str(pidfile))
        service = self.made(options)
        ended = self.assertRaises(SystemExit, service.startService)
        self.assertEqual(ended.code, 1)
        text = self.err.getvalue()
        self.assertEqual(text.count("\n"), 1)
        self.assertTrue(text.startswith("agentcom: cannot listen on tcp:4000"), text)
        self.assertFalse(pidfile.exists())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_daemon(self) -> None:
        """A daemon tells its waiting parent process, which is the one with a stderr."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        service = self.made(self.options(statusPipe=write))
        ended = self.assertRaises(SystemExit, service.startService)
        self.assertEqual(ended.code, 1)
        told = os.read(read, 1_000)
        self.assertTrue(told.startswith(b"1 agentcom: cannot listen on tcp:4000"), told)
        self.assertLessEqual(len(told), 100)
        self.assertEqual(self.err.getvalue(), "")

    def test_no_stderr(self) -> None:
        """Also a process without a stderr ends."""
        self.patch(sys, "__stderr__", None)
        service = self.made(self.options(nodaemon=True))
        self.assertRaises(SystemExit, service.startService)


class SignalTests(TapCase):
    """SIGTERM and SIGINT stop the reactor, so that the exit code is 0."""

    def setUp(self) -> None:
        super().setUp()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def test_first_signal(self) -> None:
        """The first signal stops the reactor from its own thread, and is logged."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.reactor.hasStopped = False
            self.made(self.options())
            self.reactor.start()
            os.kill(os.getpid(), number)
            self.assertFalse(self.reactor.hasStopped)
            self.reactor.turn()
            self.assertTrue(self.reactor.hasStopped)
            self.assertIn(f"{number.name} received", self.lines)

    def test_second_signal(self) -> None:
        """The second signal ends the process at once."""
        ended: list[int] = []
        self.patch(tap.os, "_exit", ended.append)
        self.made(self.options())
        self.reactor.start()
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(ended, [])
        os.kill(os.getpid(), signal.SIGINT)
        self.assertEqual(ended, [1])

    def test_handlers_wait_for_the_reactor(self) -> None:
        """Nothing is taken over before the reactor runs: it would be taken back."""
        before = signal.getsignal(signal.SIGTERM)
        self.made(self.options())
        self.assertIs(signal.getsignal(signal.SIGTERM), before)

    def test_give_up(self) -> None:
        """Giving up ends the process with a code that is not 0."""
        ended: list[int] = []
        self.patch(tap.os, "_exit", ended.append)
        tap._give_up()
        self.assertEqual(ended, [1])
        self.assertTrue(Path(tap.__file__).exists())
