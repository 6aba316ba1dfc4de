"""What has happened since the hub started, in numbers that only grow.

Whoever sees a thing happen counts it here; ``http/metrics.py`` shows them.
Names are fixed words, never what a peer said, so that they stay few.
What happens to tasks is counted where the event log has it, once it is on disk.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from agentcom.core.events import TASK_REQUEUED, Event


class _Requeued(msgspec.Struct):
    """What is read of the payload of ``task_requeued``."""

    reason: str = ""


class Counts:
    """The hub's counters.

    :ivar opened: WebSocket connections whose handshake was good.
    :ivar closed: connections by the close code that the hub gave.
    :ivar refused: connections that were not let in, by the limit that was met.
    :ivar identified: connections that were taken in as an agent's.
    :ivar replaced: connections whose agent came in on a newer one.
    :ivar contests: times that an agent id was found to be fought over.
    :ivar contested: agent ids that are fought over now.
    :ivar ignored: offers that an agent let pass without a word.
    :ivar probes: tries of an agent that had let an offer pass.
    :ivar requeued: tasks that went back to the queue, by reason.
    :ivar failed: attempts that the hub itself failed, by error.
    :ivar stale: reports that were refused, by error.
    :ivar auth_failures: tokens that were no good, by the way they came:
        ``http``, ``websocket``, ``session``.
    :ivar auth_throttled: requests that were refused because too many such
        came from their address.
    :ivar watchers_cut: streams of events that the hub ended, by reason.
    :ivar shed: what was refused because the hub had too much to do, by kind.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.closed: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self.identified = 0
        self.replaced = 0
        self.contests = 0
        self.contested = 0
        self.ignored = 0
        self.probes = 0
        self.requeued: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.stale: Counter[str] = Counter()
        self.auth_failures: Counter[str] = Counter()
        self.auth_throttled = 0
        self.watchers_cut: Counter[str] = Counter()
        self.shed: Counter[str] = Counter()

    def committed(self, events: list[Event]) -> None:
        """Count what these events of the log say."""
        for event in [event for event in events if event.event == TASK_REQUEUED]:
            told = msgspec.json.decode(event.payload, type=_Requeued)
            self.requeued[told.reason] += 1
