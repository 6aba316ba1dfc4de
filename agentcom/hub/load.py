"""How much the hub has to do, and whether it takes more.

A reactor that serves more than it can does not fail, it gets slow: turns get
long, the store gets one batch in each of them, and reports of work that is
done wait behind new work.  So new work is refused before that.  How long
turns are, and how long the store takes, is looked at as long as somebody asks
for something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agentcom.errors import Overloaded
from agentcom.hub.presence import Presence
from agentcom.hub.refusals import Refusals
from agentcom.store.interface import Store, Unit

BACKLOG = 10_000
"""Units waiting for the store at which peers are no longer read from."""

FANOUT_BYTES = 8 * 1024 * 1024
"""The same for bytes of frames that wait to be sent to many."""

LOOK_S = 0.02
"""Seconds between looks; in a long turn of the reactor there is one look."""

LATE_S = 0.08
"""Seconds by which a look may be late, which is how long a request waits to be read."""

BEGIN_S = 0.3
LOOKS = 3
"""Seconds, and looks, that all of this must last before new work is refused: a burst, and a
process that was stopped for a while, are no overload."""

CALM_S = 1.0
"""Seconds without a refusal after which everything is as usual."""

LIGHT_S = 5.0
"""Seconds in which little was refused, and nothing was late or slow for long, after which
everything is as usual: bursts that are too large for a turn now are taken whole then, and must
not keep things as they are for good."""

TURN_S = 0.045
"""Seconds of a processor that a turn may have taken while there is too much to do: what
comes later in this turn is refused."""

LONG_TURN_S = 0.25
"""The same seconds while there is not too much to do: many may come in the same moment."""

WINDOW = 128
"""Units that may wait for the store while there is too much to do: a few batches."""

SLOW_S = 0.25
"""Seconds that the store may take with so many waiting; with few it is the disk that is slow,
and to refuse work makes no disk faster."""

LARGE = 8
LARGE_SLOW_S = 2.0
"""Few units, which may be large ones, and the seconds that the store may take with these."""

MOST_WAITING = 1_000
"""Units that may wait for the store while there is not too much to do, for a request to be taken:
as many who ask wait for the disk then."""

FEWER, MORE, LEAST_SHARE = 0.8, 1.03, 0.01
"""By what the share of those who are taken changes in a turn that was full, and in one that
was not; and the least one."""

LEAST_RETRY_MS = 1_000
MOST_RETRY_MS = 30_000
"""Milliseconds that the refused are asked to wait, at the least and at the most."""

WORK, READ, FRAME = "work", "read", "frame"
"""What was refused: a request that changes something, one that reads, a frame."""


class Load:
    """Says whether more is taken.

    :param fraction: gives numbers from 0 to 1.
    :param shed: counts what was refused, by :data:`WORK`, :data:`READ` and :data:`FRAME`.
    :ivar shedding: there is too much to do; some of what comes is refused.
    :ivar taken: what could have been refused and was not, in this second.
    """

    log = Logger()

    def __init__(
        self, store: Store, presence: Presence, fraction: Callable[[], float], shed: Counter[str]
    ) -> None:
        self._store = store
        self._presence = presence
        self._fraction = fraction
        self._shed = shed
        self.shedding = False
        self._clock: IReactorTime | None = None
        self._cpu: Callable[[], float] = float
        self._turn_began = self._turn_at = 0.0
        self._awake = True
        self._asked = False
        self._quiet_looks = 0
        self._due = 0.0
        self._late_since: float | None = None
        self._late_looks = 0
        self.taken = 0
        self._refused = Refusals()
        self._refused_at = 0.0
        self._sounded_at: float | None = None
        self._store_took = 0.0
        self._slow = False
        self._share = 1.0
        self._credit = 0.0
        self._too_many = False

    def start(self, clock: IReactorTime, cpu: Callable[[], float]) -> None:
        """Look from now on; without it only what waits is looked at.

        :param clock: of the reactor whose turns are looked at.
        :param cpu: seconds of a processor that this thread has used.
        """
        self._clock = clock
        self._cpu = cpu
        self._awake = False

    def behind(self) -> bool:
        """Whether so much waits for the disk or for receivers that peers must wait."""
        return self._store.backlog() > BACKLOG or self._presence.backlog() > FANOUT_BYTES

    def full(self, most_waiting: int = MOST_WAITING) -> bool:
        """Whether what comes now is refused; to be asked once for each.

        :param most_waiting: units that may wait for the store as long as all is well, without
            those that tell who came and went.
        """
        if not self._awake:
            self._wake()
        self._asked = True
        waiting = self._store.backlog()
        if not self.shedding:
            # Five thousand agents that come at once are no requests, and nobody waits for these.
            return waiting - self._presence.pending > most_waiting or self._takes_long()
        self._credit += self._share
        if self._credit < 1.0:
            return True
        self._credit -= 1.0
        # The time of a processor is asked for last: most never get here, and it is a system call.
        if self._slow or waiting >= WINDOW or self._took_s() > TURN_S:
            self._too_many = True
            return True
        return False

    def _takes_long(self) -> bool:
        """Whether this turn is a long one, while there is not too much to do."""
        # So much must have passed before it can have been used, and that costs no system call.
        passed_s = 0.0 if self._clock is None else self._clock.seconds() - self._turn_at
        return passed_s > LONG_TURN_S and self._took_s() > LONG_TURN_S

    def _took_s(self) -> float:
        """Seconds of a processor that this turn has taken so far."""
        return self._cpu() - self._turn_began

    def check_frame(self) -> None:
        """Take a frame that begins something, or not.

        :raises Overloaded: there is too much to do.
        """
        # A line may have thousands of them under way, and is not read from before that.
        if self.full(BACKLOG):
            raise self.refusal(FRAME)
        self.taken += 1

    def refusal(self, kind: str) -> Overloaded:
        """What somebody is told who is refused, with a time of their own."""
        self._shed[kind] += 1
        self._refused.add()
        spread_ms = min(max(1_000.0, self._refused.retry_s * 1000), MOST_RETRY_MS - LEAST_RETRY_MS)
        return Overloaded(LEAST_RETRY_MS + int(spread_ms * self._fraction()))

    def _wake(self) -> None:
        clock = self._clock
        if clock is None:
            return
        self._awake = True
        self._quiet_looks = 0
        self._late_since = None
        self._refused.start(clock.seconds())
        self._store_took = 0.0
        self._plan(clock)

    def _plan(self, clock: IReactorTime) -> None:
        self._turn_began = self._cpu()
        self._turn_at = clock.seconds()
        self._due = self._turn_at + LOOK_S
        clock.callLater(LOOK_S, self._look, clock)

    def _look(self, clock: IReactorTime) -> None:
        """A turn of the reactor begins; how long was the one before?"""
        now = clock.seconds()
        late = now - self._due > LATE_S
        waiting = self._store.backlog() - (self._sounded_at is not None)
        took_s = self._sound(now)
        self._slow = (waiting >= WINDOW and took_s > SLOW_S) or (
            waiting >= LARGE and took_s > LARGE_SLOW_S
        )
        if self.shedding:
            self._adapt()
        self._judge(now, late or self._slow)
        if self._refused.turn(now, self.taken):
            self.taken = 0
        busy = self._asked or self.shedding or waiting > 0
        self._quiet_looks = 0 if busy else self._quiet_looks + 1
        self._asked = False
        if self._quiet_looks * LOOK_S > CALM_S:
            self._awake = False
            return
        self._plan(clock)

    def _adapt(self) -> None:
        """Take such a share of all that come that a turn is just not full.

        Or those would always be refused who come last in a turn: all who open a new connection.
        """
        if self._too_many:
            self._share = max(LEAST_SHARE, self._share * FEWER)
        else:
            idle = self._took_s() < TURN_S / 3
            self._share = min(1.0, self._share * (2.0 if idle else MORE))
        self._too_many = False

    def _judge(self, now: float, too_much: bool) -> None:
        if self._refused.many and self.shedding:
            self._refused_at = now
        if not too_much:
            self._late_since = None
            calm = now - self._refused_at >= CALM_S and not self._refused.many
            if self.shedding and (calm or self._refused.light_s >= LIGHT_S):
                self.shedding = False
                self.log.info("no longer overloaded: everything is taken again")
            return
        if self._late_since is None:
            self._late_since = now
            self._late_looks = 0
        self._late_looks += 1
        if now - self._late_since < BEGIN_S or self._late_looks < LOOKS:
            return
        self._refused.light_s = 0.0
        if not self.shedding:
            self.shedding = True
            self._share = 1.0
            self._refused_at = now
            self.log.warn("overloaded: new work and long reads are refused as needed")

    def _sound(self, now: float) -> float:
        """Seconds that the store takes, found by sending something through its queue."""
        if self._store.trouble() is not None:
            # That is told by itself, and refuses new work too.
            return 0.0
        if self._sounded_at is not None:
            return max(self._store_took, now - self._sounded_at)
        if self._store.backlog():
            self._sounded_at = now
            self._store.commit(Unit(then=self._heard))
        else:
            self._store_took = 0.0
        return self._store_took

    def _heard(self) -> None:
        if self._clock is not None and self._sounded_at is not None:
            self._store_took = self._clock.seconds() - self._sounded_at
        self._sounded_at = None
