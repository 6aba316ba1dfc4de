"""The disk fails while the hub runs: nothing is acknowledged that is not on it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.integration.clients import Agent, Http, Reply
from tests.integration.faults import FAULTY
from tests.integration.processes import HubProcess, ProcessTestCase, environment, until

SILENCE_S = 1.0
"""Seconds in which an answer that may not come would have come."""


def push_body(agent_id: str, size: int = 1) -> dict[str, str]:
    """A task for an agent."""
    return {"agent_id": agent_id, "description": "x" * size}


class FailingStoreTestCase(ProcessTestCase):
    """What both kinds of failure share."""

    def not_ready(self, http: Http) -> Reply:
        """Wait until the hub says that it is not ready."""
        found: list[Reply] = []

        def says() -> bool:
            found.append(http.request("GET", "/ready"))
            return found[-1].status == 503

        until(says, "not ready")
        return found[-1]

    def refused(self, http: Http, agent_id: str) -> None:
        """New work is refused, with the reason."""
        reply = http.request("POST", "/api/admin/push-task", push_body(agent_id))
        self.assertEqual((reply.status, reply.body["error"]), (503, "store_unavailable"))
        self.assertGreater(int(reply.headers["retry-after"]), 0)

    def silent(self, agent: Agent) -> None:
        """Nothing is acknowledged to an agent whose line works."""
        before = len(agent.frames)
        end = time.monotonic() + SILENCE_S
        while time.monotonic() < end:
            try:
                agent.receive(max(0.0, end - time.monotonic()))
            except TimeoutError:
                break
        told = [f for f in agent.frames[before:] if f["type"] in ("task_ack", "error")]
        self.assertEqual(told, [])
        agent.say("ping")
        agent.next("pong")


class FailingCommitTests(FailingStoreTestCase):
    """Every COMMIT fails while a flag is up."""

    def setUp(self) -> None:
        super().setUp()
        self.flag = self.work / "fail"

    def faulty(self, **faults: str) -> HubProcess:
        """A hub whose commits fail while the flag is up."""
        env = environment(self.work, FAULT_FLAG=str(self.flag), **faults)
        return self.hub(command=FAULTY, env=env)

    def test_answers_wait_and_then_come(self) -> None:
        """While commits fail nothing is acknowledged; when they work again all of it is, once."""
        hub = self.faulty()
        agent, http, waiting = self.agent(hub, "worker"), self.http(hub), self.http(hub)
        ids = [http.push("worker") for _ in range(5)]
        for task_id in ids:
            agent.next("task_assign", task_id=task_id)
        self.flag.touch()
        waiting.send("POST", "/api/admin/push-task", push_body("worker"))
        for task_id in ids[:3]:
            agent.say("task_accepted", task_id=task_id, generation=1)
            agent.say("task_complete", task_id=task_id, generation=1, result="done")
        agent.say("task_failed", task_id=ids[3], generation=1, error="no", retryable=False)
        self.silent(agent)
        self.assertEqual(self.not_ready(http).body["status"], "not_ready")
        self.assertEqual(http.request("GET", "/health").status, 200)
        self.refused(http, "worker")
        # Reports are still taken, and reads still answered from the disk.
        agent.say("task_complete", task_id=ids[4], generation=1, result="late")
        self.silent(agent)
        self.assertEqual(http.task(ids[0])["status"], "assigned")
        self.flag.unlink()
        for task_id in ids[:3]:
            agent.next("task_ack", task_id=task_id, status="accepted")
            agent.next("task_ack", task_id=task_id, status="complete")
        agent.next("task_ack", task_id=ids[3], status="failed", outcome="dead_letter")
        agent.next("task_ack", task_id=ids[4], status="complete")
        late = waiting.answer()
        self.assertEqual(late.status, 200)
        agent.next("task_assign", task_id=late.body["task_id"])
        until(lambda: http.request("GET", "/ready").status == 200, "ready again")
        for task_id in ids:
            events = http.events_of(task_id)
            self.assertEqual(len(events), len(set(events)), events)
        hub.kill()
        tasks = self.http(self.hub()).all_tasks()
        self.assertEqual(
            [tasks[i]["status"] for i in [*ids, late.body["task_id"]]],
            ["completed"] * 3 + ["dead_letter", "completed", "assigned"],
        )
        self.assert_clean_log(hub)

    def test_a_store_that_stays_broken_ends_the_hub(self) -> None:
        """After its limit the hub ends with an exit code, and a restart has all that was acked."""
        hub = self.faulty(FAULT_GIVE_UP_S="2")
        agent, http = self.agent(hub, "worker"), self.http(hub)
        ids = [http.push("worker") for _ in range(3)]
        agent.say("task_complete", task_id=ids[0], result="safe")
        agent.next("task_ack", status="complete")
        self.flag.touch()
        agent.say("task_complete", task_id=ids[1], result="never acknowledged")
        began = time.monotonic()
        self.assertNotEqual(hub.wait(), 0)
        self.assertGreater(time.monotonic() - began, 1.5)
        self.assertEqual([f for f in agent.frames if f.get("task_id") == ids[1]][1:], [])
        self.flag.unlink()
        again = self.hub()
        tasks = self.http(again).all_tasks()
        self.assertEqual([tasks[i]["status"] for i in ids], ["completed", "assigned", "assigned"])
        back = self.agent(again, "worker", tasks=[{"task_id": ids[1], "generation": 1}])
        back.say("task_complete", task_id=ids[1], generation=1, result="again")
        back.next("task_ack", status="complete")

    def test_the_limit_is_a_minute(self) -> None:
        """The hub tries for 60 s before it gives up."""
        from agentcom.store import commit

        self.assertEqual(commit.GIVE_UP_AFTER_S, 60.0)


class FullDiskTests(FailingStoreTestCase):
    """A real file system without a free block."""

    def mounted(self) -> Path | None:
        """A file system of two megabytes; ``None`` where none can be had."""
        disk = self.work / "disk"
        disk.mkdir()
        if os.getuid() != 0:
            print("not tried: only root can mount a small file system")
            return None
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
        )
        if done.returncode:
            print(f"not tried: {done.stderr!r}")
            return None
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)], check=True)
        return disk

    def test_a_full_disk(self) -> None:
        """On a full disk nothing is acknowledged; with room again everything is."""
        disk = self.mounted()
        if disk is None:
            return
        data_dir = disk / "data"
        hub = self.hub("--min-free", "0", data_dir=data_dir)
        agent, http = self.agent(hub, "worker"), self.http(hub)
        ids = [http.push("worker") for _ in range(20)]
        for task_id in ids:
            agent.next("task_assign", task_id=task_id)
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        # The write-ahead log may have room left from before.
        for task_id in ids:
            agent.say("task_complete", task_id=task_id, generation=1, result="y" * 20_000)
        self.not_ready(http)
        self.refused(http, "worker")
        self.silent(agent)
        acked = {f["task_id"] for f in agent.frames if f["type"] == "task_ack"}
        self.assertLess(len(acked), len(ids))
        ballast.unlink()
        for task_id in set(ids) - acked:
            agent.next("task_ack", task_id=task_id, status="complete")
        until(lambda: http.request("GET", "/ready").status == 200, "ready again")
        self.assertEqual({t["status"] for t in http.all_tasks().values()}, {"completed"})
        self.assert_clean_log(hub)

    def test_a_disk_that_is_nearly_full(self) -> None:
        """Under --min-free no new work is taken, and reports still are."""
        hub = self.hub()
        token = hub.token("worker")
        task_id = self.http(hub).push(self.agent(hub, "worker", token).agent_id)
        self.assertEqual(hub.stop(), 0)
        full = self.hub("--min-free", "1000000GiB")
        agent = self.agent(full, "worker", token, tasks=[{"task_id": task_id, "generation": 1}])
        http = self.http(full)
        self.not_ready(http)
        self.refused(http, "worker")
        agent.say("task_accepted", task_id=task_id)
        agent.next("task_ack", status="accepted")
        agent.say("task_complete", task_id=task_id, result=1)
        agent.next("task_ack", status="complete")
        self.assertEqual(http.task(task_id)["status"], "completed")
