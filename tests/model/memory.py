"""What the hub's memory must be once everything has settled: what the disk says.

Looks into the hub, which is what it is for: a task that memory has lost is
found here long before anybody would miss it.
"""

from __future__ import annotations

from typing import Any

from agentcom.core.fence import keeps
from agentcom.core.state import OnDisconnect, Status, Task
from agentcom.hub.hub import Hub
from agentcom.store.interface import task_weight
from tests.model.offers import fits
from tests.model.promises import demand

LATE_MS = 1_500
"""Time that is given to whatever the hub looks at once a second."""

OF_TASKS = frozenset({"hold", "accept", "attempt", "ask_again", "recover"})
"""Entries of the agenda that are of one task."""


def agrees(hub: Hub, tasks: dict[str, Task], draining: set[str], standstill: bool) -> None:
    """Memory and disk are one.

    :param tasks: the rows.
    :param draining: who asked for no more work, or is drained.
    :param standstill: whether the whole hub is.
    """
    live = {task_id: task for task_id, task in tasks.items() if not task.status.ended}
    _ledger(hub, live)
    _queue(hub, live)
    _holdings(hub, live)
    _agenda(hub, live)
    _nobody_waits_in_vain(hub, live, draining, standstill)


def _ledger(hub: Hub, live: dict[str, Task]) -> None:
    ledger: Any = hub.ledger
    for task_id, task in ledger.live.items():
        demand(task_id in live, f"memory has {task_id} as {task.status}, the disk has ended it")
        if task_id not in ledger._progress:
            demand(task == live[task_id], f"memory has {task}, the disk {live[task_id]}")
    for task_id, task in live.items():
        demand(task_id in ledger.live or not task.status.held, f"memory lost {task_id}, held")
    queued = {i for i, task in ledger.live.items() if task.status is Status.QUEUED}
    warm = ledger._warm._weights
    demand(warm.keys() == queued, f"warm are {set(warm)}, queued and in memory {queued}")
    weights = sum(task_weight(ledger.live[task_id]) for task_id in queued)
    demand(ledger._warm._bytes == weights, f"{ledger._warm._bytes} bytes are warm, not {weights}")
    for task_id in ledger._ended:
        demand(task_id not in live, f"{task_id} lives, and is remembered as ended")
    for task_id in ledger._progress:
        demand(task_id in ledger.live, f"progress of {task_id} waits, which has ended")


def _queue(hub: Hub, live: dict[str, Task]) -> None:
    queue: Any = hub.dispatch.queue
    queued = {i for i, task in live.items() if task.status is Status.QUEUED}
    demand(queue._entries.keys() == queued, f"queued are {queued}, not {set(queue._entries)}")
    for task_id, entry in queue._entries.items():
        task = live[task_id]
        if task.ready_at is not None:
            late = hub.now() - task.ready_at
            demand(entry.ready or late < LATE_MS, f"{task_id} should be ready since {late} ms")
            demand(not entry.ready or late >= 0, f"{task_id} is ready {-late} ms too early")
        else:
            demand(entry.ready, f"{task_id} may go at once and is not ready")
    counts = hub.dispatch.queue.by_priority()
    for priority, count in counts.items():
        found = sum(live[task_id].priority == priority for task_id in queued)
        demand(found == count, f"{found} wait at {priority}, not {count}")
    for group in {entry.group for entry in queue._entries.values()}:
        inside = [e for e in queue._entries.values() if e.group is group]
        ready = sum(entry.ready for entry in inside)
        demand((group.count, group.ready) == (len(inside), ready), "a group counts wrong")


def _holdings(hub: Hub, live: dict[str, Task]) -> None:
    holdings: Any = hub.dispatch.holdings
    for agent_id, holding in holdings._of.items():
        held = {i for i, t in live.items() if t.status.held and t.agent_id == agent_id}
        demand(holding.held.keys() == held, f"{agent_id} has {held}, not {set(holding.held)}")
        for name in ("unconfirmed", "repeated", "busy"):
            some = set(getattr(holding, name))
            demand(some <= held, f"{name} of {agent_id} are {some}, of {held}")
        last = {i for i, t in live.items() if t.status is Status.QUEUED and t.agent_id == agent_id}
        demand(holding.lost <= last, f"{agent_id} lost {holding.lost}, of {last}")
        kept = {task_id for task_id in last if keeps(live[task_id], agent_id, None)}
        demand(kept <= holding.lost, f"{agent_id} lost {holding.lost}, and {kept}")
    for task_id, task in live.items():
        if task.status.held:
            demand(task.agent_id in holdings._of, f"nothing is known of who has {task_id}")
    held_now = sum(task.status.held for task in live.values())
    demand(holdings.total() == held_now, f"{holdings.total()} are held, not {held_now}")
    for agent_id, link in hub.roster.items():
        holding = holdings.of(agent_id)
        for group, entered in holding.groups.items():
            demand(agent_id in group.members, f"a group misses {agent_id}")
            demand(entered is None or entered in group.free, f"{agent_id} is not at {entered}")
        for task_id, task in live.items():
            if task.status is Status.QUEUED:
                group = hub.dispatch.queue.group_of(task_id)
                inside = agent_id in group.members
                demand(inside == fits(task, link.agent), f"{task_id} has {agent_id}: {inside}")


def _agenda(hub: Hub, live: dict[str, Task]) -> None:
    due: dict[tuple[str, str], float] = hub.agenda._due
    for kind, key in due:
        if kind == "backoff":
            waits = key in hub.dispatch.queue and not hub.dispatch.queue.is_ready(key)
            demand(waits, f"{kind} of {key} is to come, and it does not wait for it")
        elif kind in OF_TASKS:
            task = live.get(key)
            demand(task is not None, f"{kind} of {key}, which has ended, is to come")
            assert task is not None
            demand(task.status.held, f"{kind} of {key} is to come, and nobody has it")
            if kind == "accept":
                demand(task.status is Status.ASSIGNED, f"{key} is accepted and still timed")
    for task_id, task in live.items():
        if not task.status.held:
            continue
        away = task.agent_id not in hub.roster
        held = ("hold", task_id) in due
        keep = task.terms.on_disconnect is OnDisconnect.KEEP
        demand(held == (away and not keep), f"{task_id} is held: {held}; its agent away: {away}")
        if task.terms.attempt_timeout_s is not None:
            demand(("attempt", task_id) in due, f"nobody times the attempt of {task_id}")
        if task.recover_due is not None:
            demand(("recover", task_id) in due, f"nobody times the silence of {task_id}")


def _nobody_waits_in_vain(
    hub: Hub, live: dict[str, Task], draining: set[str], standstill: bool
) -> None:
    """No task that is ready waits while an agent that fits has room."""
    queue = hub.dispatch.queue
    ready = [t for i, t in live.items() if t.status is Status.QUEUED and queue.is_ready(i)]
    for agent_id, link in hub.roster.items():
        holding = hub.dispatch.holdings.of(agent_id)
        left = hub.agenda.left
        if holding.quiet:
            demand(left("quiet", agent_id) is not None, f"{agent_id} is quiet for ever")
        if holding.paused:
            demand(left("pause", agent_id) is not None, f"{agent_id} pauses for ever")
        if holding.unresponsive and not holding.probing:
            asked = any(left("accept", task_id) is not None for task_id in holding.held)
            demand(
                asked or left("probe", agent_id) is not None,
                f"{agent_id} takes no work, and nobody will try it again",
            )
        demand(holding.draining == (agent_id in draining), f"{agent_id} drains")
        held = sum(t.status.held and t.agent_id == agent_id for t in live.values())
        busy = holding.quiet or holding.paused or holding.draining or standstill
        if busy or held >= link.agent.slots or (holding.unresponsive and not holding.probing):
            continue
        for task in ready:
            demand(not fits(task, link.agent), f"{task.id} waits, and {agent_id} has room")
