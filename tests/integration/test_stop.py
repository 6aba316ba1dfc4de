"""Stopping: nothing that was acknowledged is lost, and nobody is left without a word."""

from __future__ import annotations

import os
import signal
import threading
import time

from tests.integration.clients import Agent, Http, server_sent_events
from tests.integration.crowd import END_OF_HUB
from tests.integration.faults import FAULTY
from tests.integration.processes import HubProcess, ProcessTestCase, environment, until

DRAIN_S = 10.0
"""The default of ``--drain-limit``."""


class StopTests(ProcessTestCase):
    """A signal to a hub that is well."""

    def _stops_cleanly(self, number: int) -> None:
        hub = self.hub()
        agents = [self.agent(hub, f"agent-{n}") for n in range(3)]
        task_id = self.http(hub).push("agent-0")
        agents[0].next("task_assign")
        agents[0].say("task_accepted", task_id=task_id)
        agents[0].next("task_ack")
        began = time.monotonic()
        os.kill(hub.pid, number)
        self.assertEqual([agent.close_code() for agent in agents], [1001, 1001, 1001])
        self.assertEqual(hub.wait(DRAIN_S), 0, hub.log())
        self.assertLess(time.monotonic() - began, 5.0, "nothing was left to wait for")
        self.assert_clean_log(hub)
        self.assertEqual(self.http(self.hub()).task(task_id)["status"], "working")

    def test_sigterm(self) -> None:
        """SIGTERM closes agents with 1001 and ends the process with exit code 0."""
        self._stops_cleanly(signal.SIGTERM)

    def test_sigint(self) -> None:
        """SIGINT does what SIGTERM does."""
        self._stops_cleanly(signal.SIGINT)

    def test_agents_that_do_not_answer_hold_nobody_up(self) -> None:
        """A peer that never answers the close frame cannot delay the end past the limit."""
        hub = self.hub("--drain-limit", "3")
        agent = self.agent(hub, "stopped")
        # Its process would have to read: here nobody does.
        agent.connection.socket.settimeout(None)
        stuck = threading.Event()
        agent.connection.recv_events = stuck.wait  # type: ignore[method-assign]
        began = time.monotonic()
        self.assertEqual(hub.stop(), 0, hub.log())
        self.assertLess(time.monotonic() - began, 3.0 + 2.0)

    def test_pushes_in_flight_are_answered(self) -> None:
        """Every push that meets the end of a hub is answered 200, and kept, or 503."""
        hub = self.hub()
        token = hub.token("worker")
        worker = self.agent(hub, "worker", token)
        statuses: list[list[tuple[int, str]]] = [[] for _ in range(6)]
        cut: list[str] = []

        def push(mine: list[tuple[int, str]]) -> None:
            with hub.http() as client:
                while True:
                    body = {"agent_id": "worker", "description": "x"}
                    try:
                        client.send("POST", "/api/admin/push-task", body)
                    except END_OF_HUB:
                        return
                    try:
                        reply = client.answer()
                    except END_OF_HUB as e:
                        # The hub never took the request in: it was written to a line
                        # that the hub was closing.
                        cut.append(repr(e))
                        return
                    mine.append((reply.status, reply.body.get("task_id", "")))
                    if reply.status != 200:
                        return

        threads = [threading.Thread(target=push, args=(mine,)) for mine in statuses]
        for thread in threads:
            thread.start()
        until(lambda: sum(map(len, statuses)) > 100, "pushes")
        self.assertEqual(hub.stop(), 0, hub.log())
        for thread in threads:
            thread.join(20)
        self.assertEqual(worker.close_code(), 1001)
        answers = [answer for mine in statuses for answer in mine]
        self.assertLessEqual({status for status, _ in answers}, {200, 503})
        self.assertEqual(cut, [], "a push that was sent got no answer")
        tasks = self.http(self.hub()).all_tasks()
        self.assertLessEqual({task_id for status, task_id in answers if status == 200}, set(tasks))

    def test_reports_in_flight_are_kept(self) -> None:
        """What was reported before the end, and acknowledged, is there afterwards."""
        hub = self.hub()
        agent = self.agent(hub, "worker", slots=10_000)
        http = self.http(hub)
        ids = [http.push("worker") for _ in range(300)]
        for task_id in ids:
            agent.next("task_assign", task_id=task_id)
        for task_id in ids[:150]:
            agent.say("task_complete", task_id=task_id, result=task_id)
        os.kill(hub.pid, signal.SIGTERM)
        self.assertEqual(agent.close_code(), 1001)
        self.assertEqual(hub.wait(), 0)
        acked = {f["task_id"] for f in agent.frames if f["type"] == "task_ack"}
        tasks = self.http(self.hub()).all_tasks()
        done = {task_id for task_id in ids if tasks[task_id]["status"] == "completed"}
        self.assertLessEqual(acked, done)
        self.assertEqual({tasks[task_id]["result"] for task_id in done}, done)

    def test_event_streams_end(self) -> None:
        """A stream of events does not hold up the end, and ends as HTTP says it should."""
        hub = self.hub()
        client = self.http(hub)
        stream = server_sent_events(client, "/api/events?after=0")
        next(stream)
        os.kill(hub.pid, signal.SIGTERM)
        list(stream)
        self.assertEqual(hub.wait(), 0, hub.log())


class SlowStopTests(ProcessTestCase):
    """A signal to a hub whose store is not ready to be closed."""

    def setUp(self) -> None:
        super().setUp()
        self.flag = self.work / "fail"

    def _faulty(self, *options: str) -> HubProcess:
        env = environment(self.work, FAULT_FLAG=str(self.flag))
        return self.hub(*options, command=FAULTY, env=env)

    def _stopping(self, hub: HubProcess, http: Http, agent: Agent) -> str:
        """Stop the hub with a push that waits for the disk; gives what ``/ready`` says."""
        self.flag.touch()
        http.send("POST", "/api/admin/push-task", {"agent_id": agent.agent_id, "description": "x"})
        agent.say("status", status="waits for the disk as well")
        until(lambda: "a commit failed" in hub.log(), "a failing commit")
        probe = self.http(hub)
        probe.request("GET", "/health")
        os.kill(hub.pid, signal.SIGTERM)
        until(lambda: "stopping" in hub.log(), "stopping")
        ready = probe.request("GET", "/ready")
        self.assertEqual(ready.status, 503)
        refused = probe.request(
            "POST", "/api/admin/push-task", {"agent_id": agent.agent_id, "description": "y"}
        )
        self.assertEqual(refused.status, 503, refused)
        return str(ready.body["reason"])

    def test_a_stop_waits_for_the_disk(self) -> None:
        """While a stop waits for the disk, /ready and new work get 503; then all is answered."""
        hub = self._faulty()
        agent, http = self.agent(hub, "worker"), self.http(hub)
        self.assertIn("stopping", self._stopping(hub, http, agent))
        self.flag.unlink()
        reply = http.answer()
        self.assertEqual(reply.status, 200, reply)
        agent.next("status_updated")
        self.assertEqual(agent.close_code(), 1001)
        self.assertEqual(hub.wait(), 0, hub.log())
        task = self.http(self.hub()).task(reply.body["task_id"])
        self.assertEqual(task["status"], "assigned")

    def test_the_drain_limit_ends_a_stop_that_cannot_end(self) -> None:
        """With a disk that never recovers the hub still ends within the drain limit."""
        hub = self._faulty("--drain-limit", "2")
        agent, http = self.agent(hub, "worker"), self.http(hub)
        began = time.monotonic()
        self._stopping(hub, http, agent)
        self.assertEqual(agent.close_code(), 1001)
        hub.wait()
        self.assertLess(time.monotonic() - began, 2.0 + 3.0)
        self.assertEqual(self.http(self.hub()).all_tasks(), {})

    def test_a_second_signal_ends_at_once(self) -> None:
        """Whoever asks twice does not wait."""
        hub = self._faulty()
        agent, http = self.agent(hub, "worker"), self.http(hub)
        self._stopping(hub, http, agent)
        began = time.monotonic()
        hub.stop(signal.SIGINT, 3)
        self.assertLess(time.monotonic() - began, 5.0, "at once, and slack for a busy machine")
