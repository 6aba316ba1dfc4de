"""``GET /metrics``: the hub in numbers, in the Prometheus text format.

Everything is read when it is asked for, from what the hub keeps anyway; the
registry belongs to one hub.  A metric is a line in one of the methods of
:class:`HubNumbers`, and a line of the table in ``docs/operations.rst``.
Labels are fixed words, each there from the start, so that rates begin at 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentcom.http.route import Call, Page, Route
from agentcom.hub.hub import Hub
from agentcom.hub.liveness import census

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
"""The one format that everything which reads metrics knows."""

CODES = (1001, 1002, 1007, 1008, 1009, 1011, 1013, 4000, 4001, 4003, 4008)
"""Close codes of the hub (docs/protocol.rst)."""

LIMITS = ("connections", "unidentified")
"""Limits for which a connection is refused."""

REQUEUED = (
    "accept_timeout",
    "drained",
    "hold_expired",
    "operator",
    "reassign",
    "rejected",
    "retried",
    "retry",
    "token_revoked",
)
"""Reasons for which tasks go back to the queue, as their events tell them."""

FAILED = ("agent_lost", "attempt_timeout", "recovery_timeout")
"""Errors of attempts that the hub fails by itself."""

REFUSED = ("invalid_state", "not_assignee", "stale_generation")
"""Errors of reports that do not count."""

OTHER = "other"
"""The label of whatever is not in these lists."""

OpenConnections = Callable[[], Mapping[str, int]]
"""Open connections by kind: ``identified``, ``unidentified``, ``http``."""


class HubNumbers(Collector):
    """Reads one hub, at each scrape anew."""

    def __init__(self, hub: Hub, connections: OpenConnections) -> None:
        self._hub = hub
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """All metrics of the hub, without those of its process."""
        yield from self._of_connections()
        yield from self._of_agents()
        yield from self._of_tasks()
        yield from self._of_messages()
        yield from self._of_hub()

    def _of_connections(self) -> Iterator[Metric]:
        counts = self._hub.counts
        yield _gauges("connections_open", "Open connections, by kind.", "kind", self._connections())
        yield _count(
            "connections_opened", "WebSocket connections whose handshake was good.", counts.opened
        )
        yield _counts(
            "connections_closed",
            "WebSocket connections that the hub closed, by the code that it gave.",
            "code",
            counts.closed,
            CODES,
        )
        yield _counts(
            "connections_refused",
            "Connections that were not let in, by the limit that was met.",
            "limit",
            counts.refused,
            LIMITS,
        )
        yield _count(
            "connections_identified", "Connections that identified as an agent.", counts.identified
        )
        yield _count(
            "connections_replaced",
            "Connections whose agent came in on a newer one.",
            counts.replaced,
        )
        yield _count(
            "contests", "Times that an agent id was found to be fought over.", counts.contests
        )
        yield _gauge("agents_contested", "Agent ids that are fought over now.", counts.contested)

    def _of_agents(self) -> Iterator[Metric]:
        hub = self._hub
        found = census(hub.roster, hub.dispatch.holdings, hub.ledger.live)
        yield _gauges("agents_connected", "Connected agents, by state.", "state", found.states)
        yield _gauge(
            "agents_absent_with_tasks",
            "Agents that are away and for which tasks are held.",
            found.away,
        )
        yield _gauge("tasks_held_for_absent_agents", "Tasks that are held for them.", found.waits)
        yield _gauges("tasks_held", "Tasks that agents have, by status.", "status", found.held)
        yield _count(
            "offers_ignored", "Tasks that an agent let pass without a word.", hub.counts.ignored
        )
        yield _count(
            "probes",
            "Times that an unresponsive agent was to be tried with one task.",
            hub.counts.probes,
        )

    def _of_tasks(self) -> Iterator[Metric]:
        counts = self._hub.counts
        waiting = self._hub.dispatch.queue.by_priority()
        yield _gauges("tasks_queued", "Tasks that wait, by priority.", "priority", waiting)
        yield _counts(
            "tasks_requeued",
            "Tasks that went back to the queue, by reason.",
            "reason",
            counts.requeued,
            REQUEUED,
        )
        yield _counts(
            "attempts_failed_by_hub",
            "Attempts that the hub itself failed, by error.",
            "error",
            counts.failed,
            FAILED,
        )
        yield _counts(
            "reports_refused",
            "Reports of agents that did not count, by error.",
            "error",
            counts.stale,
            REFUSED,
        )

    def _of_messages(self) -> Iterator[Metric]:
        messages = self._hub.messages
        yield _count("messages", "Messages that came to disk.", messages.log.stored)
        yield _count(
            "messages_refused", "Messages of agents that sent too many.", messages.rates.refused
        )
        yield _count(
            "mail_dropped",
            "Messages that waited too long, or were too many for a mailbox.",
            messages.mailboxes.dropped,
        )

    def _of_hub(self) -> Iterator[Metric]:
        hub = self._hub
        yield _gauge("ready", "1 while new work is taken, else 0.", int(hub.trouble() is None))
        yield _gauge(
            "draining",
            "1 while the whole hub is drained, else 0.",
            int(hub.dispatch.standstill is not None),
        )
        yield _gauge(
            "presence_waiting_bytes",
            "Bytes of frames that wait to be sent to many agents.",
            hub.presence.backlog(),
        )
        yield _gauge("store_backlog_units", "Changes that wait for the disk.", hub.store.backlog())


class MetricRoutes:
    """Serves the numbers of one hub and of its process."""

    def __init__(self, hub: Hub, connections: OpenConnections) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(HubNumbers(hub, connections))
        ProcessCollector(registry=self._registry)

    def routes(self) -> list[Route]:
        """What is served; it needs no token, as its readers expect."""
        return [
            Route(method="GET", path="/metrics", name="metrics", scope=None, handler=self.metrics)
        ]

    def metrics(self, call: Call) -> Page:
        """All numbers."""
        return Page(200, generate_latest(self._registry), TEXT)


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(f"agentcom_{name}", help, value)


def _gauges(name: str, help: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"agentcom_{name}", help, labels=[label])
    for word, value in values.items():
        family.add_metric([str(word)], value)
    return family


def _count(name: str, help: str, value: float) -> Metric:
    return CounterMetricFamily(f"agentcom_{name}", help, value)


def _counts(
    name: str, help: str, label: str, counted: Counter[Any], known: Collection[object]
) -> Metric:
    """Counters by a label that has no values but the known ones, and ``other``."""
    family = CounterMetricFamily(f"agentcom_{name}", help, labels=[label])
    for word in known:
        family.add_metric([str(word)], counted[word])
    rest = sum(value for word, value in counted.items() if word not in known)
    family.add_metric([OTHER], rest)
    return family
