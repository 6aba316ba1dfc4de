"""One mailbox in memory: which messages wait in it, by number.

Direct messages are put into a mailbox one by one.  A broadcast is stored once
for all: whoever is away when it is sent finds it by having been away.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from agentcom.core.message import Mailbox

ABSENCES = 8
"""Earlier absences that a mailbox remembers; beyond that the two oldest become one,
which may repeat what was sent between them, and loses nothing."""


class Broadcasts:
    """The newest broadcasts, by number, in the order in which they were sent.

    :param keep: how many of them: as many as a mailbox holds.
    :param found: ``(seq, timestamp)`` of all that are stored, oldest first.
    :ivar total: how many there were, so that those beyond the newest count too.
    """

    def __init__(self, keep: int, found: Sequence[tuple[int, int]]) -> None:
        self._keep = keep
        # All of them until the first that comes: stored mailboxes are read meanwhile.
        self._seqs = [seq for seq, _ in found]
        self._times = [timestamp for _, timestamp in found]
        self.total = len(found)

    @property
    def tip(self) -> int:
        """The ``seq`` of the newest; 0 where there was none."""
        return self._seqs[-1] if self._seqs else 0

    def add(self, seq: int, timestamp: int) -> None:
        """One more was sent, at a time in Unix milliseconds."""
        self._seqs.append(seq)
        self._times.append(timestamp)
        self.total += 1
        if len(self._seqs) > 2 * self._keep + 64:
            del self._seqs[: -self._keep]
            del self._times[: -self._keep]

    def after(self, seq: int) -> list[int]:
        """Those after a ``seq``, of the newest."""
        first = max(bisect_right(self._seqs, seq), len(self._seqs) - self._keep)
        return self._seqs[first:]

    def count_after(self, seq: int) -> int:
        """How many these are."""
        return min(len(self._seqs) - bisect_right(self._seqs, seq), self._keep)

    def between(self, after: int, until: int) -> list[int]:
        """Those of them after a ``seq``, up to and including another."""
        return self._seqs[bisect_right(self._seqs, after) : bisect_right(self._seqs, until)]

    def number_at(self, seq: int) -> int:
        """How many there were up to and including a ``seq``, which is not long ago."""
        return self.total - (len(self._seqs) - bisect_right(self._seqs, seq))

    def before_time(self, timestamp: int) -> int:
        """The ``seq`` of the newest that was sent before a time; 0 where none was."""
        place = bisect_left(self._times, timestamp)
        return self._seqs[place - 1] if place else 0


class Box:
    """A mailbox.

    :param since: broadcasts after this ``seq`` were not delivered to its agent.
    :ivar present: the agent's connection is sent broadcasts as they come.
    :ivar waiting: what waits, without broadcasts of the present absence; sorted.
    :ivar stored_since: the ``since`` that a start from disk would find.
    :ivar dropped: how many messages went unread.
    """

    __slots__ = (
        "_number",
        "_since",
        "absences",
        "dropped",
        "floor",
        "present",
        "stored_since",
        "waiting",
    )

    def __init__(self, broadcasts: Broadcasts, since: int) -> None:
        self.waiting: list[int] = []
        self.absences: tuple[tuple[int, int], ...] = ()
        self.floor = self.dropped = 0
        self.present = False
        self.stored_since = since
        self._since = since
        self._number = broadcasts.number_at(since)

    @classmethod
    def of(cls, stored: Mailbox, broadcasts: Broadcasts, seqs: list[int]) -> Box:
        """The mailbox that is stored.

        :param broadcasts: of which none was sent since the start.
        :param seqs: of the direct messages that wait.
        """
        box = cls(broadcasts, stored.away_since)
        box.floor, box.dropped, box.absences = stored.floor, stored.dropped, stored.absences
        found = set(seqs)
        for begin, end in stored.absences:
            found.update(broadcasts.between(max(begin, stored.floor), end))
        box.waiting = sorted(seq for seq in found if seq > stored.floor)
        return box

    def row(self) -> Mailbox:
        """What is stored of it; from now on a start from disk finds this."""
        self.stored_since = self._since
        return Mailbox(self.floor, self.dropped, self._since, self.absences)

    def all(self, broadcasts: Broadcasts) -> list[int]:
        """What waits, oldest first."""
        missed = self._missed(broadcasts)
        if not missed:
            return self.waiting
        if not self.waiting or self.waiting[-1] < missed[0]:
            return self.waiting + missed
        return sorted({*self.waiting, *missed})

    def put(self, seq: int) -> None:
        """A direct message waits."""
        if not self.waiting or seq > self.waiting[-1]:
            self.waiting.append(seq)
        elif seq not in self.waiting:
            insort(self.waiting, seq)

    def limit(self, broadcasts: Broadcasts, most: int) -> int:
        """Drop what is too much, the oldest first; gives how many went."""
        behind = newest = 0
        if not self.present:
            behind = broadcasts.total - self._number
            newest = broadcasts.count_after(self._since)
        # Those that are not among the newest any more, and those that came to
        # disk when what was sent after them had been dropped.
        gone = behind - newest
        if not gone and len(self.waiting) + newest <= most:
            return 0
        found = self.all(broadcasts)
        excess = max(0, len(found) - most)
        up_to = found[excess - 1] if excess else 0
        if newest >= most:
            up_to = max(up_to, self._missed(broadcasts)[0] - 1)
        if up_to:
            self._raise_floor(up_to, broadcasts)
        # Or they would count again.
        self._be_away_from(self._since, broadcasts)
        gone += excess
        self.dropped += gone
        return gone

    def take(self, up_to: int, broadcasts: Broadcasts) -> int:
        """All up to and including a ``seq`` go, acknowledged; gives how many."""
        if up_to <= self.floor:
            return 0
        gone = bisect_right(self.all(broadcasts), up_to)
        self._raise_floor(up_to, broadcasts)
        return gone

    def expire(self, up_to: int, broadcasts: Broadcasts) -> int:
        """The same because they are too old: they count as dropped."""
        gone = self.take(up_to, broadcasts)
        self.dropped += gone
        return gone

    def came(self, broadcasts: Broadcasts) -> bool:
        """The agent is sent broadcasts from now on; gives whether it missed some."""
        missed = self._missed(broadcasts)
        if missed:
            self.waiting = self.all(broadcasts)
            absences = (*self.absences, (self._since, missed[-1]))
            if len(absences) > ABSENCES:
                (begin, _), (_, end), *rest = absences
                absences = ((begin, end), *rest)
            self.absences = absences
        self._be_away_from(max(broadcasts.tip, self.floor), broadcasts)
        self.present = True
        return bool(missed)

    def settle(self, delivered: int, broadcasts: Broadcasts) -> None:
        """Broadcasts up to and including a ``seq`` were sent to all that are present."""
        if self.present and delivered > self._since:
            self._be_away_from(delivered, broadcasts)

    def behind(self, broadcasts: Broadcasts) -> bool:
        """Whether a start from disk would repeat broadcasts."""
        return broadcasts.number_at(self.stored_since) < self._number

    def _missed(self, broadcasts: Broadcasts) -> list[int]:
        if self.present or self._since >= broadcasts.tip:
            return []
        return broadcasts.after(self._since)

    def _be_away_from(self, seq: int, broadcasts: Broadcasts) -> None:
        self._since = seq
        self._number = broadcasts.number_at(seq)

    def _raise_floor(self, seq: int, broadcasts: Broadcasts) -> None:
        self.floor = seq
        del self.waiting[: bisect_right(self.waiting, seq)]
        self.absences = tuple(pair for pair in self.absences if pair[1] > seq)
        if seq > self._since:
            self._be_away_from(seq, broadcasts)
