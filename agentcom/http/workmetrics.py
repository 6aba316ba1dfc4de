"""Tasks in numbers, for ``/metrics``: how many, since when, how long they take."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from agentcom.core.state import ENDED, PUSH, SUBMIT, Status
from agentcom.http.families import Prepared, count, counts, gauge, gauges, histogram
from agentcom.hub.census import census
from agentcom.hub.hub import Hub
from agentcom.hub.measures import Measures

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


class WorkNumbers(Prepared):
    """Reads what is known of one hub's tasks and of the agents that have them."""

    def __init__(self, hub: Hub, measures: Measures) -> None:
        self._hub = hub
        self._measures = measures

    async def prepare(self) -> None:
        """Look at the agents that have changed since the last time, in turns of the reactor."""
        await self._hub.dispatch.staff.standings.catch_up(self._hub.turn)

    def collect(self) -> Iterator[Metric]:
        """Agents, tasks, and what becomes of tasks."""
        yield from self._of_agents()
        yield from self._of_queue()
        yield from self._of_changes()
        yield from self._of_times()

    def _of_agents(self) -> Iterator[Metric]:
        hub = self._hub
        found = census(
            hub.dispatch.staff.standings, hub.dispatch.holdings, self._measures.timings.working
        )
        yield gauges("agents_connected", "Connected agents, by state.", "state", found.states)
        yield gauge(
            "agents_absent_with_tasks",
            "Agents that are away and for which tasks are held.",
            found.away,
        )
        yield gauge("tasks_held_for_absent_agents", "Tasks that are held for them.", found.waits)
        yield gauges("tasks_held", "Tasks that agents have, by status.", "status", found.held)
        yield gauges(
            "tasks",
            "Tasks that are kept, by status.",
            "status",
            {
                Status.QUEUED: len(hub.dispatch.queue),
                **found.held,
                **self._measures.totals.ended(),
            },
        )
        yield count(
            "offers_ignored", "Tasks that an agent let pass without a word.", hub.counts.ignored
        )
        yield count(
            "probes",
            "Times that an unresponsive agent was to be tried with one task.",
            hub.counts.probes,
        )

    def _of_queue(self) -> Iterator[Metric]:
        queue = self._hub.dispatch.queue
        yield gauges(
            "tasks_queued", "Tasks that wait, by priority.", "priority", queue.by_priority()
        )
        since = queue.oldest()
        age_ms = 0 if since is None else max(0, self._hub.now() - since)
        yield gauge(
            "tasks_oldest_ready_age_seconds",
            "Time since the submission of the oldest task that could be given to an agent.",
            age_ms / 1000,
        )

    def _of_changes(self) -> Iterator[Metric]:
        counted, timings = self._hub.counts, self._measures.timings
        yield counts(
            "tasks_submitted",
            "New tasks, by where they come from.",
            "origin",
            timings.submitted,
            (PUSH, SUBMIT),
        )
        yield count("tasks_started", "Tasks given to an agent for the first time.", timings.started)
        yield counts(
            "tasks_ended", "Ends of tasks, by status.", "status", timings.ended, sorted(ENDED)
        )
        yield counts(
            "tasks_requeued",
            "Tasks that went back to the queue, by reason.",
            "reason",
            counted.requeued,
            REQUEUED,
        )
        yield counts(
            "attempts_failed_by_hub",
            "Attempts that the hub itself failed, by error.",
            "error",
            counted.failed,
            FAILED,
        )
        yield counts(
            "reports_refused",
            "Reports of agents that did not count, by error.",
            "error",
            counted.stale,
            REFUSED,
        )

    def _of_times(self) -> Iterator[Metric]:
        timings = self._measures.timings
        yield histogram(
            "task_dispatch_seconds",
            "Time from when a task could be given to an agent until it was.",
            timings.waited.histogram(),
        )
        yield histogram(
            "task_first_dispatch_seconds",
            "Time from the submission of a task to its first assignment.",
            timings.first.histogram(),
        )
        yield histogram(
            "task_accept_seconds",
            "Time from an assignment to its acceptance.",
            timings.accepted.histogram(),
        )
        yield histogram(
            "task_run_seconds",
            "Time from an assignment to the end of its attempt.",
            timings.ran.histogram(),
        )
