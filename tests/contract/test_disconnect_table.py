"""The table of disconnects: who vanished, at which step, back when, as which client.

One test for each row, under its name.  Sections 3.2 and 4 of the contract,
"Disconnect and hub restart", "Back in time" and the rules 1 to 6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.events import TERMINAL_EVENTS, Event
from agentcom.core.replay import COMPARED, replay
from tests.contract.disconnected_agents import AGENTS, HALF_OPEN, LINES
from tests.contract.disconnected_hubs import HUBS
from tests.contract.disconnecting import Back, Case, Generation, Says, Step, Then, Who
from tests.contract.helpers import Watcher, enqueue, history, restarted
from tests.contract.vanishing import Play

CASES = AGENTS + LINES + HALF_OPEN + HUBS


class RowTests(SynchronousTestCase):
    """Each row comes out as the contract says, and breaks none of its promises."""

    def check(self, case: Case) -> None:
        """Play a row, and judge it."""
        play = Play(case)
        task = play.task
        self.assertEqual(
            {
                "told": " ".join(play.agent.told if case.back is not Back.NEVER else ()),
                "other": " ".join(play.other.told),
                "end": {name: task[name] for name in case.end._fields},
                "events": play.events(),
            },
            {
                "told": case.told,
                "other": case.other,
                "end": case.end._asdict(),
                "events": case.events,
            },
        )
        self.check_log(play)
        self.check_accepted_once(play)
        self.check_slots(play)
        self.check_lines(play)
        self.check_pause(play)
        self.check_disk(play)

    def check_log(self, play: Play) -> None:
        """The log has no gap, and says of the task what the API says."""
        everything = Watcher(play.hub, "after=0").events
        self.assertEqual(
            [event["seq"] for event in everything], list(range(1, len(everything) + 1))
        )
        told = history(play.hub, play.agent.task_id)
        self.assertEqual(told, [e for e in everything if e["task_id"] == play.agent.task_id])
        state = replay(msgspec.convert(event, Event) for event in map(_raw, told))
        task = play.task
        self.assertEqual(
            {name: getattr(state, name) for name in COMPARED},
            {name: task[name] for name in COMPARED},
        )

    def check_accepted_once(self, play: Play) -> None:
        """The task ended at most once, and whoever was told so made its result."""
        names = play.hub.events_of(play.agent.task_id)
        ends = [name for name in names if name in TERMINAL_EVENTS]
        self.assertLessEqual(len(ends), 1)
        if ends:
            self.assertEqual(names[-1], ends[0])
        settled = play.agent.settled | play.other.settled
        self.assertLessEqual(settled, {play.task["result"]})

    def check_slots(self, play: Play) -> None:
        """Whoever has nothing more is shown so, and gets the next task."""
        task = play.task
        held = task["agent_id"] if task["status"] in ("assigned", "working") else None
        for program in play.here:
            shown = play.hub.request("GET", f"/api/agents/{program.name}").body
            self.assertEqual(shown["running"], int(held == program.name), program.name)
            if held != program.name:
                next_id = enqueue(play.hub, program.name)
                self.assertEqual(program.line.of("task_assign")[-1]["task_id"], next_id)

    def check_lines(self, play: Play) -> None:
        """A half-open line is closed for what was known first: a newer one, or its silence."""
        case = play.case
        code = 4001 if case.back in (Back.AT_ONCE, Back.IN_HOLD) else 1002
        self.assertEqual(play.closes, [code] if case.who is Who.HALF_OPEN else [])
        for program in play.here:
            self.assertIsNone(program.line.closed, program.name)

    def check_pause(self, play: Play) -> None:
        """A new line is no way around the 5 s without offers after a rejection."""
        if play.case.step is Step.REJECTED and play.case.back is Back.AT_ONCE:
            self.assertEqual(play.early, ("identified",))

    def check_disk(self, play: Play) -> None:
        """All of it is on disk: a hub that is started again says the same."""
        before = play.task
        self.assertEqual(restarted(play.hub).task(play.agent.task_id), before)


class TableTests(SynchronousTestCase):
    """The table looks at what it claims to look at."""

    def test_size(self) -> None:
        """It has well over the 24 rows that are asked for, and no row twice."""
        self.assertGreaterEqual(len(CASES), 40)
        self.assertEqual(_several(case.name for case in CASES), [])
        self.assertEqual(_several(case.given for case in CASES), [])

    def test_every_row_runs(self) -> None:
        """Each row is a test of its own."""
        names = {name for name in dir(RowTests) if name.startswith("test_")}
        self.assertEqual(names, {f"test_{case.name}" for case in CASES})

    def test_axes(self) -> None:
        """Each value of each axis is in at least two rows."""
        axes: dict[str, tuple[Iterable[Any], Callable[[Case], Any]]] = {
            "who": (Who, lambda case: case.who),
            "step": (Step, lambda case: case.step),
            "back": (Back, lambda case: case.back),
            "generation": (Generation, lambda case: case.generation),
            "says": (Says, lambda case: case.says),
            "then": (Then, lambda case: case.then),
            "hold_s": ((0, 30), lambda case: case.terms.hold_s),
            "on_disconnect": (
                ("requeue", "fail", "keep"),
                lambda case: case.terms.on_disconnect,
            ),
            "push": ((False, True), lambda case: case.terms.push),
            "max_attempts": ((1, 3), lambda case: case.terms.max_attempts),
        }
        for name, (values, of) in axes.items():
            seen = Counter(of(case) for case in CASES)
            rare = [value for value in values if seen[value] < 2]
            self.assertEqual(rare, [], f"{name}: in fewer than two rows")

    def test_old_clients_lose_every_way(self) -> None:
        """Whoever vanishes, there is a row with a generation and one without."""
        for who in Who:
            sent = {case.generation is Generation.SENT for case in CASES if case.who is who}
            # A journal is ours, and knows the generation.
            self.assertEqual(sent, {True} if who.has_journal else {False, True}, who)


def _raw(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "payload": msgspec.Raw(msgspec.json.encode(event["payload"]))}


def _several(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


def _test(case: Case) -> Callable[[RowTests], None]:
    def test(self: RowTests) -> None:
        self.check(case)

    test.__name__ = f"test_{case.name}"
    test.__doc__ = f"{case.who.value}; {case.step.value}; back {case.back.value}."
    return test


for _case in CASES:
    setattr(RowTests, f"test_{_case.name}", _test(_case))
