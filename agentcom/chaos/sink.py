"""The fenced sink: a place to write to that refuses superseded attempts.

It does what the other end of every side effect should do with the fencing
token: remember the highest generation of each task, refuse any lower one.
Commands speak to it in lines of JSON (``command.py`` has the other side)::

    {"task_id": "task-…", "generation": 2, "agent_id": "a", "step": "begin", "run": 17}
    {"counted": true}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from agentcom.chaos.history import Effect


class Words(msgspec.Struct, frozen=True):
    """What a command says."""

    task_id: str
    generation: int
    agent_id: str
    step: str
    run: int


_DECODER = msgspec.json.Decoder(Words)


class Fence:
    """The highest generation of each task that was seen."""

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}

    def passes(self, task_id: str, generation: int) -> bool:
        """Whether no later attempt has been here before."""
        if generation < self._highest.get(task_id, 0):
            return False
        self._highest[task_id] = generation
        return True


class Mouth(LineOnlyReceiver):
    """One command's connection."""

    delimiter = b"\n"
    MAX_LENGTH = 4096
    transport: Any

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def connectionMade(self) -> None:
        self._sink.mouths.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._sink.mouths.discard(self)

    def lineReceived(self, line: bytes) -> None:
        try:
            words = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.transport.loseConnection()
            return
        counted = self._sink.weigh(words)
        self.transport.write(msgspec.json.encode({"counted": counted}) + b"\n")

    def lineLengthExceeded(self, line: bytes) -> None:
        self.transport.loseConnection()


class Sink(Factory):
    """Takes side effects, or refuses them; all of them are recorded.

    :param record: told of each, in the order in which they come.
    :ivar mouths: the connections of commands that run.
    """

    noisy = False

    def __init__(self, record: Callable[[Effect], None]) -> None:
        self._record = record
        self._fence = Fence()
        self.mouths: set[Mouth] = set()

    def buildProtocol(self, addr: IAddress | None) -> Mouth:
        return Mouth(self)

    def weigh(self, words: Words) -> bool:
        """Take a side effect, or refuse it."""
        counted = self._fence.passes(words.task_id, words.generation)
        self._record(
            Effect(
                task_id=words.task_id,
                generation=words.generation,
                agent_id=words.agent_id,
                step=words.step,
                run=words.run,
                counted=counted,
            )
        )
        return counted

    def close(self) -> None:
        """End all connections: commands that still run end with them."""
        for mouth in list(self.mouths):
            mouth.transport.abortConnection()
