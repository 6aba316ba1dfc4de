"""The WebSocket side of the load generator: agents that work, and submitters.

Hand-made like `callers.py`, and for the same reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from agentcom.bench.loads.callers import DESCRIPTION
from agentcom.bench.loads.tally import MARK, NUMBER_WIDTH, Tally

# So many that no task waits for an agent: what is measured is the hub and not the queue.
SLOTS = 1000

Write = Callable[[bytes], None]


class HubFrame(msgspec.Struct):
    """The fields of the hub's frames that a peer of the benchmark looks at."""

    type: str
    task_id: str = ""
    generation: int = 0
    status: str = ""
    description: str = ""
    error: str = ""
    ref: int = 0


decode_hub_frame = msgspec.json.Decoder(HubFrame).decode


def client_frame(payload: bytes, opcode: int = 1) -> bytes:
    """Frame a client's message.

    The masking key is zero: the RFC allows every value, and with this one masked and plain payload
    are the same, which makes masking free here while the server unmasks as it does for any key.
    """
    size = len(payload)
    if size < 126:
        return b"%c%c\0\0\0\0%s" % (0x80 | opcode, 0x80 | size, payload)
    return b"%c\xfe%s\0\0\0\0%s" % (0x80 | opcode, size.to_bytes(2, "big"), payload)


class Peer(asyncio.Protocol):
    """A WebSocket client that identifies; what it does with other frames is its subclass's."""

    def __init__(
        self,
        tally: Tally,
        agent_id: str,
        token: str,
        slots: int,
        capabilities: Sequence[str] = (),
    ) -> None:
        self.tally = tally
        self.identified: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        identify = {"type": "identify", "agent_id": agent_id, "token": token, "slots": slots}
        self._identify = client_frame(
            msgspec.json.encode({**identify, "capabilities": capabilities})
        )
        self._open = False
        self._buffer = b""
        self.write: Write

    def frame(self, frame: HubFrame) -> bytes | None:
        """Take a frame from the hub; what is to be answered."""
        raise NotImplementedError

    def taken(self) -> None:
        """All frames that came together have been taken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.write = transport.write
        self.write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        if not self._open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._fail("no WebSocket: " + head.decode(errors="replace"))
                return
            self._open = True
            self.write(self._identify)
        self._frames(data)
        self.taken()

    def _frames(self, data: bytes) -> None:
        at, have = 0, len(data)
        replies = []
        while have - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                start += 2
                size = int.from_bytes(data[at + 2 : start], "big")
            elif size == 127:
                start += 8
                size = int.from_bytes(data[at + 2 : start], "big")
            end = start + size
            if end > have:
                break
            opcode = data[at] & 0x0F
            if opcode == 1:
                reply = self._message(data[start:end])
                if reply is not None:
                    replies.append(client_frame(reply))
            elif opcode == 9:
                replies.append(client_frame(data[start:end], opcode=10))
            elif opcode == 8:
                self._fail(f"closed with {int.from_bytes(data[start : start + 2], 'big')}")
            at = end
        self._buffer = data[at:]
        if replies:
            self.write(b"".join(replies))

    def _message(self, payload: bytes) -> bytes | None:
        frame = decode_hub_frame(payload)
        if frame.type == "identified":
            self.identified.set_result(None)
        elif frame.type == "error":
            self._fail("frame: " + payload.decode(errors="replace"))
        else:
            return self.frame(frame)
        return None

    def _fail(self, why: str) -> None:
        if not self.identified.done():
            self.identified.set_exception(ConnectionError(why))
        if not self.tally.stopping:
            self.tally.error(why)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"WebSocket lost: {exc}")


class Agent(Peer):
    """Accepts what it is assigned and, once that is acknowledged, completes it."""

    def __init__(
        self,
        tally: Tally,
        agent_id: str,
        token: str,
        slots: int = SLOTS,
        capabilities: Sequence[str] = (),
    ) -> None:
        super().__init__(tally, agent_id, token, slots, capabilities)
        self._running: dict[str, tuple[int, int]] = {}
        self._ended = False

    def frame(self, frame: HubFrame) -> bytes | None:
        tally = self.tally
        if frame.type == "task_assign":
            number = int(frame.description[-NUMBER_WIDTH:])
            self._running[frame.task_id] = frame.generation, number
            tally.assigned += 1
            tally.keep(tally.assign_s, number)
            return b'{"type":"task_accepted","task_id":"%s","generation":%d}' % (
                frame.task_id.encode(),
                frame.generation,
            )
        if frame.type != "task_ack":
            return None
        if frame.status == "accepted":
            return b'{"type":"task_complete","task_id":"%s","generation":%d,"result":{"ok":1}}' % (
                frame.task_id.encode(),
                self._running[frame.task_id][0],
            )
        number = self._running.pop(frame.task_id)[1]
        tally.lifecycles += 1
        tally.keep(tally.lifecycle_s, number)
        self._ended = True
        return None

    def taken(self) -> None:
        if self._ended:
            self._ended = False
            self.tally.ended()


class Submitter(Peer):
    """Submits tasks over its socket, a window of them unanswered; it takes no work itself."""

    def __init__(
        self, tally: Tally, agent_id: str, token: str, window: int, needs: Sequence[str] = ()
    ) -> None:
        super().__init__(tally, agent_id, token, slots=0)
        submit: dict[str, object] = {"type": "task_submit", "ref": 0, "description": DESCRIPTION}
        if needs:
            submit["capabilities"] = list(needs)
        before, _, after = msgspec.json.encode(submit).partition(b":0,")
        self._template = b"%s:%%d,%s" % (before, after.replace(MARK, b"%010d"))
        self._window = window
        self._unanswered = 0

    @property
    def busy(self) -> int:
        """How many submissions wait for their answer."""
        return self._unanswered

    def pump(self) -> None:
        """Submit until the window is full."""
        tally = self.tally
        frames = []
        while self._unanswered < self._window and tally.room(1):
            number = tally.number(1)
            self._unanswered += 1
            frames.append(client_frame(self._template % (number, number)))
        if frames:
            self.write(b"".join(frames))

    def frame(self, frame: HubFrame) -> bytes | None:
        if frame.type == "task_submitted":
            tally = self.tally
            self._unanswered -= 1
            tally.answered += 1
            tally.keep(tally.answer_s, frame.ref)
        return None

    def taken(self) -> None:
        self.pump()
