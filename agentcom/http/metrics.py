"""``GET /metrics``: the hub in numbers, in the Prometheus text format.

Everything is read when it is asked for, from what the hub keeps anyway, but
for whoever asks again within a second; the registry belongs to one hub.  Each
collector has a subject: this one lines, watchers, messages and refusals,
:mod:`.workmetrics` tasks, :mod:`.requestmetrics` HTTP, :mod:`.machinemetrics`
what the hub runs on.  Each metric is a line of the table in ``docs/operations.rst``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from agentcom.http.families import Prepared, count, counts, gauge, gauges
from agentcom.http.processmetrics import ProcessNumbers
from agentcom.http.route import Call, Page, Route
from agentcom.hub.hub import Hub

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
"""The one format that everything which reads metrics knows."""

KEPT_S = 1.0
"""Seconds for which the text is kept: anybody may ask, and to write it takes milliseconds."""

CODES = (1001, 1002, 1007, 1008, 1009, 1011, 1013, 4000, 4001, 4003, 4008)
"""Close codes of the hub (docs/protocol.rst)."""

LIMITS = ("connections", "unidentified")
"""Limits for which a connection is refused."""

SHED = ("frame", "read", "work")
"""Kinds of what is refused by a hub that has too much to do."""

CUT = (
    "hub_stopping",
    "internal_error",
    "session_ended",
    "slow",
    "token_expired",
    "token_revoked",
)
"""Reasons for which the hub ends streams of events."""

TOKENS = ("http", "session", "websocket")
"""Ways in which tokens come."""

WATCHERS = ("sse", "ws")
"""Kinds of those who follow events."""

ByKind = Callable[[], Mapping[str, int]]
"""How many there are now, by kind."""


class LineNumbers(Collector):
    """Reads what is known of one hub's lines and of what comes on them.

    :param connections: the open ones: ``identified``, ``unidentified``, ``http``.
    :param watchers: who follows events now: ``sse``, ``ws``.
    """

    def __init__(self, hub: Hub, connections: ByKind, watchers: ByKind) -> None:
        self._hub = hub
        self._connections = connections
        self._watchers = watchers

    def collect(self) -> Iterator[Metric]:
        """Connections, watchers, messages, and what was refused."""
        yield from self._of_connections()
        yield from self._of_watchers()
        yield from self._of_messages()
        yield from self._of_refusals()

    def _of_connections(self) -> Iterator[Metric]:
        counted = self._hub.counts
        yield gauges("connections_open", "Open connections, by kind.", "kind", self._connections())
        yield count(
            "connections_opened", "WebSocket connections whose handshake was good.", counted.opened
        )
        yield counts(
            "connections_closed",
            "WebSocket connections that the hub closed, by the code that it gave.",
            "code",
            counted.closed,
            CODES,
        )
        yield counts(
            "connections_refused",
            "Connections that were not let in, by the limit that was met.",
            "limit",
            counted.refused,
            LIMITS,
        )
        yield count(
            "connections_identified", "Connections that identified as an agent.", counted.identified
        )
        yield count(
            "connections_replaced",
            "Connections whose agent came in on a newer one.",
            counted.replaced,
        )
        yield count(
            "contests", "Times that an agent id was found to be fought over.", counted.contests
        )
        yield gauge("agents_contested", "Agent ids that are fought over now.", counted.contested)

    def _of_watchers(self) -> Iterator[Metric]:
        found = self._watchers()
        yield gauges(
            "watchers_open",
            "Who follows events, by kind.",
            "kind",
            {kind: found.get(kind, 0) for kind in WATCHERS},
        )
        yield counts(
            "watchers_cut",
            "Streams of events that the hub ended, by reason.",
            "reason",
            self._hub.counts.watchers_cut,
            CUT,
        )

    def _of_messages(self) -> Iterator[Metric]:
        messages = self._hub.messages
        yield count("messages", "Messages that came to disk.", messages.log.stored)
        yield count(
            "messages_refused", "Messages of agents that sent too many.", messages.rates.refused
        )
        yield count(
            "mail_dropped",
            "Messages that waited too long, or were too many for a mailbox.",
            messages.mailboxes.dropped,
        )

    def _of_refusals(self) -> Iterator[Metric]:
        counted = self._hub.counts
        yield counts(
            "auth_failures",
            "Tokens that were no good, by the way they came.",
            "kind",
            counted.auth_failures,
            TOKENS,
        )
        yield count(
            "auth_throttled",
            "Requests from addresses that had failed too often.",
            counted.auth_throttled,
        )
        yield counts(
            "shed",
            "What was refused because the hub had too much to do, by kind.",
            "kind",
            counted.shed,
            SHED,
        )


class MetricRoutes:
    """Serves the numbers of one hub and of its process.

    :param seconds: a steady clock.
    :param collectors: of the hub.
    """

    def __init__(self, seconds: Callable[[], float], *collectors: Collector) -> None:
        self._seconds = seconds
        self._kept = Page(200, b"", TEXT)
        self._keep_until = 0.0
        self._first = [one for one in collectors if isinstance(one, Prepared)]
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)
        self._registry.register(ProcessNumbers())

    def routes(self) -> list[Route]:
        """What is served; it needs no token, as its readers expect."""
        return [
            Route(
                method="GET",
                path="/metrics",
                name="metrics",
                scope=None,
                answers={200: "text/plain"},
                handler=self.metrics,
            )
        ]

    async def metrics(self, call: Call) -> Page:
        """All numbers, as they were at most :data:`KEPT_S` ago."""
        if self._seconds() >= self._keep_until:
            for collector in self._first:
                await collector.prepare()
        now = self._seconds()
        # Somebody else may have asked meanwhile.
        if now >= self._keep_until:
            self._kept = Page(200, self.text(), TEXT)
            self._keep_until = now + KEPT_S
        return self._kept

    def text(self) -> bytes:
        """All numbers as they are now."""
        return generate_latest(self._registry)
