"""What keeps the turns of a hub's reactor short, and looks at how long they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import thread_time
from typing import Any

from twisted.logger import Logger

from agentcom.assembly import Assembly
from agentcom.config import Config
from agentcom.hub.load import Load
from agentcom.pauses import Pauses
from agentcom.rounds import Rounds
from agentcom.shortcuts.polls import OWN, Polls, observe, release
from agentcom.stalls import StallLog, Watchdog


class Pace:
    """The parts that belong to the reactor and the process, not to one hub.

    :param reactor: the hub's.
    """

    log = Logger()

    def __init__(self, reactor: Any, config: Config) -> None:
        self._reactor = reactor
        self._config = config
        self._pauses = Pauses(reactor)
        self._polls: Polls | None = None
        self._rounds: Rounds | None = None
        self._watchdog: Watchdog | None = None

    def start(
        self, parts: Assembly, own: Callable[[Callable[[int], None]], None] = lambda place: None
    ) -> None:
        """Begin, in the reactor's thread, once the hub is loaded.

        :param own: has those descriptors placed that come before everybody's; see
            :meth:`.writing.Writer.place`.
        """
        self._pauses.start()
        parts.hub.agenda.every_tick(self._pauses.tick)
        clock = self._reactor
        if "polls" in self._config.shortcuts:
            self._polls = observe(self._reactor, parts.measures.turns)
            if self._polls is None:
                self.log.info(
                    "the shortcut polls is not used: {reactor} has no epoll", reactor=self._reactor
                )
        if self._polls is not None:
            own(partial(self._polls.place, place=OWN))
            parts.site.door.accept_ahead(self._polls)
            adapt = partial(self._adapt, self._polls, parts.hub.load)
            self._rounds = clock = Rounds(self._reactor, adapt)
            if self._config.stall_log_ms:
                limit_s = self._config.stall_log_ms / 1000
                stalls = StallLog(self._polls, parts.measures.turns, limit_s)
                self._watchdog = Watchdog(stalls)
                self._watchdog.start()
        elif self._config.stall_log_ms:
            self.log.warn(
                "--stall-log-ms is not used: it needs the shortcut polls, and a reactor with epoll"
            )
        parts.hub.load.start(clock, thread_time)

    def _adapt(self, polls: Polls, load: Load) -> None:
        """The load was looked at."""
        polls.adapt(load.shedding)

    def stop(self) -> None:
        """Leave the reactor and the process as they were."""
        self._pauses.stop()
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        if self._rounds is not None:
            self._rounds.stop()
            self._rounds = None
        if self._polls is not None:
            release(self._reactor, self._polls)
            self._polls = None
