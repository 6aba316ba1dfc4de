"""The process that writes the database, beside a real hub: it dies, or the hub does."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.integration.clients import Http
from tests.integration.processes import HubProcess, ProcessTestCase

SILENCE_S = 0.5
"""Seconds in which what may not happen would have happened."""


def writer_of(hub: HubProcess) -> int:
    """The number of the process that writes for a hub."""
    children = Path(f"/proc/{hub.pid}/task/{hub.pid}/children").read_text().split()
    (found,) = [int(pid) for pid in children if b"store.writer" in command(int(pid))]
    return found


def command(pid: int) -> bytes:
    """The command line of a process; nothing where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def submit(http: Http) -> str:
    """Queue a task; its id, when it is on disk."""
    return str(http.ok("POST", "/api/tasks", {"description": "work"})["task_id"])


class WriterProcessTests(ProcessTestCase):
    """One hub and its writer."""

    def test_it_is_killed(self) -> None:
        """Without its writer a hub ends, says why, and the next one has all that was answered."""
        hub = self.hub()
        http, waiting = self.http(hub), self.http(hub)
        ids = [submit(http) for _ in range(20)]
        os.kill(writer_of(hub), signal.SIGSTOP)
        waiting.send("POST", "/api/tasks", {"description": "x"})
        http.request("GET", "/health")
        os.kill(writer_of(hub), signal.SIGKILL)
        self.assertEqual(hub.wait(), 1, hub.log())
        self.assertIn("the process that writes the database has ended", hub.log())
        again = self.http(self.hub())
        self.assertEqual([again.task(task_id)["status"] for task_id in ids], ["queued"] * 20)

    def test_the_hub_is_killed(self) -> None:
        """After a crash the next hub begins when the last batch of the one before is written."""
        hub = self.hub()
        http = self.http(hub)
        first = submit(http)
        writer = writer_of(hub)
        os.kill(writer, signal.SIGSTOP)
        http.send("POST", "/api/tasks", {"description": "x" * 1000})
        # The batch is in the pipe before the hub is no more.
        self.http(hub).request("GET", "/health")
        time.sleep(SILENCE_S)
        hub.kill()
        next_one = self.start()
        time.sleep(SILENCE_S)
        self.assertNotIn("is ready", next_one.log())
        os.kill(writer, signal.SIGCONT)
        next_one.ready()
        self.assertEqual(command(writer), b"")
        tasks = self.http(next_one).request("GET", "/api/tasks").body["tasks"]
        self.assertEqual(len(tasks), 2)
        self.assertIn(first, [task["id"] for task in tasks])

    def test_signals(self) -> None:
        """It holds the hub's locks and nothing else, and is not stopped before the hub."""
        hub = self.hub()
        writer = writer_of(hub)
        files = [os.readlink(file) for file in Path(f"/proc/{writer}/fd").iterdir()]
        for lock in ("lock", "agentcom.db.lock"):
            self.assertIn(str(hub.data_dir / lock), files)
        self.assertFalse([file for file in files if file.startswith("socket:")], files)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(writer, number)
            submit(self.http(hub))
        self.assertEqual(writer_of(hub), writer)
        self.assertEqual(hub.stop(), 0, hub.log())
        self.assertEqual(command(writer), b"")
        self.assert_clean_log(hub)
