"""Dead letters: list them, try them again, delete them."""

from __future__ import annotations

from urllib.parse import quote

from agentcom.testing import Answered, FakeAgent, MemoryHub
from tests.contract.helpers import SlowDisk, Watcher, history
from tests.contract.queueing import QueueTests

DEAD_LETTERS = "/api/tasks/dead-letter"


class DeadLetterTests(QueueTests):
    """What the tests of this module share: an agent whose tasks die."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.hub.agent("a", slots=500)

    def listed(self, **query: str) -> list[str]:
        """The ids of the dead letters that a list has, page by page."""
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            asked = {**query, **({"cursor": cursor} if cursor else {})}
            text = "&".join(f"{name}={quote(value)}" for name, value in asked.items())
            page = self.hub.request("GET", f"{DEAD_LETTERS}?{text}")
            self.assertEqual(page.status, 200, page.body)
            self.assertEqual({t["status"] for t in page.body["tasks"]} - {"dead_letter"}, set())
            found += [task["id"] for task in page.body["tasks"]]
            cursor = page.body["cursor"]
        return found

    def retry(self, task_id: str) -> None:
        """Retry one dead letter."""
        answer = self.post(f"/api/tasks/{task_id}/retry")
        self.assert_fields(answer, status="requeued", task_id=task_id)

    def delete(self, task_id: str) -> Answered:
        """Delete one dead letter."""
        return self.hub.request("DELETE", f"/api/tasks/{task_id}")

    def many(self, count: int) -> list[str]:
        """So many dead letters, oldest first."""
        tasks = self.submit_all([{"max_attempts": 1, "agent_id": "a"} for _ in range(count)])
        for task_id in tasks:
            self.agent.say("task_failed", task_id=task_id, error=f"e{tasks.index(task_id) % 2}")
        return tasks


class ListTests(DeadLetterTests):
    """``GET /api/tasks/dead-letter``."""

    def test_only_these(self) -> None:
        """It has the dead letters, newest first, and nothing else."""
        dead = [self.die(self.agent) for _ in range(3)]
        self.agent.say("task_complete", task_id=self.submit())
        self.cancel(self.submit())
        self.submit()
        self.assertEqual(self.listed(), dead[::-1])
        self.assertEqual(self.listed(limit="1"), dead[::-1])

    def test_filters(self) -> None:
        """It is filtered by agent, priority, submitter and error, and by all of them at once."""
        other = self.hub.agent("b")
        ana = self.hub.token("ana")
        first = self.die(self.agent, "no disk & more")
        urgent = self.die(self.agent, priority="urgent")
        theirs = self.die(other)
        anas = self.die(self.agent, token=ana)
        self.assertEqual(self.listed(agent_id="b"), [theirs])
        self.assertEqual(self.listed(priority="urgent"), [urgent])
        self.assertEqual(self.listed(submitted_by="ana"), [anas])
        self.assertEqual(self.listed(last_error="no disk & more"), [first])
        self.assertEqual(self.listed(last_error="no disk"), [])
        self.assertEqual(
            self.listed(agent_id="a", last_error="broken", submitted_by="admin"), [urgent]
        )

    def test_restart(self) -> None:
        """Dead letters stay after a restart, until somebody does something about them."""
        dead = self.many(3)
        self.restart()
        self.hub.advance(3600, step=10)
        self.assertEqual(self.listed(), dead[::-1])


class RetryTests(DeadLetterTests):
    """``POST /api/tasks/:id/retry``."""

    def test_new_series(self) -> None:
        """It is in the queue as if it were new, but for its age and its generation."""
        task_id = self.submit(max_attempts=2, backoff={"initial_s": 0})
        for _ in range(2):
            self.agent.say("task_failed", task_id=task_id, error="boom")
        self.assert_task(task_id, status="dead_letter", attempts=2, generation=2)
        self.agent.say("drain")
        self.retry(task_id)
        self.assert_task(task_id, status="queued", attempts=0, generation=2, series=2, requeues=0)
        payload = self.last_payload(task_id, "task_requeued")
        self.assertEqual(payload, {"reason": "retried", "by": "admin", "series": 2})
        other = self.hub.agent("b")
        (frame,) = other.of("task_assign")
        self.assert_fields(frame, task_id=task_id, generation=3, attempt=1)
        self.assertEqual(self.listed(), [])

    def test_all_attempts_anew(self) -> None:
        """The new series has as many attempts as the first; then it is a dead letter again."""
        task_id = self.submit(max_attempts=2, backoff={"initial_s": 0})
        for series in (1, 2, 3):
            for attempt in (1, 2):
                self.assert_task(task_id, status="assigned", attempts=attempt, series=series)
                self.agent.say("task_failed", task_id=task_id, error="boom")
            self.assertEqual(self.listed(), [task_id])
            self.retry(task_id)
        self.agent.say("task_complete", task_id=task_id, result="at last")
        self.assert_task(task_id, status="completed", result="at last", attempts=1, series=4)

    def test_by_whom(self) -> None:
        """The log says who retried it."""
        task_id = self.die(self.agent)
        path = f"/api/tasks/{task_id}/retry"
        answer = self.hub.request("POST", path, token=self.hub.token("ana"))
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.last_payload(task_id, "task_requeued")["by"], "ana")

    def test_of_a_push(self) -> None:
        """An order that is retried goes to its own agent, and has one attempt again."""
        task_id = self.hub.push("a")
        self.agent.say("task_failed", task_id=task_id)
        other = self.hub.agent("b")
        self.retry(task_id)
        self.assertEqual(self.assigned(other), [])
        self.assertEqual(self.assigned(self.agent), [task_id, task_id])
        self.agent.say("task_failed", task_id=task_id)
        self.assert_task(task_id, status="dead_letter", attempts=1, series=2)

    def test_not_dead(self) -> None:
        """Anything else cannot be retried, and says what it is."""
        completed, running = self.submit(), self.submit()
        self.agent.say("task_complete", task_id=completed)
        cancelled = self.submit()
        self.cancel(cancelled)
        waiting = self.submit(capabilities=["gpu"])
        for task_id, status in (
            (completed, "completed"),
            (running, "assigned"),
            (cancelled, "cancelled"),
            (waiting, "queued"),
        ):
            body = self.post(f"/api/tasks/{task_id}/retry", expected=409)
            expected = {"error": "invalid_state", "task_id": task_id, "status": status}
            self.assertEqual(body, expected)
        self.post("/api/tasks/task-0/retry", expected=404)

    def test_restarts_in_between(self) -> None:
        """It is the same with a restart before the retry, after it, and after the next attempt."""
        task_id = self.die(self.agent, max_attempts=1)
        self.restart()
        self.retry(task_id)
        self.restart()
        self.assert_task(task_id, status="queued", series=2, attempts=0, generation=1)
        agent = self.hub.agent("a")
        self.hub.advance(2)
        self.assertEqual(self.assigned(agent), [task_id])
        agent.say("task_failed", task_id=task_id, error="again")
        self.restart()
        self.assert_task(task_id, status="dead_letter", series=2, last_error="again")
        self.retry(task_id)
        self.assert_task(task_id, series=3)

    def test_late_reports(self) -> None:
        """What the agent repeats of the dead attempt gets the same answer, and changes nothing."""
        task_id = self.die(self.agent, max_attempts=1)
        self.agent.say("drain")
        self.retry(task_id)
        events = self.hub.events_of(task_id)
        answers = self.agent.say("task_failed", task_id=task_id, generation=1, error="broken")
        self.assert_answer(answers, "task_ack", status="failed", outcome="dead_letter")
        answers = self.agent.say("state_report", task_id=task_id, generation=1)
        self.assert_answer(answers, "state_report_ack", action="abort")
        answers = self.agent.say("task_recovering", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_reassign")
        self.assertEqual(self.hub.events_of(task_id), events)
        self.assert_task(task_id, status="queued", series=2)

    def test_superseded_reports(self) -> None:
        """Once the new series has begun, the dead attempt's reports are fenced out."""
        task_id = self.die(self.agent)
        self.retry(task_id)
        self.assert_task(task_id, status="assigned", generation=2)
        for type in ("task_accepted", "task_complete"):
            answers = self.agent.say(type, task_id=task_id, generation=1)
            self.assert_error(answers, "stale_generation", task_id=task_id)
        answers = self.agent.say("task_complete", task_id=task_id, generation=2)
        self.assert_answer(answers, "task_ack", status="complete")

    def test_twice_before_the_disk(self) -> None:
        """Of two retries that meet one is taken, and the task has one new series."""
        disk = SlowDisk()
        self.hub = MemoryHub(store=disk.store, clock=disk.clock)
        self.agent = self.hub.agent("a")
        task_id = self.die(self.agent)
        disk.hold()
        path = f"/api/tasks/{task_id}/retry"
        clients = [self.hub.open_request("POST", path) for _ in range(2)]
        self.hub.settle()
        self.assertEqual([c.received for c in clients], [b"", b""])
        disk.release()
        self.hub.settle()
        self.assertEqual([Answered(c.received).status for c in clients], [200, 409])
        self.assert_task(task_id, series=2)

    def test_before_its_death_is_on_disk(self) -> None:
        """A retry that overtakes the disk waits for the death that it is to undo."""
        disk = SlowDisk()
        self.hub = MemoryHub(store=disk.store, clock=disk.clock)
        self.agent = self.hub.agent("a")
        task_id = self.submit(max_attempts=1)
        disk.hold()
        # It has the disk, and what is said next is not even begun to be written.
        self.hub.open_request("POST", "/api/tasks", {"description": "other"})
        self.agent.say("task_failed", task_id=task_id)
        client = self.hub.open_request("POST", f"/api/tasks/{task_id}/retry")
        self.assertEqual(client.received, b"")
        disk.release()
        self.hub.settle()
        self.assertEqual(Answered(client.received).status, 200)
        self.assert_task(task_id, series=2)

    def test_stopping(self) -> None:
        """A hub that stops retries nothing."""
        task_id = self.die(self.agent)
        self.hub.hub.drain()
        body = self.post(f"/api/tasks/{task_id}/retry", expected=503)
        self.assertEqual(body["error"], "stopping")


class ManyTests(DeadLetterTests):
    """``POST /api/tasks/dead-letter/retry`` and ``…/delete``."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.hub.agent("b")

    def test_named(self) -> None:
        """Those that are named are retried; what is no dead letter is counted as skipped."""
        dead = self.many(4)
        waiting = self.submit(capabilities=["gpu"])
        named = {"task_ids": [*dead[:2], dead[0], waiting, "task-0"]}
        answer = self.post(DEAD_LETTERS + "/retry", named)
        self.assertEqual(answer, {"retried": 2, "skipped": 2})
        self.assertEqual(self.listed(), dead[:1:-1])

    def test_filtered(self) -> None:
        """Those that the filters choose are retried, by all of them at once."""
        dead = self.many(6)
        theirs = self.die(self.other, "e0")
        answer = self.post(DEAD_LETTERS + "/retry", {"last_error": "e0", "agent_id": "a"})
        self.assertEqual(answer, {"retried": 3, "skipped": 0})
        self.assertEqual(self.listed(), [theirs, *dead[5:0:-2]])
        answer = self.post(DEAD_LETTERS + "/retry", {"priority": "low"})
        self.assertEqual(answer, {"retried": 0, "skipped": 0})
        answer = self.post(DEAD_LETTERS + "/retry", {"submitted_by": "admin"})
        self.assertEqual(answer, {"retried": 4, "skipped": 0})

    def test_all(self) -> None:
        """All of them, however many, are retried once, although some die again meanwhile."""
        dead = self.many(130)
        dying = _Dying(self.agent)
        answer = self.post(DEAD_LETTERS + "/retry", {"all": True})
        self.assertEqual(answer, {"retried": 130, "skipped": 0})
        self.assertEqual(sorted(dying.failed), sorted(dead))
        for task_id in dead[::20]:
            self.assert_task(task_id, status="dead_letter", series=2)

    def test_none_chosen(self) -> None:
        """Choosing nothing is not taken for choosing all."""
        self.many(1)
        for body in ({}, {"all": False}, {"all": None, "agent_id": None}):
            for what in ("retry", "delete"):
                told = self.post(f"{DEAD_LETTERS}/{what}", body, 422)
                self.assertEqual(told["errors"][0]["field"], "all")
        self.assertEqual(len(self.listed()), 1)

    def test_delete_all(self) -> None:
        """All of them, however many, are deleted, and nothing else."""
        dead = self.many(120)
        running = self.submit()
        answer = self.post(DEAD_LETTERS + "/delete", {"all": True})
        self.assertEqual(answer, {"deleted": 120, "skipped": 0})
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.hub.request("GET", f"/api/tasks/{dead[7]}").status, 404)
        self.assert_task(running, status="assigned")

    def test_delete_some(self) -> None:
        """Those that are named, or that the filters choose, are deleted."""
        dead = self.many(4)
        answer = self.post(DEAD_LETTERS + "/delete", {"task_ids": [dead[0], "task-0"]})
        self.assertEqual(answer, {"deleted": 1, "skipped": 1})
        answer = self.post(DEAD_LETTERS + "/delete", {"last_error": "e1"})
        self.assertEqual(answer, {"deleted": 2, "skipped": 0})
        self.assertEqual(self.listed(), [dead[2]])


class DeleteTests(DeadLetterTests):
    """``DELETE /api/tasks/:id``."""

    def test_gone(self) -> None:
        """It is gone, after a restart too; the log keeps what happened and says who did it."""
        task_id = self.die(self.agent)
        before = history(self.hub, task_id)
        answer = self.delete(task_id)
        self.assertEqual((answer.status, answer.body["status"]), (200, "deleted"))
        for _ in range(2):
            for path in ("", "/events", "/explain"):
                gone = self.hub.request("GET", f"/api/tasks/{task_id}{path}")
                self.assertEqual((gone.status, gone.body["error"]), (404, "task_not_found"))
            self.assertEqual(self.listed(), [])
            log = Watcher(self.hub, "after=0&topics=tasks").events
            logged = [event for event in log if event["task_id"] == task_id]
            self.assertEqual(logged[:-1], before)
            self.assert_fields(logged[-1], event="task_deleted", payload={"by": "admin"})
            self.restart()

    def test_not_dead(self) -> None:
        """Anything else cannot be deleted, and says what it is."""
        running = self.submit()
        body = self.delete(running)
        self.assertEqual((body.status, body.body["status"]), (409, "assigned"))
        self.agent.say("task_complete", task_id=running)
        body = self.delete(running)
        self.assertEqual((body.status, body.body["status"]), (409, "completed"))
        self.assertEqual(self.delete("task-0").status, 404)

    def test_late_reports(self) -> None:
        """A report on a deleted task is acknowledged like one on any unknown task."""
        task_id = self.die(self.agent)
        self.delete(task_id)
        answers = self.agent.say("task_complete", task_id=task_id, generation=1)
        self.assert_answer(answers, "task_ack", status="complete")
        answers = self.agent.say("task_recovering", task_id=task_id)
        self.assert_answer(answers, "task_reassign")
        self.assertEqual(self.hub.request("GET", f"/api/tasks/{task_id}").status, 404)

    def test_key_is_free(self) -> None:
        """Its idempotency key may be used for a new task."""
        task_id = self.die(self.agent, idempotency_key="k")
        self.delete(task_id)
        self.assertNotEqual(self.submit(idempotency_key="k", description="other"), task_id)

    def test_scope(self) -> None:
        """It takes the scope ``admin``: what is deleted cannot be retried."""
        task_id = self.die(self.agent)
        answer = self.hub.request("DELETE", f"/api/tasks/{task_id}", token=self.hub.token("ana"))
        self.assertEqual((answer.status, answer.body["required_scope"]), (403, "admin"))
        self.assertEqual(self.listed(), [task_id])


class _Dying:
    """An agent that fails every task from now on, as soon as it has it."""

    def __init__(self, agent: FakeAgent) -> None:
        self.failed: list[str] = []
        heard = agent.onMessage

        def on_message(payload: bytes, isBinary: bool) -> None:
            heard(payload, isBinary)
            frame = agent.frames[-1]
            if frame["type"] == "task_assign":
                self.failed.append(frame["task_id"])
                told = b'{"type":"task_failed","task_id":"%s"}' % frame["task_id"].encode()
                agent.sendFrame(opcode=1, payload=told)

        agent.onMessage = on_message  # type: ignore[method-assign]
