"""What came of a run, from its history alone: :func:`judge`.

Each rule gives the tasks that break it with a sentence.  The events of a task
are replayed by ``core/replay.py``, which shares nothing with what wrote them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import msgspec

from agentcom.chaos.command import SUPERSEDED
from agentcom.chaos.history import (
    Acked,
    AnyRecord,
    Done,
    Effect,
    Finished,
    Planned,
    Refusal,
    Shown,
    Told,
    Trouble,
)
from agentcom.chaos.plan import Kind, Plan
from agentcom.core.events import (
    TASK_COMPLETE,
    TASK_FAILED,
    TASK_REQUEUED,
    TERMINAL_EVENTS,
    Event,
)
from agentcom.core.replay import COMPARED, ImpossibleHistory, replay
from agentcom.core.state import ENDED

R = TypeVar("R")
_EVENTS = msgspec.json.Decoder(list[Event])
SENT_AWAY = f"exit status {SUPERSEDED}"
"""What an agent reports of a command that the sink refused."""

Fault = tuple[str, str]
"""A task's id and a sentence."""


class Verdict(msgspec.Struct, frozen=True):
    """What came of a run.

    :ivar acked: tasks whose submission was answered.
    :ivar lost: those of them that did not end, or about which the hub does not
        tell a history that is possible.
    :ivar double_accepted: tasks for which more than one end was accepted, or
        one of a superseded attempt, or side effects that should not count.
    :ivar stale_refused: side effects and reports that were refused.
    :ivar faults: everything that is wrong, one sentence each.
    :ivar figures: what else was counted.
    """

    acked: int
    lost: int
    double_accepted: int
    stale_refused: int
    faults: list[str]
    figures: dict[str, int]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def __str__(self) -> str:
        return (
            f"acked {self.acked} lost {self.lost} "
            f"double-accepted {self.double_accepted} stale-refused {self.stale_refused}"
        )


def judge(records: Sequence[AnyRecord]) -> Verdict:
    """Judge a history."""
    seen = Seen(records)
    double = [*_ends(seen), *_owners(seen), *_failures(seen), *_effects(seen)]
    # Whatever was accepted twice has an impossible history, too: it is not lost.
    twice = {task_id for task_id, _ in double}
    lost = [fault for fault in _lost(seen) if fault[0] not in twice]
    return Verdict(
        acked=len(seen.acked_ids),
        lost=len({task_id for task_id, _ in lost}),
        double_accepted=len(twice),
        stale_refused=sum(not effect.counted for effect in seen.effects) + len(seen.refusals),
        faults=[f"{task_id}: {what}" for task_id, what in [*lost, *double]] + list(_others(seen)),
        figures=_figures(seen),
    )


class Seen:
    """The records, by kind."""

    def __init__(self, records: Sequence[AnyRecord]) -> None:
        def of(kind: type[R]) -> list[R]:
            return [record for record in records if isinstance(record, kind)]

        plans = of(Planned)
        self.plan: Plan | None = plans[0].plan if plans else None
        self.acked = of(Acked)
        self.acked_ids = list(dict.fromkeys(record.task_id for record in self.acked))
        self.effects = of(Effect)
        self.refusals = of(Refusal)
        self.told = of(Told)
        self.done = of(Done)
        self.troubles = of(Trouble)
        self.finished = bool(of(Finished))
        self.shown = {str(record.task["id"]): record for record in of(Shown)}
        kinds = {member.name: member.kind for member in self.plan.members} if self.plan else {}
        self.sidecars = {name for name, kind in kinds.items() if kind is Kind.SIDECAR}

    def effects_by_task(self) -> dict[str, list[Effect]]:
        """Side effects in the order in which they came."""
        found: dict[str, list[Effect]] = defaultdict(list)
        for effect in self.effects:
            found[effect.task_id].append(effect)
        return found


def _lost(seen: Seen) -> Iterator[Fault]:
    for task_id in seen.acked_ids:
        shown = seen.shown.get(task_id)
        if shown is None:
            yield task_id, "it was acknowledged, and the hub does not know it"
            continue
        if shown.task["status"] not in ENDED:
            yield task_id, f"it has not ended: it is {shown.task['status']}"
        try:
            logged = replay(_EVENTS.decode(msgspec.json.encode(shown.events)))
        except (ImpossibleHistory, msgspec.ValidationError) as e:
            yield task_id, f"its events are not possible: {e}"
            continue
        for name in COMPARED:
            if name in shown.task and shown.task[name] != getattr(logged, name):
                told = getattr(logged, name)
                yield task_id, f"its events say {name} {told}, the hub {shown.task[name]}"


def _ends(seen: Seen) -> Iterator[Fault]:
    """More than one end accepted, without a retry by hand between them."""
    for task_id, shown in seen.shown.items():
        ends = 0
        for event in shown.events:
            if event["event"] in TERMINAL_EVENTS:
                ends += 1
            elif event["event"] == TASK_REQUEUED and event["payload"].get("reason") == "retried":
                ends -= 1
        if ends > 1:
            yield task_id, f"{ends} ends were accepted"


def _owners(seen: Seen) -> Iterator[Fault]:
    """The end that was accepted is that of the attempt that had the task."""
    ended = {
        (effect.task_id, effect.agent_id, effect.generation)
        for effect in seen.effects
        if effect.counted and effect.step == "end"
    }
    for task_id, shown in seen.shown.items():
        if shown.task["status"] != "completed":
            continue
        event = next((e for e in reversed(shown.events) if e["event"] == TASK_COMPLETE), None)
        if event is None:
            continue
        agent_id, generation = event["agent_id"], event["generation"]
        by, of = _signature(shown.task.get("result"))
        had = f"{agent_id} had it, in attempt {generation}"
        if by != agent_id:
            yield task_id, f"the result of {by} was accepted while {had}"
        elif agent_id not in seen.sidecars:
            # Its reports name no attempt, so the hub cannot tell them apart.
            continue
        elif of != generation:
            yield task_id, f"the result of attempt {of} was accepted while {had}"
        elif (task_id, agent_id, generation) not in ended:
            yield task_id, f"{had}, and its end was accepted; the sink knows of none"


def _failures(seen: Seen) -> Iterator[Fault]:
    """No failure was accepted of a command that the sink had sent away."""
    for task_id, shown in seen.shown.items():
        for event in shown.events:
            if event["event"] == TASK_FAILED and event["payload"].get("error") == SENT_AWAY:
                who, generation = event["agent_id"], event["generation"]
                yield task_id, f"a superseded attempt failed attempt {generation} of {who}"


def _signature(result: Any) -> tuple[Any, Any]:
    """By whom, and in which attempt, a result was made."""
    data = result.get("data", result) if isinstance(result, dict) else None
    return (data.get("by"), data.get("generation")) if isinstance(data, dict) else (None, None)


def _effects(seen: Seen) -> Iterator[Fault]:
    """Nothing of a superseded attempt counts, and one attempt counts once."""
    for task_id, effects in seen.effects_by_task().items():
        highest = 0
        agents: dict[int, str] = {}
        ends: dict[int, int] = {}
        for effect in effects:
            if not effect.counted:
                continue
            generation, who = effect.generation, effect.agent_id
            if generation < highest:
                yield task_id, f"{effect.step} of attempt {generation} counted after {highest}"
            highest = max(highest, generation)
            if agents.setdefault(generation, who) != who:
                yield task_id, f"{agents[generation]} and {who} both had attempt {generation}"
            if effect.step != "end":
                continue
            if ends.setdefault(generation, effect.run) != effect.run and who in seen.sidecars:
                yield task_id, f"{who} ended attempt {generation} twice"


def _others(seen: Seen) -> Iterator[str]:
    if seen.plan is None:
        yield "the history has no plan"
    if not seen.finished:
        yield "the history has no end: the run was cut short"
    yield from (f"{trouble.who}: {trouble.what}" for trouble in seen.troubles)
    yield from _submissions(seen)
    yield from _watched(seen)


def _submissions(seen: Seen) -> Iterator[str]:
    """One task for each key, and none for nothing."""
    ids: dict[str, set[str]] = defaultdict(set)
    for acked in seen.acked:
        ids[acked.key].add(acked.task_id)
    for key, found in ids.items():
        if len(found) > 1:
            yield f"the key {key} was given {len(found)} tasks: {', '.join(sorted(found))}"
    if not seen.acked:
        yield "no submission was answered"
    for work in seen.plan.works if seen.plan else ():
        if work.key not in ids:
            yield f"the key {work.key} was never answered"
    if seen.finished:
        for task_id in seen.shown.keys() - set(seen.acked_ids):
            yield f"{task_id}: the hub has it, and nobody was told so"


def _watched(seen: Seen) -> Iterator[str]:
    """What a watcher was told is what the log says in the end, and all of it."""
    seqs = [told.seq for told in seen.told]
    if seqs[:1] not in ([], [1]):
        yield f"the watcher was told of events from {seqs[0]} on"
    yield from (
        f"after event {a} the watcher was told {b}" for a, b in pairwise(seqs) if b != a + 1
    )
    told_of = {told.seq: told for told in seen.told}
    logged = {event["seq"]: event for shown in seen.shown.values() for event in shown.events}
    for seq, event in sorted(logged.items()):
        told = told_of.get(seq)
        if told is None:
            yield f"event {seq} ({event['event']}) was never told to the watcher"
        elif _name(told) != tuple(event[field] for field in _FIELDS):
            yield f"event {seq} was told as {_name(told)}, the log says {event}"
    if seen.finished:
        for seq, told in told_of.items():
            if told.task_id is not None and seq not in logged:
                yield f"event {seq} ({told.event}) was told, and is not in the log"


_FIELDS = ("event", "task_id", "agent_id", "generation")


def _name(told: Told) -> tuple[Any, ...]:
    return tuple(getattr(told, field) for field in _FIELDS)


def _figures(seen: Seen) -> dict[str, int]:
    done = Counter(record.what for record in seen.done)
    ended = Counter(str(shown.task["status"]) for shown in seen.shown.values())
    events = Counter(event["event"] for shown in seen.shown.values() for event in shown.events)
    begun = _counted(effect for effect in seen.effects if effect.step == "begin")
    finished = _counted(effect for effect in seen.effects if effect.step == "end")
    return {
        **{f"tasks {status}": count for status, count in sorted(ended.items())},
        **dict(sorted(done.items())),
        "events": len(seen.told),
        "requeued": events[TASK_REQUEUED],
        "taken up again": events["task_recovering"],
        "begun more than once": sum(times > 1 for times in begun.values()),
        "ended more than once": sum(times > 1 for times in finished.values()),
        "side effects refused": sum(not effect.counted for effect in seen.effects),
        "reports refused": len(seen.refusals),
    }


def _counted(effects: Iterable[Effect]) -> Counter[str]:
    return Counter(effect.task_id for effect in effects if effect.counted)
