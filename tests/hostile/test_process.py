"""The same against a real process, with real sockets and real time."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import threading
import time

from tests.hostile.feeds import NASTY_VALUES
from tests.hostile.test_bytes import BAD_FRAMES, REQUEST_PIECES
from tests.hostile.world import CLOSE_CODES
from tests.integration.clients import Http
from tests.integration.processes import HubProcess, ProcessTestCase, until
from tests.integration.rawsocket import RawSocket, frame

FRAME_FIELDS = {
    "identify": ["agent_id", "token", "tasks", "labels", "slots"],
    "message": ["to", "payload", "message_type"],
    "status": ["status"],
    "task_complete": ["task_id", "generation", "result", "tokens_used"],
    "task_progress": ["task_id", "progress", "output", "cost"],
    "state_report": ["task_id", "generation", "status"],
}


class ProcessTests(ProcessTestCase):
    """A hub with a well-behaved agent, which is asked after every attack."""

    def setUp(self) -> None:
        super().setUp()
        self.process = self.hub()
        self.good = self.agent(self.process, "good", presence="none")
        self.api = self.http(self.process)
        self.random = random.Random(20)

    def raw(self, receive_buffer: int | None = None) -> RawSocket:
        """A line of its own, which the test closes."""
        raw = RawSocket(self.process.port, receive_buffer)
        self.addCleanup(raw.close)
        return raw

    def assert_well(self, seconds: float = 5.0) -> None:
        """The hub answers, and the good agent gets its task and ends it, in little time."""
        began = time.monotonic()
        self.assertEqual(self.api.request("GET", "/health").status, 200)
        task_id = self.api.push("good")
        self.good.next("task_assign", task_id=task_id)
        self.good.say("task_complete", task_id=task_id, result=1)
        self.good.next("task_ack", task_id=task_id, status="complete")
        self.assertLess(time.monotonic() - began, seconds)
        self.assert_clean_log(self.process)

    def test_nasty_values_in_frames(self) -> None:
        """Every nasty value in every field is answered, or the line closed with a code."""
        token = self.process.token("hostile")
        for kind, fields in FRAME_FIELDS.items():
            for start in range(0, len(NASTY_VALUES), 9):
                raw = self.raw().open()
                hello = {"type": "identify", "agent_id": "hostile", "token": token}
                raw.send(frame(json.dumps({**hello, "presence": "none"}).encode()))
                raw.text()
                for value in NASTY_VALUES[start : start + 9]:
                    name = self.random.choice(fields).encode()
                    raw.send(frame(b'{"type":"%s","%s":%s}' % (kind.encode(), name, value)))
                raw.send(frame(b'{"type":"ping"}'))
                while raw.frames.close_code is None:
                    try:
                        if b'"pong"' in raw.text():
                            break
                    except AssertionError:
                        break
                if raw.frames.close_code is not None:
                    self.assertIn(raw.frames.close_code, CLOSE_CODES)
                raw.close()
            self.assert_well()

    def test_broken_frames(self) -> None:
        """Every broken frame ends in a close code, and ten megabytes in 1009."""
        lines = []
        for data in [*BAD_FRAMES, frame(b"x" * 10 * 2**20), frame(b"x", length=10 * 2**20)]:
            raw = self.raw().open()
            raw.send(data)
            lines.append((data, raw))
        self.assert_well()
        for data, raw in lines:
            self.assertIn(raw.close_code(20), CLOSE_CODES, data[:60])
        self.assert_well()

    def test_bytes_that_are_no_http(self) -> None:
        """Random bytes and torn requests never hurt anybody else."""
        lines = []
        for number in range(150):
            raw = self.raw()
            if number % 2:
                raw.send(self.random.randbytes(self.random.randrange(2_000)))
            else:
                raw.send(b"".join(self.random.choices(REQUEST_PIECES, k=8)))
            lines.append(raw)
        self.assert_well()
        for raw in lines:
            raw.close()
        self.assert_well()

    def test_ten_megabytes_of_body(self) -> None:
        """A body of ten megabytes is refused with 413, which arrives."""
        reply = self.api.request("POST", "/api/admin/push-task", b"x" * 10 * 2**20)
        self.assertEqual((reply.status, reply.body["error"]), (413, "body_too_large"))
        self.api.close()
        self.assert_well()

    def test_requests_that_come_slowly(self) -> None:
        """Many requests that come a byte at a time do not slow down the others."""
        head = b"POST /api/message HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        lines = [self.raw() for _ in range(100)]
        for byte in head[:30]:
            for raw in lines:
                raw.send(bytes([byte]))
        self.assert_well()
        half_open = [self.raw() for _ in range(50)]
        for raw in half_open:
            raw.send(head)
            raw.socket.shutdown(socket.SHUT_WR)
        self.assert_well()
        for raw in half_open:
            raw.read_all()

    def test_lines_that_say_nothing(self) -> None:
        """Hundreds of handshakes without a word leave room for others, and end with 4008."""
        lines = [self.raw().open() for _ in range(300)]
        self.assert_well()
        for raw in lines:
            self.assertEqual(raw.close_code(20), 4008)
        until(lambda: sockets_of(self.process) < 50, "closed sockets")
        self.assert_well()

    def test_streams_that_are_never_read(self) -> None:
        """Event streams that nobody reads hold up nobody, and take little memory."""
        token = self.process.admin_token.encode()
        for _ in range(20):
            raw = self.raw(receive_buffer=4_096)
            raw.send(
                b"GET /api/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
                % token
            )
        before = memory_of(self.process)
        for _ in range(100):
            self.api.push("good", metadata={"x": "x" * 100_000})
        self.assert_well()
        # The ring of newest events may hold some of it, once.
        self.assertLess(memory_of(self.process) - before, 150 * 2**20)

    def test_questions_whose_answers_are_never_read(self) -> None:
        """Who asks for large answers and reads none is closed with 1013 and served no further."""
        large = {"capabilities": ["c" * 250] * 60, "presence": "none"}
        for number in range(20):
            self.agent(self.process, f"large-{number}", **large)
        token = self.process.token("asking")
        raw = self.raw(receive_buffer=4_096).open()
        hello = {"type": "identify", "agent_id": "asking", "token": token, "presence": "none"}
        raw.send(frame(json.dumps(hello).encode()))
        raw.text()
        raw.socket.settimeout(2)
        with contextlib.suppress(TimeoutError):
            raw.send(frame(b'{"type":"list_agents"}') * 20_000)
        self.assert_well(2.0)
        self.assertIn(raw.close_code(20), (1013, None))

    def test_frames_of_brackets(self) -> None:
        """Strangers whose frames are dear to look at do not hold up others for long."""
        lines = [self.raw().open() for _ in range(3)]
        dear = frame(b'{"type":"identify","x":[' + b"{}," * 20_000 + b"{}]}")
        for raw in lines:
            raw.send(dear * 8)
        self.assert_well(1.0)

    def test_many_at_once(self) -> None:
        """Attacks from many sides at once leave the hub well."""
        stop = threading.Event()

        def attack(seed: int) -> None:
            generator = random.Random(seed)
            while not stop.is_set():
                try:
                    raw = RawSocket(self.process.port)
                    if generator.random() < 0.7:
                        raw.open()
                        for _ in range(5):
                            value = generator.choice(NASTY_VALUES)
                            raw.send(frame(b'{"type":"identify","agent_id":%s}' % value))
                    else:
                        raw.send(b"".join(generator.choices(REQUEST_PIECES, k=5)))
                    raw.close()
                except (OSError, AssertionError):
                    continue

        threads = [threading.Thread(target=attack, args=(n,), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                self.assert_well()
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)
        self.assert_well()
        with Http(self.process.url, None) as http:
            self.assertEqual(http.ok("GET", "/health")["agents_connected"], 1)


def memory_of(hub: HubProcess) -> int:
    """Bytes of memory that the hub's process has now."""
    with open(f"/proc/{hub.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def sockets_of(hub: HubProcess) -> int:
    """How many files and sockets the hub has open."""
    return len(os.listdir(f"/proc/{hub.pid}/fd"))
