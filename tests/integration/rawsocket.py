"""WebSocket by hand: for peers that no library would let us be."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import struct
import time

LIMIT_S = 10.0

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(
    payload: bytes,
    opcode: int = TEXT,
    *,
    final: bool = True,
    masked: bool = True,
    reserved: int = 0,
    length: int | None = None,
) -> bytes:
    """A frame, right or wrong.

    :param reserved: the three bits that must be 0.
    :param length: what the header says, where that is not true.
    """
    size = len(payload) if length is None else length
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 2**16:
        head += bytes([mask_bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + payload
    # A mask of zeros is a mask.
    return head + b"\0\0\0\0" + payload


def handshake(port: int) -> bytes:
    """A good opening handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Frames:
    """Takes frames out of what a hub sent.

    :ivar texts: payloads of text frames.
    :ivar close_code: of the close frame, once it came; 1005 for one without.
    """

    def __init__(self) -> None:
        self._data = b""
        self.texts: list[bytes] = []
        self.close_code: int | None = None

    def feed(self, data: bytes) -> None:
        """Take in what was received."""
        self._data += data
        while (found := self._one()) is not None:
            opcode, payload = found
            if opcode == TEXT:
                self.texts.append(payload)
            elif opcode == CLOSE and self.close_code is None:
                self.close_code = struct.unpack(">H", payload[:2])[0] if payload else 1005

    def _one(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + size:
            return None
        self._data = data[start + size :]
        return data[0] & 0x0F, data[start : start + size]


class RawSocket:
    """A line to the hub on which every byte is the test's own."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.port = port
        self.socket = socket.socket()
        if receive_buffer is not None:
            # Before the connection is made, or it does not count.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(("127.0.0.1", port))
        self.frames = Frames()

    def close(self) -> None:
        """Close the line."""
        self.socket.close()

    def open(self) -> RawSocket:
        """Shake hands."""
        self.socket.sendall(handshake(self.port))
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError(f"no handshake: {answer!r}")
            answer += data
        head, _, rest = answer.partition(b"\r\n\r\n")
        if b" 101 " not in head:
            raise AssertionError(f"no handshake: {head!r}")
        self.frames.feed(rest)
        return self

    def send(self, data: bytes) -> None:
        """Send bytes; a hub that closed already is no error."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def read_all(self, seconds: float = LIMIT_S) -> bytes:
        """Everything until the hub ends the line."""
        end = time.monotonic() + seconds
        received = b""
        while True:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                return received
            except TimeoutError:
                raise AssertionError(f"still open after {seconds:g} s: {received!r}") from None
            if not data:
                return received
            received += data

    def close_code(self, seconds: float = LIMIT_S) -> int | None:
        """Read to the end of the line; the code of the close frame, if one came."""
        end = time.monotonic() + seconds
        while self.frames.close_code is None:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                break
            except TimeoutError:
                raise AssertionError(f"still open after {seconds:g} s") from None
            if not data:
                break
            self.frames.feed(data)
        return self.frames.close_code

    def text(self, seconds: float = LIMIT_S) -> bytes:
        """The next text frame."""
        self.socket.settimeout(seconds)
        while not self.frames.texts:
            data = self.socket.recv(1 << 20)
            if not data:
                raise AssertionError(f"closed: {self.frames.close_code}")
            self.frames.feed(data)
        return self.frames.texts.pop(0)
