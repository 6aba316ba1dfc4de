"""What a run does is drawn from its seed."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom.chaos.plan import BATCH, CALLERS, CUTS, STAYS, Kind, Plan, Size, What, draw


class PlanTests(SynchronousTestCase):
    """Plans are values that follow from size and seed."""

    def test_same_seed(self) -> None:
        """The same size and seed give the same plan, another seed another one."""
        size = Size(tasks=50, seed=7)
        self.assertEqual(draw(size), draw(size))
        other = draw(Size(tasks=50, seed=8))
        self.assertNotEqual(draw(size).steps, other.steps)
        self.assertNotEqual(draw(size).works, [other.works[0], *draw(size).works[1:]])

    def test_subjects_are_apart(self) -> None:
        """More cuts change neither the tasks nor the kills of the hub."""

        def kills(plan: Plan) -> list[float]:
            return [step.for_s for step in plan.steps if step.what is What.KILL_HUB]

        few, many = draw(Size(cut=1, seed=3)), draw(Size(cut=20, seed=3))
        self.assertEqual([w.body for w in few.works], [w.body for w in many.works])
        self.assertEqual(kills(few), kills(many))

    def test_counts(self) -> None:
        """There is as much of everything as was asked for, within the span."""
        size = Size(tasks=30, agents=5, kill_hub=2, kill_writer=1, cut=40, kill_agent=4, freeze=3)
        plan = draw(size)
        done = Counter(step.what for step in plan.steps)
        self.assertEqual(len(plan.works), 30)
        self.assertEqual(len({work.key for work in plan.works}), 30)
        self.assertEqual(len(plan.members), 5)
        self.assertEqual(done[What.KILL_HUB], 2)
        self.assertEqual(done[What.KILL_WRITER], 1)
        self.assertEqual(done[What.KILL_AGENT], 4)
        self.assertEqual(done[What.FREEZE], 3)
        self.assertEqual(sum(done[cut] for cut in CUTS), 40)
        times = [step.at_s for step in plan.steps] + [work.at_s for work in plan.works]
        self.assertTrue(all(0 <= at_s <= plan.span_s for at_s in times), times)
        self.assertEqual([s.at_s for s in plan.steps], sorted(s.at_s for s in plan.steps))

    def test_nothing_at_all(self) -> None:
        """A run without any disturbance is a plan, too."""
        plan = draw(
            Size(tasks=1, agents=1, kill_hub=0, kill_writer=0, cut=0, kill_agent=0, freeze=0)
        )
        self.assertEqual(plan.steps, [])
        self.assertEqual(plan.members[0].kind, Kind.SIDECAR)

    def test_sorts(self) -> None:
        """Among a few agents there are both sorts of clients, and one that stays away."""
        members = draw(Size(agents=6)).members
        self.assertEqual({member.kind for member in members}, set(Kind))
        self.assertEqual([member.returns for member in members].count(False), 1)

    def test_whom(self) -> None:
        """Only agents that there are, and the callers' line, are disturbed."""
        plan = draw(Size(agents=3, cut=200))
        names = {member.name for member in plan.members}
        self.assertEqual({step.who for step in plan.steps if step.who}, names | {CALLERS})

    def test_kept_tasks_come_back(self) -> None:
        """What is kept for ever is for agents that always come back."""
        plan = draw(Size(tasks=300))
        kept = [work.body for work in plan.works if work.body["on_disconnect"] == "keep"]
        self.assertTrue(kept)
        self.assertTrue(all(body["capabilities"] == [STAYS] for body in kept))

    def test_descriptions(self) -> None:
        """Each task says in JSON what its command is to do."""
        for work in draw(Size(tasks=50)).works:
            asked = json.loads(work.body["description"])
            self.assertTrue(0 <= asked["work_s"] <= 2)
            self.assertIn(asked["fails"], (0, 1, 99))
            self.assertIn(asked["deaf"], (True, False))

    def test_batches(self) -> None:
        """Most tasks come one by one, and some together."""
        sizes = Counter(Counter(work.at_s for work in draw(Size(tasks=500)).works).values())
        self.assertEqual((min(sizes), max(sizes)), (1, BATCH))
        self.assertGreater(sizes[1], sizes[BATCH])

    def test_written_down(self) -> None:
        """A plan comes back from JSON as it was."""
        plan = draw(Size(tasks=5))
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(plan), type=Plan), plan)
