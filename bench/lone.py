"""Lone pushes over a connection of their own: how a hub is when nobody else asks for much."""

from __future__ import annotations

import asyncio
from time import perf_counter

from callers import is_whole
from measure import percentile
from tally import MARK

LONE_WINDOW_S = 2.0


class Lone(asyncio.Protocol):
    """A connection that pushes when it is told."""

    def __init__(self, template: bytes) -> None:
        self._template = template
        self._buffer = b""
        self._number = 0
        self._answer: asyncio.Future[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if is_whole(self._buffer) and not self._answer.done():
            self._answer.set_result(self._buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_result(b"")

    async def push(self) -> tuple[bool, float]:
        """Push once; whether it was taken, and seconds until the answer."""
        self._number += 1
        self._buffer = b""
        self._answer = asyncio.get_running_loop().create_future()
        began = perf_counter()
        self._transport.write(self._template.replace(MARK, b"%010d" % self._number))
        answer = await self._answer
        return answer.startswith(b"HTTP/1.1 20"), perf_counter() - began

    def close(self) -> None:
        self._transport.close()


def worst(took: list[tuple[float, float]], share: float) -> float:
    """The largest p99 (or median) of the pushes of two seconds: what is usual here and now."""
    windows = range(int(took[-1][0] - LONE_WINDOW_S) + 1)
    return max(percentile(sorted(window(took, float(at))), share) for at in windows)


def window(took: list[tuple[float, float]], at: float) -> list[float]:
    return [s for when, s in took if at <= when < at + LONE_WINDOW_S]


def back_s(took: list[tuple[float, float]], share: float, limit_s: float) -> float | None:
    """Seconds until the p99 (or median) of the pushes of two seconds stays within a limit."""
    back = None
    for at, _ in took:
        if at > took[-1][0] - LONE_WINDOW_S:
            break
        if percentile(sorted(window(took, at)), share) > limit_s:
            back = None
        elif back is None:
            back = at
    return back
