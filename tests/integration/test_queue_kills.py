"""``kill -9`` of the hub and of its agents: every task is completed, and accepted once.

The moments come from a seed that is printed; ``AGENTCOM_TEST_SEED`` sets it,
``AGENTCOM_TEST_FULL`` makes the run as long as the one that is promised.
:mod:`.queue_kills` says what happens in a run.
"""

from __future__ import annotations

import os
import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import ProcessTestCase
from tests.integration.queue_kills import Run, Size
from tests.integration.replay import accepted_once, replay


class QueueKillTests(ProcessTestCase):
    """Twenty agents, and a hub that they find again."""

    timeout = 400

    def test_every_task_is_accepted_once(self) -> None:
        """Whoever is killed when, each task is completed once, and the log tells how."""
        seed = int(os.environ.get("AGENTCOM_TEST_SEED", random.randrange(10**6)))
        print(f"AGENTCOM_TEST_SEED={seed}", flush=True)
        size = Size(seed=seed)
        if os.environ.get("AGENTCOM_TEST_FULL"):
            size = Size(2000, 20, 10, 100, seed)
        outcome = Run(self.work, size).run()
        print(outcome, flush=True)
        self.assertEqual(outcome.faults, [])
        self.assertEqual(outcome.figures["accepted"], size.tasks)
        self.assertGreater(outcome.figures["begun more than once"], 0, "no kill met any work")


def log_of(*steps: str) -> list[dict[str, Any]]:
    """A log of one task: each step is an event's name, by ``a`` unless it says ``:b``."""
    events = []
    agent_id, generation = None, 0
    for seq, step in enumerate(steps, 1):
        name, _, who = step.partition(":")
        if name == "assigned":
            agent_id, generation = who or "a", generation + 1
        events.append(
            {
                "seq": seq,
                "topic": "tasks",
                "event": f"task_{name}",
                "task_id": "t",
                "agent_id": who or agent_id,
                "generation": generation,
            }
        )
    return events


class JudgeTests(SynchronousTestCase):
    """What judges the runs finds what is wrong."""

    GOOD = ("submitted", "assigned", "accepted", "requeued", "assigned:b", "complete")

    def faults(self, events: list[dict[str, Any]], **shown: Any) -> list[str]:
        task = {"status": "completed", "agent_id": "b", "generation": 2, **shown}
        return replay(events, {"t": task}) + accepted_once(events, ["t"])

    def test_good(self) -> None:
        """Nothing is found where nothing is wrong."""
        self.assertEqual(self.faults(log_of(*self.GOOD)), [])

    def test_hole(self) -> None:
        """A hole in the numbers, a number twice, and a missing beginning."""
        for wrong in (4, 2):
            events = log_of(*self.GOOD)
            events[2]["seq"] = wrong
            self.assertNotEqual(self.faults(events), [])
        events = log_of(*self.GOOD)
        for event in events:
            event["seq"] += 1
        self.assertEqual(self.faults(events), ["the log begins with [2]"])

    def test_twice(self) -> None:
        """A result that is accepted twice, or never."""
        (impossible, twice) = self.faults(log_of(*self.GOOD, "complete"))
        self.assertEqual(impossible, "7 t: task_complete of a task that is completed")
        self.assertEqual(twice, "t: accepted 2 times")
        faults = self.faults(log_of(*self.GOOD[:-1]), status="assigned")
        self.assertEqual(faults, ["t: accepted 0 times"])

    def test_superseded(self) -> None:
        """A result of another agent, or of an earlier attempt."""
        self.assertEqual(
            self.faults(log_of(*self.GOOD[:-1], "complete:a"), status="assigned"),
            ["6 t: task_complete by a, generation 2"],
        )
        events = log_of(*self.GOOD)
        events[-1]["generation"] = 1
        self.assertIn("6 t: task_complete by b, generation 1", self.faults(events))

    def test_impossible(self) -> None:
        """Steps that are not possible: assigned while assigned, accepted in the queue."""
        for steps in (
            ("submitted", "assigned", "assigned:b", "complete"),
            ("submitted", "assigned", "requeued", "accepted", "assigned:b", "complete"),
            ("assigned", "requeued", "assigned:b", "complete"),
            (*self.GOOD, "requeued"),
        ):
            self.assertNotEqual(self.faults(log_of(*steps)), [], steps)

    def test_shown_otherwise(self) -> None:
        """A hub that shows something else than its log says, or other tasks."""
        for shown in ({"status": "queued"}, {"agent_id": "a"}, {"generation": 3}):
            self.assertEqual(len(self.faults(log_of(*self.GOOD), **shown)), 1)
        events = log_of(*self.GOOD)
        self.assertEqual(replay(events, {}), ["t: the hub does not have it"])
        self.assertEqual(replay([], {"t": {}})[-1], "t: no word of it in the log")
