"""A real hub that is offered more than it can take."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections import Counter
from pathlib import Path

from tests.integration.processes import HubProcess, ProcessTestCase, until

LINES = 200
TASKS = 100
ENOUGH = 100
"""Refusals that are waited for."""

LIMIT_S = 30.0
BACK_S = 5.0
MOST_MIB = 300.0
"""Memory of the hub then; it is half of that."""


class Line:
    """A connection over which the same request goes again and again."""

    def __init__(self, port: int, request: bytes) -> None:
        self._request = request
        self._heard = b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(request)

    def ready(self) -> tuple[int, dict[str, str]] | None:
        """Read; status and headers of the answer, once it is whole, and the request again."""
        data = self.socket.recv(65_536)
        if not data:
            raise AssertionError("the hub has closed a line")
        self._heard += data
        head, end, body = self._heard.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (ln.partition(": ") for ln in lines)}
        if not end or len(body) < int(headers["content-length"]):
            return None
        self._heard = b""
        self.socket.sendall(self._request)
        return int(status.split()[1]), headers


class OverloadTests(ProcessTestCase):
    """More batches of tasks than the hub has time for, over lines that never wait."""

    def flood(self, hub: HubProcess) -> Counter[int]:
        """Until enough was refused, and some taken; how often there was which status."""
        body = json.dumps({"tasks": [{"description": "x", "capabilities": ["none"]}] * TASKS})
        head = (
            f"POST /api/tasks/batch HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "
            f"{hub.admin_token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        found: Counter[int] = Counter()
        end = time.monotonic() + LIMIT_S
        with selectors.DefaultSelector() as selector:
            for _ in range(LINES):
                line = Line(hub.port, (head + body).encode())
                self.addCleanup(line.socket.close)
                selector.register(line.socket, selectors.EVENT_READ, line)
            # What is taken is answered after much that is refused.
            while (found[503] < ENOUGH or not found[201]) and time.monotonic() < end:
                for key, _ in selector.select(0.1):
                    answer = key.data.ready()
                    if answer is not None:
                        found[answer[0]] += 1
                        if answer[0] == 503:
                            self.assertGreaterEqual(int(answer[1]["retry-after"]), 1)
            self.work_goes_on(hub)
            for key in list(selector.get_map().values()):
                key.data.socket.close()
        return found

    def work_goes_on(self, hub: HubProcess) -> None:
        """An agent that holds work reports its end, and it is heard."""
        self.worker.say("task_complete", task_id=self.task_id, generation=1, result={"ok": 1})
        self.worker.next("task_ack", status="complete")
        with hub.http(None) as http:
            self.assertEqual(http.request("GET", "/health").status, 200)

    def test_flood(self) -> None:
        """Too much work is refused with 503 and Retry-After, work that is held goes on, memory
        stays bounded, and seconds later everything is taken again."""
        hub = self.hub()
        self.worker = self.agent(hub, "worker")
        http = self.http(hub)
        self.task_id = http.push("worker")
        self.worker.next("task_assign")
        self.worker.say("task_accepted", task_id=self.task_id, generation=1)
        self.worker.next("task_ack", status="accepted")

        found = self.flood(hub)

        self.assertEqual(set(found), {201, 503}, found)
        self.assertLess(resident_mib(hub.pid), MOST_MIB)
        until(
            lambda: http.request("POST", "/api/tasks", {"description": "again"}).status == 201,
            "taken again",
            BACK_S,
        )
        self.assertEqual(http.task(self.task_id)["status"], "completed")
        stats = http.ok("GET", "/api/tasks/stats")
        # Of each batch all is there or nothing; those that nobody waited for may be there.
        queued = stats["by_status"]["queued"]
        self.assertGreaterEqual(queued, found[201] * TASKS)
        self.assertEqual(queued % TASKS, 0)
        self.assert_clean_log(hub)


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM now; 0 where that cannot be known."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
