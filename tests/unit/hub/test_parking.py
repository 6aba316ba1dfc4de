"""Parked tasks: when many wait, memory keeps their place in the queue and no more."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.changes import Assign, Cancel, Complete, Fail, Requeue, Retry
from agentcom.core.state import Status, Task
from agentcom.core.task import submitted
from agentcom.hub import ledger as ledger_module
from agentcom.hub.ledger import WARM_BYTES, WARM_TASKS, Ledger
from agentcom.testing import MemoryHub
from tests.unit.store.support import Held, make_clock, make_task, memory_store

WARM = 3
"""Tasks that are kept whole in these tests."""


class ParkingCase(SynchronousTestCase):
    """A ledger that keeps three queued tasks whole, over a real store in memory."""

    def setUp(self) -> None:
        self.patch(ledger_module, "WARM_TASKS", WARM)
        self.clock = make_clock()
        self.disk = Held()
        self.store = memory_store(self.clock, commits=self.disk)
        self.addCleanup(self.store.close)
        self.ledger = Ledger(self.store, self.clock, lambda: int(self.clock.seconds() * 1000))
        self.queued: set[str] = set()
        self.ledger.parked_in(self.queued)
        self.ledger.on_move(self._moved)
        self.fetched: list[str] = []
        fetch = self.store.fetch

        def heard(task_id: str) -> Task | None:
            self.fetched.append(task_id)
            return fetch(task_id)

        self.patch(self.store, "fetch", heard)

    def _moved(self, old: Task | None, new: Task) -> None:
        if new.status is Status.QUEUED:
            self.queued.add(new.id)
        else:
            self.queued.discard(new.id)

    def settle(self) -> None:
        for _ in range(5):
            self.clock.advance(0)

    def add(self, *ids: str, **fields: Any) -> None:
        for task_id in ids:
            task = make_task(task_id, **fields)
            self.ledger.add(task, submitted(task))

    def fill(self) -> None:
        """As many tasks as are kept whole."""
        self.add(*(f"warm{n}" for n in range(WARM)))
        self.settle()

    def warm(self) -> set[str]:
        """The ids of what is kept whole."""
        return set(self.ledger.live)


class ParkTests(ParkingCase):
    """What is parked, and when."""

    def test_bounds(self) -> None:
        """Twenty thousand tasks, or 64 MiB of texts, are kept whole."""
        self.assertEqual((WARM_TASKS, WARM_BYTES), (20_000, 64 * 1024 * 1024))

    def test_later_ones(self) -> None:
        """Up to the bound tasks stay whole, the later ones are parked."""
        self.fill()
        kept = self.warm()
        self.assertEqual(len(kept), WARM)
        self.add("a", "b", metadata=b'{"n":1}')
        self.settle()
        self.assertEqual(self.warm(), kept)
        self.assertEqual(self.queued - kept, {"a", "b"})

    def test_not_before_it_is_on_disk(self) -> None:
        """A task stays in memory until its row is on disk, and is answered then."""
        self.fill()
        self.disk.holding = True
        task = make_task("a")
        answered: list[bool] = []
        self.ledger.add(task, submitted(task), lambda: answered.append("a" in self.ledger.live))
        self.settle()
        self.assertIn("a", self.ledger.live)
        self.assertEqual(answered, [])
        self.disk.release()
        self.settle()
        self.assertNotIn("a", self.ledger.live)
        self.assertEqual(answered, [False])

    def test_moved_on_meanwhile(self) -> None:
        """A task that was assigned, or changed, before its row was on disk is not parked."""
        self.fill()
        self.disk.holding = True
        self.add("a")
        self.ledger.change("a", Assign("w"))
        self.add("b")
        self.ledger.change("b", Cancel("boss"))
        self.disk.release()
        self.settle()
        self.assertEqual(self.ledger.live["a"].status, Status.ASSIGNED)
        self.assertNotIn("b", self.ledger.live)

    def test_large_texts(self) -> None:
        """Few tasks with large texts are too much as well."""
        self.patch(ledger_module, "WARM_TASKS", 1_000)
        self.patch(ledger_module, "WARM_BYTES", 10_000)
        for task_id in ("a", "b", "c"):
            self.add(task_id, description="x" * 4_000)
        self.settle()
        self.assertEqual(self.warm(), {"a", "b"})

    def test_what_agents_hold_is_never_parked(self) -> None:
        """However many tasks agents hold, all of these are in memory."""
        for n in range(3 * WARM):
            self.add(f"t{n}")
            self.ledger.change(f"t{n}", Assign("w"))
        self.settle()
        self.assertEqual(len(self.warm()), 3 * WARM)

    def test_room_again(self) -> None:
        """Tasks that are assigned or ended make room for others to stay whole."""
        self.fill()
        self.ledger.change("warm0", Cancel("boss"))
        self.ledger.change("warm1", Assign("w"))
        self.add("a", "b", "c")
        self.settle()
        self.assertEqual(self.warm(), {"warm1", "warm2", "a", "b"})

    def test_parked_ones_take_no_room(self) -> None:
        """What is parked counts no more: others stay whole once there is room."""
        self.fill()
        self.add("a", "b", "c", "d")
        self.settle()
        for n in range(WARM):
            self.ledger.change(f"warm{n}", Cancel("boss"))
        self.add("e", "f", "g", "h")
        self.settle()
        self.assertEqual(self.warm(), {"e", "f", "g"})

    def test_what_was_read_back_takes_room(self) -> None:
        """A task that was read back counts again."""
        self.fill()
        self.add("a")
        self.settle()
        self.ledger.get("a")
        self.ledger.change("warm0", Cancel("boss"))
        self.add("b")
        self.settle()
        self.assertEqual(self.warm(), {"warm1", "warm2", "a"})

    def test_counts_do_not_drift(self) -> None:
        """Whatever tasks go through, the room that they take is given back, texts too."""
        self.patch(ledger_module, "WARM_BYTES", 100)
        for n in range(20):
            self.add("t", "u", description="x" * 40)
            self.settle()
            self.ledger.change("t", Assign("w"))
            self.ledger.change("t", Requeue("operator", "boss"))
            self.settle()
            self.ledger.get("t")
            self.ledger.change("t", Assign("w"))
            self.ledger.change("t", Complete(b"1" * 30))
            self.ledger.change("u", Cancel("boss"))
            self.settle()
            self.assertEqual(self.warm(), set(), n)
            self.store._connection.execute("DELETE FROM tasks")
        self.add("t", "u", description="x" * 40)
        self.settle()
        self.assertEqual(self.warm(), {"t", "u"})

    def test_back_in_the_queue(self) -> None:
        """A task that comes back when many wait is parked like any other, and one that fails
        and waits to be tried again."""
        self.add("a", "b", max_attempts=3)
        self.ledger.change("a", Assign("w"))
        self.ledger.change("b", Assign("w"))
        self.fill()
        self.ledger.change("a", Requeue("operator", "boss"))
        self.ledger.change("b", Fail("e"))
        self.settle()
        self.assertNotIn("a", self.ledger.live)
        self.assertNotIn("b", self.ledger.live)
        found = self.ledger.peek("b")
        assert found is not None
        self.assertEqual((found.last_error, found.attempts), ("e", 1))

    def test_together(self) -> None:
        """Of many that come together those over the bound are parked after their commit."""
        self.ledger.together(lambda: self.add(*(f"t{n}" for n in range(10))))
        self.assertEqual(len(self.warm()), 10)
        self.settle()
        self.assertEqual(self.warm(), {f"t{n}" for n in range(WARM)})

    def test_revived(self) -> None:
        """A dead letter that is retried when many wait is parked."""
        self.add("a")
        self.ledger.change("a", Assign("w"))
        self.ledger.change("a", Fail("e"))
        self.fill()
        dead = self.successResultOf(self.store.task("a"))
        assert dead is not None
        self.ledger.revive(dead, Retry("boss"))
        self.settle()
        self.assertNotIn("a", self.ledger.live)
        self.assertIn("a", self.queued)


class ReadBackTests(ParkingCase):
    """Parked tasks are found as if they were in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.fill()
        self.add("a", description="texts", metadata=b'{"n":1}')
        self.parked = self.ledger.live["a"]
        self.settle()
        self.assertNotIn("a", self.ledger.live)

    def test_get(self) -> None:
        """It is read back once, whole, and is in memory from then on."""
        self.assertEqual(self.ledger.get("a"), self.parked)
        self.assertIn("a", self.ledger.live)
        self.ledger.get("a")
        self.assertEqual(self.fetched, ["a"])

    def test_peek(self) -> None:
        """To look at it does not bring it back."""
        self.assertEqual(self.ledger.peek("a"), self.parked)
        self.assertNotIn("a", self.ledger.live)
        self.assertIs(self.ledger.peek("warm0"), self.ledger.live["warm0"])
        self.assertEqual(self.fetched, ["a"])

    def test_find(self) -> None:
        """A report on it, or a cancellation, finds it."""
        self.assertEqual(self.ledger.find("a"), self.parked)

    def test_change(self) -> None:
        """It is changed like any other: an assignment has all of it."""
        new = self.ledger.change("a", Assign("w"))
        self.assertEqual(
            new,
            msgspec.structs.replace(
                self.parked,
                status=Status.ASSIGNED,
                agent_id="w",
                generation=1,
                attempts=1,
                assigned_at=new.updated_at,
                updated_at=new.updated_at,
            ),
        )
        self.settle()
        self.assertEqual(self.successResultOf(self.store.task("a")), new)

    def test_unknown(self) -> None:
        """What does not wait is not looked for on disk: nothing is read for any id that comes."""
        for found in (self.ledger.get, self.ledger.peek, self.ledger.find):
            self.assertIsNone(found("unknown"))
        self.assertRaises(KeyError, self.ledger.live_task, "unknown")
        self.ledger.change("warm0", Cancel("boss"))
        self.assertIsNone(self.ledger.get("warm0"))
        self.assertIsNone(self.ledger.peek("warm0"))
        self.assertEqual(self.fetched, [])


class HubTests(SynchronousTestCase):
    """A whole hub that keeps next to nothing whole."""

    def setUp(self) -> None:
        self.patch(ledger_module, "WARM_TASKS", WARM)
        self.hub = MemoryHub()
        self.ids = [self.submit(n) for n in range(20)]

    def submit(self, n: int) -> str:
        body = {"description": f"work {n}", "metadata": {"n": n}}
        return str(self.hub.request("POST", "/api/tasks", body).body["task_id"])

    def test_everything_is_done(self) -> None:
        """All tasks are given out in their order, whole, though nearly all were parked."""
        self.assertEqual(len(self.hub.hub.ledger.live), WARM)
        worker = self.hub.agent("w")
        for n, task_id in enumerate(self.ids):
            frame = worker.of("task_assign")[n]
            self.assertEqual(frame["task_id"], task_id)
            self.assertEqual((frame["description"], frame["metadata"]), (f"work {n}", {"n": n}))
            worker.say("task_complete", task_id=task_id, generation=1)
        self.assertEqual(self.hub.hub.ledger.live, {})
        self.assertEqual({self.hub.task(i)["status"] for i in self.ids}, {"completed"})

    def test_a_look_brings_nothing_back(self) -> None:
        """Neither a list, nor a task, its events or its explanation makes it live in memory."""
        last = self.ids[-1]
        for path in ("", f"/{last}", f"/{last}/events", f"/{last}/explain", "/stats"):
            self.assertEqual(self.hub.request("GET", "/api/tasks" + path).status, 200, path)
        self.assertEqual(len(self.hub.hub.ledger.live), WARM)

    def test_refused_reports_bring_nothing_back(self) -> None:
        """An agent that reports on tasks that are not its own does not fill the memory."""
        stranger = self.hub.agent("stranger", slots=0)
        for task_id in self.ids:
            (answer,) = stranger.say("task_complete", task_id=task_id)
            self.assertEqual(answer["error"], "not_assignee")
            (answer,) = stranger.say("state_report", task_id=task_id)
            self.assertEqual(answer["action"], "abort")
        stranger.vanish()
        self.hub.agent("stranger", slots=0, tasks=[{"task_id": i} for i in self.ids])
        self.assertEqual(len(self.hub.hub.ledger.live), WARM)

    def test_cancel(self) -> None:
        """A parked task is cancelled like any other."""
        answer = self.hub.request("POST", f"/api/tasks/{self.ids[-1]}/cancel")
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.hub.task(self.ids[-1])["status"], "cancelled")
        self.assertEqual(len(self.hub.hub.dispatch.queue), 19)

    def test_restart(self) -> None:
        """After a restart nothing that waits is whole in memory, and all is done."""
        for call in self.hub.clock.getDelayedCalls():
            call.cancel()
        self.hub = MemoryHub(self.hub.store, self.hub.clock, seed=1)
        self.assertEqual(self.hub.hub.ledger.live, {})
        worker = self.hub.agent("w")
        for task_id in self.ids:
            worker.say("task_complete", task_id=task_id)
        self.assertEqual([f["task_id"] for f in worker.of("task_assign")], self.ids)
        self.assertEqual({self.hub.task(i)["status"] for i in self.ids}, {"completed"})
