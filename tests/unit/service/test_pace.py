"""What keeps a reactor's turns short, on a reactor of its own that does not run."""

from __future__ import annotations

import os
import select
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from agentcom.config import Config
from agentcom.hub.turnlength import TurnLength
from agentcom.pace import Pace
from agentcom.shortcuts.polls import MOST, MOST_SHEDDING, Polls


class Reactor(Clock):
    """A clock, and the poller of a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self._poller: Any = select.epoll()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class Poller:
    """That of another kind of reactor."""

    def close(self) -> None:
        pass


class Load:
    """How much there is to do."""

    def __init__(self) -> None:
        self.shedding = False
        self.look: Any = None

    def start(self, clock: Any, cpu: object) -> None:
        self.look = lambda shedding: clock.callLater(0, setattr, self, "shedding", shedding)


class PaceTests(SynchronousTestCase):
    """As the service has it, with a hub of which there is little."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.addCleanup(self.reactor._poller.close)
        self.load = Load()
        self.parts: Any = SimpleNamespace(
            hub=SimpleNamespace(agenda=SimpleNamespace(every_tick=None), load=self.load),
            measures=SimpleNamespace(turns=TurnLength(lambda: 0.0)),
            site=SimpleNamespace(door=SimpleNamespace(accept_ahead=None)),
        )
        self.parts.hub.agenda.every_tick = lambda one: None
        self.parts.site.door.accept_ahead = lambda one: None
        self.pace = self.start()

    def start(self, **settings: Any) -> Pace:
        """Keep the pace of this reactor, with these settings."""
        config = Config(data_dir=Path("."), database=Path("agentcom.db"), **settings)
        pace = Pace(self.reactor, config)
        pace.start(self.parts)
        self.addCleanup(pace.stop)
        return pace

    def test_own_descriptors(self) -> None:
        """The pipes of the process that writes come before everybody's descriptors."""
        self.pace.stop()
        fds = [os.eventfd(1) for _ in range(3)]
        for fd in fds:
            self.addCleanup(os.close, fd)
        pace = Pace(self.reactor, Config(data_dir=Path("."), database=Path("agentcom.db")))
        self.addCleanup(pace.stop)
        pace.start(self.parts, lambda place: place(fds[-1]))
        polls = self.reactor._poller
        for fd in fds:
            polls.register(fd, select.EPOLLIN)
        found = [fd for fd, _ in polls.poll(0, 10)]
        for fd in fds:
            polls.unregister(fd)
        self.assertEqual((found[0], set(found)), (fds[-1], set(fds)))

    def test_more_sockets_while_shedding(self) -> None:
        """While there is too much to do a turn has more calls, and then as many as before."""
        polls = self.reactor._poller
        assert isinstance(polls, Polls)
        for shedding, most in ((False, MOST), (True, MOST_SHEDDING), (False, MOST)):
            self.load.look(shedding)
            self.reactor.advance(0)
            self.reactor.readers[0].doRead()
            self.assertEqual(polls._most, most)

    def test_stop(self) -> None:
        """Afterwards the reactor is as it was."""
        self.pace.stop()
        self.assertIsInstance(self.reactor._poller, select.epoll)
        self.assertEqual(self.reactor.readers, [])

    def said(self, **settings: Any) -> list[str]:
        """What the log says when a pace begins."""
        said: list[str] = []

        def observe(event: Any) -> None:
            said.append(f"{event['log_level'].name}: {event['log_format'].format(**event)}")

        self.pace.stop()
        self.patch(Pace, "log", Logger(observer=observe))
        self.start(**settings).stop()
        return said

    def test_without_epoll(self) -> None:
        """A shortcut that cannot be used is told, and what needs it is a warning."""
        self.assertEqual(self.said(), [])
        self.reactor._poller.close()
        self.reactor._poller = Poller()
        self.assertEqual(len(told := self.said()), 1)
        self.assertRegex(told[0], "^info: the shortcut polls is not used: .* has no epoll$")
        _, warned = self.said(stall_log_ms=10.0)
        self.assertRegex(warned, "^warn: --stall-log-ms is not used: it needs the shortcut polls")

    def test_stall_log_without_polls(self) -> None:
        """The same where the shortcut is off."""
        (warned,) = self.said(stall_log_ms=10.0, shortcuts=frozenset())
        self.assertRegex(warned, "^warn: --stall-log-ms is not used: it needs the shortcut polls")
        self.assertEqual(self.said(shortcuts=frozenset()), [])
