"""What the spine does to messages: write each down, then pass it on and say so.

As the hub it stores a message before anybody has it or hears of it. It keeps no mailboxes, counts
no rates and waits for no slow reader.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import count
from typing import Any

import msgspec

from agentcom.bench.stacks.batch import Batches, Change

encode = msgspec.json.Encoder().encode


class Message(msgspec.Struct, tag="message"):
    """The frame that a receiver gets, with the fields that the hub sends."""

    id: str
    seq: int
    from_: str = msgspec.field(name="from")
    message_type: str
    payload: msgspec.Raw
    timestamp: int


class Sent(msgspec.Struct, tag="message_sent"):
    """The answer to the sender, after the commit."""

    id: str


class Messages:
    """Every message goes through here.

    :param connections: Autobahn's protocols, by agent id.
    """

    def __init__(self, batches: Batches, connections: Mapping[str, Any]) -> None:
        self._batches = batches
        self._connections = connections
        self._numbers = count(1)

    def send(self, sender: Any, to: str | None, payload: msgspec.Raw) -> None:
        """Store a message; once it is on disk it goes to one agent, or to all."""
        number, now = next(self._numbers), time.time_ns() // 1_000_000
        message_id = f"{number:016x}"
        frame = encode(Message(message_id, number, sender.agent_id, "chat", payload, now))

        def committed() -> None:
            if to is not None:
                self._connections[to].sendMessage(frame)
            else:
                prepared = sender.factory.prepareMessage(frame)
                for connection in self._connections.values():
                    connection.sendPreparedMessage(prepared)
            sender.sendMessage(encode(Sent(message_id)))

        row = (number, message_id, sender.agent_id, to, bytes(payload).decode(), now)
        self._batches.add(Change((), None, (), committed, (row,)))
