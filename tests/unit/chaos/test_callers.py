"""Who submits and who watches, on a fake hub; time is its clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from agentcom.chaos.callers import AGAIN_S, Chronicler, Submitter, all_events, all_tasks
from agentcom.chaos.history import Acked, AnyRecord, Told, Trouble
from agentcom.chaos.pace import Pace
from agentcom.chaos.plan import Work
from tests.unit.client.fakes import FakeHub, event, sse, start

QUEUED = {"status": "queued", "priority": "normal", "created_at": 1}


class CallersTestCase(SynchronousTestCase):
    """A fake hub that gives each key a task."""

    def setUp(self) -> None:
        self.hub = FakeHub()
        self.hub.answers["POST /api/tasks"] = lambda body: (
            201,
            {**QUEUED, "task_id": f"task-{body['idempotency_key']}"},
        )
        self.records: list[AnyRecord] = []

    def wait(self, seconds: float) -> None:
        self.hub.flush()
        self.hub.clock.pump([0.1] * round(seconds * 10 + 1))
        self.hub.flush()


class SubmitterTests(CallersTestCase):
    """Every task until it is answered."""

    def begin(self, *at_s: float) -> Deferred[Any]:
        works = [Work(at, {"idempotency_key": str(n)}) for n, at in enumerate(at_s)]
        pace = Pace(self.hub.clock, lambda: False)
        self.addCleanup(pace.stop)
        self.submitter = Submitter(self.hub.clock, self.hub.client(), pace, self.records.append)
        pace.start()
        running = start(self.submitter.run(works))
        self.hub.flush()
        return running

    def keys(self) -> list[str]:
        return [body["idempotency_key"] for _, body in self.hub.requests]

    def test_in_time(self) -> None:
        """Each task is submitted when it is due, and the first of ten once more."""
        running = self.begin(0.0, 1.0, 2.0)
        self.assertEqual(self.keys(), ["0", "0"])
        self.wait(1.0)
        self.assertEqual(self.keys(), ["0", "0", "1"])
        self.assertNoResult(running)
        self.wait(1.0)
        self.successResultOf(running)
        self.assertEqual(
            self.records, [Acked(key=k, task_id=f"task-{k}") for k in ("0", "0", "1", "2")]
        )
        self.assertEqual(self.submitter.answered, 3)

    def test_batch(self) -> None:
        """Tasks of the same time are one batch, and each gets the id in its place."""
        self.hub.answers["POST /api/tasks/batch"] = lambda body: (
            201,
            {"task_ids": [f"task-{one['idempotency_key']}" for one in body["tasks"]]},
        )
        running = self.begin(0.0, 0.0, 3.0)
        told = [Acked(key=k, task_id=f"task-{k}") for k in ("0", "1")]
        self.assertEqual(self.records, told * 2)
        self.wait(3.0)
        self.successResultOf(running)
        self.assertEqual(self.submitter.answered, 3)

    def test_until_it_is_answered(self) -> None:
        """What is not answered, or with an error that passes, is submitted again."""
        self.hub.down = ConnectionRefusedError()
        running = self.begin(0.0)
        good = self.hub.answers["POST /api/tasks"]
        self.hub.down = None
        self.hub.answers["POST /api/tasks"] = (503, {"error": "store_unavailable"})
        self.wait(AGAIN_S)
        self.assertEqual(self.records, [])
        self.hub.answers["POST /api/tasks"] = good
        self.wait(AGAIN_S)
        self.successResultOf(running)
        self.assertEqual(self.keys(), ["0", "0", "0"])

    def test_refused(self) -> None:
        """What is refused for good is trouble, and no reason to stop."""
        self.hub.answers["POST /api/tasks"] = (409, {"error": "idempotency_conflict"})
        self.successResultOf(self.begin(0.0))
        (trouble,) = self.records
        assert isinstance(trouble, Trouble)
        self.assertEqual(trouble.who, "0")

    def test_cancelled(self) -> None:
        """When the run is over nothing is submitted any more, and nothing is left over."""
        self.hub.down = ConnectionRefusedError()
        running = self.begin(0.0, 1.0)
        running.addErrback(lambda failure: None)
        running.cancel()
        self.hub.down = None
        self.wait(10.0)
        self.assertEqual(self.keys(), [])


class ChroniclerTests(CallersTestCase):
    """The watcher of events."""

    def test_told(self) -> None:
        """Events of the log are written down; others, which have no place in it, are not."""
        chronicler = Chronicler(self.records.append)
        stream = self.hub.client().events(chronicler, after="0")
        running = start(stream.run())
        self.hub.flush()
        self.hub.stream(sse(event(5, "task_complete")) + sse(event(None, "task_failed")))
        told = Told(seq=5, event="task_complete", task_id="task-1", agent_id="bot", generation=1)
        self.assertEqual(self.records, [told])
        self.assertEqual(chronicler.seq, 5)
        self.hub.cut()
        self.wait(10.0)
        self.assertEqual(self.records, [told])
        self.hub.stream(sse({"first": 9}, "gap"))
        self.assertIsInstance(self.records[1], Trouble)
        stream.stop()
        self.successResultOf(running)


class ReadingTests(CallersTestCase):
    """Lists, page by page."""

    def test_pages(self) -> None:
        """All pages are read, of tasks and of events."""
        task = {"id": "t", "description": "d", "status": "queued", "created_at": 1}
        pages = {
            "GET /api/tasks": ("tasks", task),
            "GET /api/tasks/t/events": ("events", event(1, "task_submitted")),
        }
        for path, (name, one) in pages.items():
            cursors: list[str | None] = ["more", None]

            def answer(body: Any, name: str = name, one: Any = one, c: Any = cursors) -> Any:
                return 200, {name: [one], "cursor": c.pop(0)}

            self.hub.answers[path] = answer
        for reading in (all_tasks(self.hub.client()), all_events(self.hub.client(), "t")):
            done = start(reading)
            self.hub.flush()
            self.hub.flush()
            self.assertEqual(len(self.successResultOf(done)), 2)
        self.assertIn("cursor=more", self.hub.requests[1][0])
