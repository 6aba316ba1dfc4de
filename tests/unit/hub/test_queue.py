"""The queue: whose turn it is, what is delayed, and that memory stays bounded.

``test_queue_model.py`` compares it with a plain list over random lives.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.matching import NOTHING, Needs, needs
from agentcom.core.state import Priority
from agentcom.hub import queue as queue_module
from agentcom.hub.queue import KEPT_EMPTY, SLACK, Group, Queue
from agentcom.store.interface import Waiting

GPU = needs(["gpu"], [])


def waiting(id: str, created_at: int = 0, submitter: str = "s", **fields: Any) -> Waiting:
    """A task that waits, as usual but for these fields."""
    fields = {
        "priority": Priority.NORMAL,
        "pinned": None,
        "needs": NOTHING,
        "ready_at": None,
        "agent_id": None,
        **fields,
    }
    return Waiting(id=id, created_at=created_at, submitted_by=submitter, **fields)


class QueueCase(SynchronousTestCase):
    """A queue with one group of tasks that ask for nothing."""

    def setUp(self) -> None:
        self.queue = Queue()
        self.group = self.new_group()

    def new_group(self, pinned: str | None = None, wanted: Needs = NOTHING) -> Group:
        group = self.queue.new_group(pinned, wanted)
        self.queue.trim()
        return group

    def add(self, id: str, created_at: int = 0, submitter: str = "s", **fields: Any) -> bool:
        """Add a task at time 0."""
        group = fields.pop("group", self.group)
        return self.queue.add(waiting(id, created_at, submitter, **fields), group, 0)

    def serve(self, *groups: Group) -> str | None:
        """Give the next task to somebody."""
        task_id = self.queue.first(groups or (self.group,))
        if task_id is not None:
            self.queue.remove(task_id, served=True)
        return task_id

    def serve_all(self, *groups: Group) -> list[str]:
        """Give out all that is ready; the ids in their order."""
        served = []
        while (task_id := self.serve(*groups)) is not None:
            served.append(task_id)
        return served


class OrderTests(QueueCase):
    """Priority, then fair turns between submitters, then age."""

    def test_priority(self) -> None:
        """Whoever submitted it and when, higher priority goes first."""
        for age, priority in enumerate(reversed(Priority)):
            self.add(priority.value, age, f"s{age}", priority=priority)
        self.assertEqual(self.serve_all(), ["urgent", "high", "normal", "low"])

    def test_age(self) -> None:
        """Of one submitter's tasks of one priority the oldest goes first."""
        for age in (3, 1, 2):
            self.add(f"t{age}", age)
        self.assertEqual(self.serve_all(), ["t1", "t2", "t3"])

    def test_one_millisecond(self) -> None:
        """Tasks of one millisecond go in the order in which they came."""
        names = [f"t{n}" for n in range(50)]
        for name in reversed(names):
            self.add(name, 7)
        self.assertEqual(self.serve_all(), names[::-1])

    def test_turns(self) -> None:
        """Submitters take turns, however many tasks one of them has waiting."""
        for n in range(4):
            self.add(f"a{n}", n, "a")
        for n in range(2):
            self.add(f"b{n}", 10 + n, "b")
        self.add("c0", 20, "c")
        self.assertEqual(self.serve_all(), ["a0", "b0", "c0", "a1", "b1", "a2", "a3"])

    def test_turns_across_priorities(self) -> None:
        """A turn at one priority is a turn: the next one is another submitter's."""
        self.add("a urgent", 0, "a", priority=Priority.URGENT)
        self.add("a normal", 1, "a")
        self.add("b normal", 2, "b")
        self.assertEqual(self.serve_all(), ["a urgent", "b normal", "a normal"])

    def test_newcomer(self) -> None:
        """A submitter that was never served goes before all that were."""
        for n in range(3):
            self.add(f"a{n}", n, "a")
        self.serve()
        self.add("b0", 10, "b")
        self.assertEqual(self.serve_all(), ["b0", "a1", "a2"])

    def test_taken_away_is_no_turn(self) -> None:
        """A task that leaves the queue without an agent costs its submitter no turn."""
        for n in range(3):
            self.add(f"a{n}", n, "a")
            self.add(f"b{n}", 10 + n, "b")
        self.queue.remove("a0", served=False)
        self.assertEqual(self.serve_all(), ["a1", "b0", "a2", "b1", "b2"])

    def test_among_groups(self) -> None:
        """An agent that fits several groups is given the one task whose turn it is."""
        other = self.new_group(wanted=GPU)
        mine = self.new_group(pinned="w")
        self.add("old", 1, "a")
        self.add("high", 3, "a", priority=Priority.HIGH, group=other)
        self.add("older", 0, "b", group=mine)
        self.add("b too", 2, "b", group=other)
        groups = (self.group, other, mine)
        # The high one was a turn of "a"; then they take turns again.
        self.assertEqual(self.serve_all(*groups), ["high", "older", "old", "b too"])

    def test_only_these_groups(self) -> None:
        """Nothing of another group is given, whatever its priority."""
        other = self.new_group(wanted=GPU)
        self.add("urgent", priority=Priority.URGENT, group=other)
        self.assertIsNone(self.queue.first([self.group]))
        self.assertIsNone(self.queue.first([]))
        self.assertEqual(self.queue.first([other]), "urgent")

    def test_back_again(self) -> None:
        """A task that comes back keeps its age: it goes before what is younger."""
        for n in range(4):
            self.add(f"t{n}", n)
        self.assertEqual([self.serve(), self.serve()], ["t0", "t1"])
        self.add("t1", 1)
        self.add("t0", 0)
        self.assertEqual(self.serve_all(), ["t0", "t1", "t2", "t3"])

    def test_looking_changes_nothing(self) -> None:
        """To look whose turn it is is no turn."""
        self.add("a", 0, "a")
        self.add("b", 1, "b")
        self.assertEqual({self.queue.first([self.group]) for _ in range(9)}, {"a"})

    def test_older_one_comes_late(self) -> None:
        """Between two submitters of whom none was served the older task counts, though it
        was delayed until its submitter had a younger one ready."""
        self.add("a old", 1, "a", ready_at=100)
        self.add("b", 2, "b")
        self.add("a young", 3, "a")
        self.assertEqual(self.queue.first([self.group]), "b")
        self.queue.ripen(100)
        self.assertEqual(self.serve_all(), ["a old", "b", "a young"])

    def test_older_one_in_an_emptied_lane(self) -> None:
        """So it is when the younger one was taken away meanwhile."""
        self.add("a young", 3, "a")
        self.add("b", 2, "b")
        self.queue.remove("a young", served=False)
        self.add("a old", 1, "a")
        self.assertEqual(self.serve_all(), ["a old", "b"])

    def test_older_one_after_a_look(self) -> None:
        """So it is when somebody looked meanwhile, and saw the younger one in front."""
        self.add("a oldest", 1, "a")
        self.add("a young", 4, "a")
        self.queue.remove("a oldest", served=False)
        self.assertEqual(self.queue.first([self.group]), "a young")
        self.add("b", 3, "b")
        self.add("a old", 2, "a")
        self.assertEqual(self.serve_all(), ["a old", "b", "a young"])


class DelayTests(QueueCase):
    """Tasks that may not be given to anybody yet."""

    def test_ripens(self) -> None:
        """A delayed task is given to nobody before its time, and then in its turn."""
        self.assertFalse(self.add("later", 0, ready_at=100))
        self.assertTrue(self.add("now", 5))
        self.assertEqual(self.queue.next_ready(), 100)
        self.assertEqual(self.serve(), "now")
        self.assertEqual(self.queue.ripen(99), [])
        self.assertIsNone(self.serve())
        self.assertFalse(self.queue.is_ready("later"))
        self.assertEqual(self.queue.ripen(100), [self.group])
        self.assertTrue(self.queue.is_ready("later"))
        self.assertIsNone(self.queue.next_ready())
        self.assertEqual(self.serve(), "later")

    def test_its_time_is_over(self) -> None:
        """A task whose time has come already is ready at once."""
        for ready_at in (None, 0, 50, 100):
            ready = self.queue.add(waiting(f"t{ready_at}", ready_at=ready_at), self.group, 100)
            self.assertTrue(ready, ready_at)
        self.assertIsNone(self.queue.next_ready())

    def test_tells_each_group_once(self) -> None:
        """Of what ripens together each group is named once, and no other."""
        other, third = self.new_group(wanted=GPU), self.new_group(pinned="w")
        for n in range(3):
            self.add(f"a{n}", ready_at=100 + n)
            self.add(f"b{n}", ready_at=100 + n, group=other)
        self.add("c", ready_at=200, group=third)
        ripened = self.queue.ripen(150)
        self.assertEqual((len(ripened), set(ripened)), (2, {self.group, other}))
        self.assertEqual(self.queue.next_ready(), 200)

    def test_removed_while_delayed(self) -> None:
        """A delayed task that was taken away does not ripen, nor is it waited for."""
        self.add("gone", ready_at=100)
        self.add("later", ready_at=200)
        self.queue.remove("gone", served=False)
        self.assertEqual(self.queue.next_ready(), 200)
        self.assertEqual(self.queue.ripen(150), [])
        self.assertEqual(self.queue.ripen(200), [self.group])
        self.assertEqual(self.serve_all(), ["later"])

    def test_delayed_anew(self) -> None:
        """A task that comes back with another delay ripens at the new time alone."""
        for ready_at in (100, 300, 200):
            if "t" in self.queue:
                self.queue.remove("t", served=True)
            self.add("t", ready_at=ready_at)
        self.assertEqual(self.queue.next_ready(), 200)
        self.assertEqual(self.queue.ripen(199), [])
        self.assertEqual(self.queue.ripen(200), [self.group])
        self.assertEqual((self.group.count, self.group.ready), (1, 1))
        self.assertEqual(self.queue.ripen(300), [])
        self.assertEqual(self.serve_all(), ["t"])


class CountTests(QueueCase):
    """What the queue tells of itself."""

    def test_counts(self) -> None:
        """Length, priorities and groups count delayed tasks too; a group's ``ready`` does not."""
        self.add("a")
        self.add("b", priority=Priority.URGENT, ready_at=100)
        self.add("c", priority=Priority.URGENT)
        self.assertEqual(len(self.queue), 3)
        by_priority = {"urgent": 2, "high": 0, "normal": 1, "low": 0}
        self.assertEqual(self.queue.by_priority(), by_priority)
        self.assertEqual((self.group.count, self.group.ready), (3, 2))
        self.queue.remove("b", served=False)
        self.assertEqual(self.queue.by_priority(), {**by_priority, "urgent": 1})
        self.assertEqual((self.group.count, self.group.ready), (2, 2))
        self.assertIn("a", self.queue)
        self.assertNotIn("b", self.queue)
        self.assertIs(self.queue.group_of("a"), self.group)

    def test_oldest(self) -> None:
        """The oldest ready task is found in whatever group, lane and rank it is."""
        self.assertIsNone(self.queue.oldest())
        other = self.new_group("a")
        self.add("delayed", 10, ready_at=5_000)
        self.assertIsNone(self.queue.oldest())
        self.add("c", 300)
        self.add("d", 400, "t", priority=Priority.URGENT)
        self.add("b", 200, "t", priority=Priority.LOW)
        self.add("a", 100, group=other)
        self.assertEqual(self.queue.oldest(), 100)
        for task_id, left in (("a", 200), ("b", 300), ("d", 300), ("c", None)):
            self.queue.remove(task_id, served=True)
            self.assertEqual(self.queue.oldest(), left, task_id)
        self.queue.ripen(5_000)
        self.assertEqual(self.queue.oldest(), 10)

    def test_oldest_after_one_was_set_aside(self) -> None:
        """One that is kept back is passed over, and is not forgotten."""
        for n in range(5):
            self.add(str(n), n)
        self.queue.set_aside("0", 9_000)
        self.queue.remove("1", served=False)
        self.assertEqual(self.queue.oldest(), 2)
        self.queue.ripen(9_000)
        self.assertEqual(self.queue.oldest(), 0)
        self.assertEqual(self.serve_all(), ["0", "2", "3", "4"])

    def test_some_of(self) -> None:
        """Some ready tasks of a group can be named, as many as are asked for."""
        for n in range(5):
            self.add(f"t{n}", n, f"s{n % 2}")
        self.add("later", ready_at=100)
        self.queue.remove("t4", served=True)
        self.assertEqual(set(self.queue.some_of(self.group, 99)), {"t0", "t1", "t2", "t3"})
        self.assertEqual(len(set(self.queue.some_of(self.group, 2))), 2)
        self.assertEqual(self.queue.some_of(self.group, 0), [])

    def test_groups(self) -> None:
        """Groups are found by what is asked; an agent sees the open ones and its own."""
        mine, others = self.new_group("w", GPU), self.new_group("v", GPU)
        self.assertIs(self.queue.group("w", needs(["gpu"], [])), mine)
        self.assertIsNone(self.queue.group(None, GPU))
        self.assertEqual(set(self.queue.pinned_to("w")), {mine})
        self.assertEqual(set(self.queue.pinned_to("u")), set())
        self.assertEqual(list(self.queue.pinned_to("v")), [others])
        self.assertEqual(list(self.queue.pinned_to("u")), [])


class BoundTests(QueueCase):
    """However much comes and goes, what is kept is in proportion to what waits."""

    def test_lane(self) -> None:
        """Tasks that leave behind an older one that stays leave nothing."""
        self.add("stays", 0)
        for n in range(5_000):
            self.add(f"t{n}", n + 1)
            self.queue.remove(f"t{n}", served=False)
        (lane,) = (lane for at_rank in self.group._lanes for lane in at_rank.values())
        self.assertLessEqual(len(lane.heap), 2 * 1 + SLACK + 1)
        self.assertEqual(self.serve_all(), ["stays"])

    def test_lane_that_empties(self) -> None:
        """The last task of a lane leaves nothing at all."""
        for n in range(SLACK):
            self.add(f"t{n}", n)
        for n in range(SLACK):
            self.queue.remove(f"t{n}", served=False)
        (lane,) = (lane for at_rank in self.group._lanes for lane in at_rank.values())
        self.assertEqual((lane.heap, lane.count), ([], 0))

    def test_submitters(self) -> None:
        """Submitters whose tasks are done leave no lane and no turn."""
        for n in range(5_000):
            self.add(f"t{n}", n, f"s{n}")
        self.assertEqual(len(self.serve_all()), 5_000)
        kept = [len(kind) for kind in (*self.group._lanes, *self.group._turns)]
        self.assertLessEqual(max(kept), 1)

    def test_turns(self) -> None:
        """A task that comes back again and again takes one turn of its submitter's, not many."""
        self.add("a", 5, "a")
        for n in range(1_000):
            self.add("b", 10_000 - n, "b")
            self.add("c", 20_000 - n, "b")
            self.assertEqual(self.queue.first([self.group]), "a")
            self.queue.remove("b", served=False)
            self.queue.remove("c", served=False)
        self.assertLessEqual(sum(map(len, self.group._turns)), 2 * 2 + SLACK)

    def test_delayed(self) -> None:
        """Delayed tasks that leave before their time leave nothing."""
        self.add("stays", ready_at=1)
        for n in range(5_000):
            self.add(f"t{n}", ready_at=1_000 + n)
            self.queue.remove(f"t{n}", served=False)
        self.assertLessEqual(len(self.queue._delayed), 2 * 2 + SLACK + 1)
        self.assertEqual(self.queue.ripen(10_000), [self.group])
        self.assertEqual(self.serve_all(), ["stays"])

    def test_empty_groups(self) -> None:
        """Of groups without tasks the newest 256 are kept, pinned ones and others alike."""
        self.assertEqual(KEPT_EMPTY, 256)
        self.patch(queue_module, "KEPT_EMPTY", 3)
        made = [self.group]
        gone: list[Group] = []
        for n in range(10):
            pinned = f"w{n}" if n % 2 else None
            made.append(self.queue.new_group(pinned, needs([str(n)], [])))
            gone += self.queue.trim()
        self.assertEqual(gone, made[:-3])
        for group in made:
            found = self.queue.group(group.pinned, group.needs)
            self.assertIs(found, None if group in gone else group)
        self.assertEqual(set(self.queue.groups()), set(made[-3:]))
        self.assertEqual(list(self.queue.pinned_to("w1")), [])
        self.assertEqual(set(self.queue._pinned), {"w7", "w9"})

    def test_groups_with_tasks_are_kept(self) -> None:
        """A group with a task, delayed or not, is never forgotten; emptied, it is new again."""
        self.patch(queue_module, "KEPT_EMPTY", 3)
        self.add("t")
        delayed = self.new_group("w")
        self.add("later", ready_at=100, group=delayed)
        for n in range(10):
            self.new_group(wanted=needs([str(n)], []))
        self.assertIs(self.queue.group(None, NOTHING), self.group)
        self.assertIs(self.queue.group("w", NOTHING), delayed)
        self.assertEqual(self.serve(), "t")
        self.assertIs(self.queue.group(None, NOTHING), self.group)
        for n in range(4):
            self.new_group(wanted=needs(["x", str(n)], []))
        self.assertIsNone(self.queue.group(None, NOTHING))
        self.assertIs(self.queue.group("w", NOTHING), delayed)

    def test_groups_whose_tasks_never_wait_are_kept(self) -> None:
        """So is one whose tasks never wait, before those that nobody asks for."""
        self.patch(queue_module, "KEPT_EMPTY", 3)
        for n in range(10):
            self.queue.pass_by(self.group, "s")
            self.new_group(wanted=needs([str(n)], []))
        self.assertIs(self.queue.group(None, NOTHING), self.group)
        self.assertEqual(len(list(self.queue.groups())), 3)

    def test_empty_groups_after_a_burst(self) -> None:
        """So it is when many groups had tasks at once, and all of these are gone."""
        for n in range(1_000):
            group = self.new_group("w" if n % 2 else None, needs([str(n)], []))
            self.add(f"t{n}", group=group)
        for n in range(1_000):
            self.queue.remove(f"t{n}", served=True)
        self.assertEqual(len(self.queue.trim()), 1_001 - KEPT_EMPTY)
        self.assertLessEqual(len(list(self.queue.groups())), KEPT_EMPTY)
