"""Lone pushes over a connection of their own: how a hub is when nobody else asks for much."""

from __future__ import annotations

import asyncio
from time import perf_counter

from agentcom.bench.loads.callers import is_whole
from agentcom.bench.loads.tally import MARK
from agentcom.bench.measure import percentile

LEAST_S = 5.0
"""Seconds of pushes that are looked at together, at the least."""


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


def usual(took: list[tuple[float, float]], share: float) -> float:
    """The p99 (or median) of all pushes, in seconds."""
    return percentile(sorted(s for _, s in took), share)


def back_s(took: list[tuple[float, float]], share: float, limit_s: float) -> float | None:
    """Seconds from which on the p99 (or median) of all pushes is within a limit.

    From then to the end it must be so, over five seconds at the least: fewer pushes have no p99
    but their maximum.
    """
    for number, (at, _) in enumerate(took):
        if at > took[-1][0] - LEAST_S:
            return None
        if usual(took[number:], share) <= limit_s:
            return at
    return None
