"""Forgets what ended long ago, a little at a time.

The log stays in order: what is forgotten leaves gaps that cursors tell of
(see :mod:`.eventlog`), and no sequence number comes twice.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.errors import HubStopping, StoreUnavailable
from agentcom.hub.archive import Archive, Place
from agentcom.hub.messageretention import MessageRetention

EVERY_S = 600.0
"""Seconds between two rounds."""

FIRST_AFTER_S = 30.0
"""Seconds after the start until the first round: agents come back first."""

JUMP_S = 3_600.0
"""Seconds by which the time of day may move against a steady clock between two
rounds: a clock that is suddenly a year ahead must not make everything old."""

DISTRUST_S = 86_400.0
"""Seconds in which nothing is forgotten after such a jump."""

PAUSE_S = 0.02
"""Seconds between two steps of a round, for everybody else."""


class Retention:
    """Prunes ended tasks with their events, and messages, once they are old enough.

    :param now: Unix milliseconds.
    :param retain_s: seconds that they are kept, ``None`` for ever.
    :param may_write: whether the hub and its store are well.
    """

    log = Logger()

    def __init__(
        self,
        archive: Archive,
        messages: MessageRetention,
        clock: IReactorTime,
        now: Callable[[], int],
        retain_s: float | None,
        may_write: Callable[[], bool],
    ) -> None:
        self._archive = archive
        self._messages = messages
        self._clock = clock
        self._now = now
        self._retain_s = retain_s
        self._may_write = may_write
        self._next_at = clock.seconds() + FIRST_AFTER_S
        self._running = False
        self._offset_s = self._offset()

    def tick(self) -> None:
        """Begin a round when it is time."""
        if self._running or self._clock.seconds() < self._next_at:
            return
        if self._jumped():
            return
        self._running = True
        Deferred.fromCoroutine(self._round()).addErrback(
            lambda f: self.log.failure("while forgetting what is old", f)
        ).addBoth(self._ended)

    def _offset(self) -> float:
        return self._now() / 1000 - self._clock.seconds()

    def _jumped(self) -> bool:
        moved_s, self._offset_s = self._offset() - self._offset_s, self._offset()
        if abs(moved_s) <= JUMP_S:
            return False
        self._next_at = self._clock.seconds() + DISTRUST_S
        self.log.warn(
            "the clock moved by {hours:.1f} h: nothing is forgotten for a day,"
            " set it right if it is wrong",
            hours=moved_s / 3600,
        )
        return True

    def _ended(self, _: object) -> None:
        self._running = False
        self._next_at = self._clock.seconds() + EVERY_S

    async def _round(self) -> None:
        if self._retain_s is not None:
            await self._forget_tasks(self._retain_s)
        await self._messages.round(self._may_write, self._pause)

    async def _forget_tasks(self, retain_s: float) -> None:
        before = self._now() - int(retain_s * 1000)
        place: Place | None = (0, 0)
        count = 0
        while place is not None and self._may_write():
            try:
                gone, place = await self._archive.prune(before, place)
            except (HubStopping, StoreUnavailable):
                return
            count += gone
            await self._pause()
        if count:
            self.log.info("forgot {count} tasks that ended long ago", count=count)

    def _pause(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._clock.callLater(PAUSE_S, done.callback, None)
        return done
