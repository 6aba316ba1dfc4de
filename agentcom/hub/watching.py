"""Watchers of the event log: what server-sent events and WebSockets share.

A :class:`Watch` stands at a cursor and hands on what comes after it, never
faster than its reader takes it.  :class:`Watchers` has them all: it wakes
them, ends them and bounds what they cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.events import TOPICS, Event
from agentcom.core.tokens import Token
from agentcom.errors import HubStopping, TooManyWatchers
from agentcom.hub.eventlog import EventLog, Gap, Page, Subscription
from agentcom.hub.revocation import Ended
from agentcom.store.interface import event_weight

WATCHERS = 1_000
"""Watches in all."""

WATCHERS_OF_A_TOKEN = 100
"""Watches that were opened with one token."""

RETRY_AFTER_MS = 5_000
"""Told to those that are refused."""

WRITES_PER_S = 2_000
"""Times a second that news are handed to watches, all together; with many
watches, what happens meanwhile is handed over together."""

BURST_S = 1.0
"""Seconds' worth of them that may come at once."""

LIVE = 200
LIVE_BYTES = 256 * 1024
"""Events without a place in the log that wait to be shown; those beyond are
not shown.  Anybody can cause them, and they are kept nowhere."""

SLOW = "slow"
HUB_STOPPING = "hub_stopping"
INTERNAL_ERROR = "internal_error"


class Wanted(msgspec.Struct, frozen=True):
    """Which events a watch hands on.

    :ivar task_id: only those of this task.
    """

    topics: frozenset[str] = frozenset(TOPICS)
    task_id: str | None = None

    def of(self, page: Page) -> list[Event]:
        """Those of a page."""
        if self.task_id is not None:
            task_id = self.task_id
            return [e for e in page.events if e.task_id == task_id and e.topic in self.topics]
        return [event for event in page.events if event.topic in self.topics]


class Reader(Protocol):
    """Who takes what a watch hands on; it says when it can take no more by
    :meth:`Watch.pause`."""

    def take(self, page: Page, wanted: Wanted) -> None:
        """Events of the log; there may be none among them that are wanted."""

    def show(self, page: Page, wanted: Wanted) -> None:
        """Events that are in no log."""

    def skip(self, gap: Gap) -> None:
        """Events were forgotten before they were handed on."""

    def cut(self, reason: str) -> None:
        """The watch has been ended from this side; one word why."""


class Watch:
    """One place in the log that moves on; ended by the first of :meth:`stop` and :meth:`end`.

    :ivar seq: the last event that was handed on.
    """

    log = Logger()

    def __init__(
        self,
        watchers: Watchers,
        reader: Reader,
        wanted: Wanted,
        seq: int,
        token: Token,
        kind: str,
        slow_s: float,
    ) -> None:
        self._watchers = watchers
        self._log = watchers.events
        self._clock = watchers.clock
        self._reader = reader
        self.wanted = wanted
        self.seq = seq
        self.token = token
        self.kind = kind
        self._slow_s = slow_s
        self._slow: IDelayedCall | None = None
        self._reading = False
        # Goes on with a log that is longer than a page.
        self._again: IDelayedCall | None = None
        self._over = False
        # Asked for the oldest that there are: what lies between them is no gap.
        self._walks_old = self._log.missed(seq) is not None

    @property
    def cursor(self) -> str:
        """The cursor that stands after what was handed on."""
        return self._log.cursor(self.seq)

    @property
    def paused(self) -> bool:
        """Whether its reader can take no more now."""
        return self._slow is not None

    def pause(self) -> None:
        """Its reader can take no more; it is cut if that stays so."""
        if self._slow is None and not self._over:
            self._slow = self._clock.callLater(self._slow_s, self.end, SLOW)

    def resume(self) -> None:
        """Its reader has taken everything."""
        if self._slow is not None:
            slow, self._slow = self._slow, None
            slow.cancel()
            self.wake()

    def wake(self) -> None:
        """Hand on what there is after the cursor."""
        if self._reading or self._over or self.paused or self._again is not None:
            return
        if self.seq >= self._log.last_seq:
            return
        missed = self._log.missed(self.seq)
        if missed is None:
            self._walks_old = False
        elif not self._walks_old:
            # It was slow while events were forgotten.
            self._reader.skip(missed)
            self.seq = missed.first - 1
        page = self._log.at_hand(self.seq)
        if page is not None:
            self._hand(page)
            return
        self._reading = True
        last_seq = self._log.last_seq
        self._log.read(self.seq).addCallbacks(self._read, self._broken, (last_seq,))

    def show(self, page: Page) -> None:
        """Hand on what is in no log, unless the reader is behind."""
        if not self._over and not self.paused:
            self._reader.show(page, self.wanted)

    def stop(self) -> None:
        """Hand on no more: the reader is gone."""
        if not self._over:
            self._over = True
            if self._slow is not None and self._slow.active():
                self._slow.cancel()
            self._slow = None
            if self._again is not None:
                self._again.cancel()
                self._again = None
            self._watchers.closed(self)

    def end(self, reason: str) -> None:
        """End it from this side, and tell its reader why."""
        if not self._over:
            self.stop()
            self._watchers.cut[reason] += 1
            self._reader.cut(reason)

    def _hand(self, page: Page) -> None:
        self.seq = page.seq
        self._reader.take(page, self.wanted)
        if self.seq < self._log.last_seq and not self.paused and not self._over:
            # Through the clock: a long log must not hold up the reactor.
            self._again = self._clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._again = None
        self.wake()

    def _read(self, page: Page, last_seq: int) -> None:
        self._reading = False
        if self._over:
            return
        whole = page.events and page.seq - self.seq == len(page.events)
        if not whole and not self._walks_old and self._log.missed(self.seq) is not None:
            # Events were forgotten while it was read; to wake tells of it.
            self.wake()
        elif page.events:
            self._hand(page)
        else:
            # All was forgotten that there was; more may have come meanwhile.
            self.seq = max(self.seq, last_seq)
            self.wake()

    def _broken(self, failure: Failure) -> None:
        self._reading = False
        self.log.failure("while reading events after {seq}", failure, seq=self.seq)
        self.end(INTERNAL_ERROR)


class Watchers:
    """All watches.

    :param cut: counts those that the hub ended, by reason.
    """

    log = Logger()

    def __init__(self, events: EventLog, clock: IReactorTime, cut: Counter[str]) -> None:
        self.events = events
        self.clock = clock
        self.cut = cut
        # In the order in which they came.
        self._watches: dict[Watch, None] = {}
        self._of_tokens: Counter[str] = Counter()
        self._subscription: Subscription | None = None
        self._stopped = False
        self._round: IDelayedCall | None = None
        # When as many writes as may come at once could come again.
        self._rested_at = 0.0
        self._live: list[Event] = []
        self._live_bytes = 0

    def check(self, token: Token) -> None:
        """Whether there is room for one more.

        :raises TooManyWatchers: there is none.
        :raises HubStopping: all have been ended.
        """
        if self._stopped:
            raise HubStopping("the hub is stopping: try again in some seconds")
        if len(self._watches) >= WATCHERS:
            raise TooManyWatchers(f"at most {WATCHERS} watch events at a time", RETRY_AFTER_MS)
        if self._of_tokens[token.hash] >= WATCHERS_OF_A_TOKEN:
            told = f"at most {WATCHERS_OF_A_TOKEN} watch events with one token at a time"
            raise TooManyWatchers(told, RETRY_AFTER_MS)

    def open(
        self, kind: str, reader: Reader, wanted: Wanted, seq: int, token: Token, slow_s: float
    ) -> Watch:
        """Begin to watch; the first :meth:`Watch.wake` is the caller's.

        :param kind: of the reader, one of few words.
        :param seq: the last event that the reader has.
        :param token: ended with it.
        :param slow_s: seconds that the reader may take nothing.
        :raises TooManyWatchers: there is no room.
        :raises HubStopping: all have been ended.
        """
        self.check(token)
        watch = Watch(self, reader, wanted, seq, token, kind, slow_s)
        self._watches[watch] = None
        self._of_tokens[token.hash] += 1
        if self._subscription is None:
            self._subscription = self.events.subscribe(self._news, self._announced)
        return watch

    def open_streams(self) -> dict[str, int]:
        """How many watches there are, by kind."""
        return Counter(watch.kind for watch in self._watches)

    def closed(self, watch: Watch) -> None:
        """It has ended."""
        del self._watches[watch]
        self._of_tokens[watch.token.hash] -= 1
        if not self._of_tokens[watch.token.hash]:
            del self._of_tokens[watch.token.hash]
        if not self._watches and self._subscription is not None:
            self._subscription.stop()
            self._subscription = None
            if self._round is not None:
                self._round.cancel()
                self._round = None
            self._live, self._live_bytes = [], 0

    def ended(self, what: Ended) -> None:
        """End the watches that were opened with what has ended."""
        self._end(what.reason, what.ends)

    def stop(self) -> None:
        """End all watches, and let none begin: the hub is stopping."""
        self._stopped = True
        self._end(HUB_STOPPING, lambda token: True)

    def _end(self, reason: str, ends: Callable[[Token], bool]) -> None:
        for watch in [watch for watch in self._watches if ends(watch.token)]:
            self._safely(watch.end, reason)

    def _announced(self, event: Event) -> None:
        weight = event_weight(event)
        if len(self._live) < LIVE and self._live_bytes + weight <= LIVE_BYTES:
            self._live.append(event)
            self._live_bytes += weight
            self._news()

    def _news(self) -> None:
        if self._round is None:
            wait_s = self._rested_at - BURST_S - self.clock.seconds()
            # Not at once: those who wait for a commit hear of it first.
            self._round = self.clock.callLater(max(0.0, wait_s), self._wake)

    def _wake(self) -> None:
        self._round = None
        cost_s = len(self._watches) / WRITES_PER_S
        self._rested_at = max(self._rested_at, self.clock.seconds()) + cost_s
        shown, self._live, self._live_bytes = self._live, [], 0
        live = Page(shown, 0)
        for watch in list(self._watches):
            if shown:
                self._safely(watch.show, live)
            self._safely(watch.wake)

    def _safely(self, call: Callable[..., None], *args: object) -> None:
        try:
            call(*args)
        except Exception:
            self.log.failure("while telling a watcher of events")
