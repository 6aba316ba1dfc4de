"""The load generator's parts: what they send, and what they make of what comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.bench.loads.callers import ClosedLoop, batch_request, is_whole, push_request
from agentcom.bench.loads.crowd import split
from agentcom.bench.loads.lone import back_s
from agentcom.bench.loads.sockets import Agent, Peer, Submitter, client_frame
from agentcom.bench.loads.tally import MARK, Tally
from agentcom.bench.stacks.constant import server_frame

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class TallyTests(SynchronousTestCase):
    def test_window(self) -> None:
        """A latency belongs to the window in which its submission was sent."""
        tally = Tally()
        before = tally.number(1)
        tally.window(True)
        within = tally.number(1)
        tally.window(False)
        for number in (before, within, tally.number(1)):
            tally.keep(tally.answer_s, number)
        self.assertEqual(len(tally.answer_s), 1)

    def test_room(self) -> None:
        """No more tasks are open than were asked for, and none is sent unless it runs."""
        tally = Tally(most_open=3)
        self.assertFalse(tally.room(1))
        tally.running = True
        tally.number(2)
        self.assertEqual((tally.room(1), tally.room(2)), (True, False))
        tally.lifecycles = 1
        self.assertTrue(tally.room(2))


class RequestTests(SynchronousTestCase):
    def test_number(self) -> None:
        """A number put into a request changes neither its length nor its JSON."""
        template = push_request("bench-1", "secret")
        self.assertEqual(template.count(MARK), 1)
        head, _, body = template.replace(MARK, b"%010d" % 7).partition(b"\r\n\r\n")
        self.assertIn(b"Content-Length: %d" % len(body), head)
        self.assertTrue(json.loads(body)["description"].endswith(": 0000000007"))

    def test_needs(self) -> None:
        """Tasks for somebody's hub need what only the benchmark's agents have."""
        _, _, body = batch_request("secret", 2, capabilities=["bench-x"]).partition(b"\r\n\r\n")
        self.assertEqual([t["capabilities"] for t in json.loads(body)["tasks"]], [["bench-x"]] * 2)

    def test_whole(self) -> None:
        """An answer is whole when its last byte is there, chunked or not."""
        self.assertTrue(is_whole(ANSWER))
        self.assertFalse(is_whole(ANSWER[:-1]))
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        self.assertTrue(is_whole(chunked))
        self.assertFalse(is_whole(chunked[:-7]))

    def test_closed_loop(self) -> None:
        """Every connection posts again once it was answered."""

        class Line:
            busy = False
            sent = 0

            def post(self, template: bytes, number: int) -> None:
                self.sent += 1

        tally, line = Tally(), Line()
        loop = ClosedLoop(tally, [b"x"], 1)
        free: Callable[[Any], None] = loop.free
        free(line)
        self.assertEqual(line.sent, 0)
        tally.running = True
        loop.pump()
        loop.pump()
        self.assertEqual(line.sent, 1)
        free(line)
        self.assertEqual((line.sent, tally.asked), (2, 2))


class PeerTests(SynchronousTestCase):
    def talk(self, make: Callable[[Tally], Peer], *said: bytes) -> tuple[Tally, Peer, list[Any]]:
        """What a peer has answered to what a server says; bytes come in two halves."""

        class Line(asyncio.Transport):
            def __init__(self) -> None:
                super().__init__()
                self.written = b""

            def write(self, data: Any) -> None:
                self.written += data

        async def go() -> tuple[Tally, Peer, list[Any]]:
            tally, line = Tally(), Line()
            tally.running = True
            peer = make(tally)
            peer.connection_made(line)
            line.written = b""
            data = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + b"".join(map(server_frame, said))
            peer.data_received(data[: len(data) // 2])
            peer.data_received(data[len(data) // 2 :])
            frames, answers = line.written, []
            while frames:
                size, start = frames[1] & 0x7F, 6
                if size == 126:
                    size, start = int.from_bytes(frames[2:4], "big"), 8
                answers.append(json.loads(frames[start : start + size]))
                frames = frames[start + size :]
            if not peer.identified.done():
                peer.identified.cancel()
            elif not peer.identified.cancelled():
                peer.identified.exception()
            return tally, peer, answers

        return asyncio.run(go())

    def test_lifecycle(self) -> None:
        """An agent accepts what it is given, completes what was accepted, and counts the end."""
        task = b'{"type":"task_assign","task_id":"t","generation":3,"description":"x 0000000000"}'
        tally, _, said = self.talk(
            lambda tally: Agent(tally, "bench-0", "secret", capabilities=["c"]),
            b'{"type":"identified"}',
            task,
            b'{"type":"task_ack","task_id":"t","status":"accepted"}',
            b'{"type":"task_ack","task_id":"t","status":"complete"}',
        )
        identify, accepted, complete = said
        self.assertEqual(identify["capabilities"], ["c"])
        self.assertEqual((accepted["type"], accepted["generation"]), ("task_accepted", 3))
        self.assertEqual((complete["type"], complete["generation"]), ("task_complete", 3))
        self.assertEqual((tally.assigned, tally.lifecycles, tally.errors), (1, 1, 0))

    def test_refused(self) -> None:
        """A frame that says error is one, and who was not let in knows it."""
        tally, peer, _ = self.talk(
            lambda tally: Agent(tally, "bench-0", "secret"), b'{"type":"error","error":"no"}'
        )
        self.assertEqual(tally.errors, 1)
        self.assertIsInstance(peer.identified.exception(), ConnectionError)

    def test_submitter(self) -> None:
        """A submitter has no more than its window unanswered."""
        tally, peer, said = self.talk(
            lambda tally: Submitter(tally, "bench-0", "secret", 2, ["c"]),
            b'{"type":"identified"}',
            b'{"type":"task_submitted","ref":0,"task_id":"t"}',
        )
        submitted = [frame for frame in said if frame["type"] == "task_submit"]
        self.assertEqual([frame["ref"] for frame in submitted], [0, 1, 2])
        self.assertEqual({tuple(frame["capabilities"]) for frame in submitted}, {("c",)})
        self.assertEqual((tally.answered, peer.busy), (1, 2))  # type: ignore[attr-defined]  # a Submitter


class FrameTests(SynchronousTestCase):
    def test_split(self) -> None:
        """Whole frames are taken, short, medium and long; the rest waits."""
        long = b"x" * 70_000
        data = b"\x81\x02ok" + b"\x89\x00" + b"\x81\x7f" + len(long).to_bytes(8, "big") + long
        frames, rest = split(data + b"\x81\x05par")
        self.assertEqual(frames, [(1, b"ok"), (9, b""), (1, long)])
        self.assertEqual(rest, b"\x81\x05par")

    def test_client_frame(self) -> None:
        """A frame is masked, as a client's must be, with a key that changes nothing."""
        self.assertEqual(client_frame(b"ok"), b"\x81\x82\0\0\0\0ok")
        self.assertEqual(client_frame(b"x" * 126)[:4], b"\x81\xfe\x00\x7e")


class LoneTests(SynchronousTestCase):
    def test_back(self) -> None:
        """All is as before from the moment on after which one push of a hundred is slow at most."""
        took = [(second / 10, 0.5 if second < 20 else 0.001) for second in range(120)]
        self.assertEqual(back_s(took, 0.99, 0.002), 1.9)
        self.assertIsNone(back_s([(second / 10, 0.5) for second in range(120)], 0.99, 0.002))
