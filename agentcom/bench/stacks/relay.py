"""A bare Autobahn server that relays messages: what a fan-out costs before AgentCom does anything.

    python -m agentcom.bench.stacks.relay PORT

It keeps its agents in a dict, sends a `message` to one of them or, with Autobahn's prepared
messages, to all, and answers `message_sent`. It checks no tokens, counts no rates, waits for no
slow reader and stores nothing. Frames look like the hub's. Stop it with SIGTERM.
"""

from __future__ import annotations

import argparse
import json
from itertools import count
from time import time_ns
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol

from agentcom.bench.stacks.stack import like_the_hub, serve


def encode(frame: dict[str, Any]) -> bytes:
    """JSON as the hub writes it, without spaces."""
    return json.dumps(frame, separators=(",", ":")).encode()


class Relay(WebSocketServerProtocol):
    """One connection."""

    agent_id = ""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        frame = json.loads(payload)
        if frame["type"] == "identify":
            self.agent_id = frame["agent_id"]
            self.factory.agents[self.agent_id] = self
            self._say({"type": "identified", "agent_id": self.agent_id})
        elif frame["type"] == "message":
            self._pass_on(frame)

    def _pass_on(self, frame: dict[str, Any]) -> None:
        number, agents = next(self.factory.numbers), self.factory.agents
        message = {
            "type": "message",
            "id": f"{number:016x}",
            "seq": number,
            "from": self.agent_id,
            "message_type": "chat",
            "payload": frame["payload"],
            "timestamp": time_ns() // 1_000_000,
        }
        to = frame.get("to")
        if to is not None:
            agents[to]._say(message)
        else:
            prepared = self.factory.prepareMessage(encode(message))
            for agent in agents.values():
                agent.sendPreparedMessage(prepared)
        self._say({"type": "message_sent", "id": message["id"]})

    def _say(self, frame: dict[str, Any]) -> None:
        self.sendMessage(encode(frame))  # type: ignore[no-untyped-call]  # Autobahn


class RelayFactory(WebSocketServerFactory):
    """Autobahn's factory with the map of those who are there."""

    protocol = Relay

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Autobahn
        self.agents: dict[str, Relay] = {}
        self.numbers = count(1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Relay messages on loopback.")
    parser.add_argument("port", type=int, help="0 for a free one")
    options = parser.parse_args()
    from twisted.internet import reactor

    factory = RelayFactory()
    factory.noisy = False
    like_the_hub(factory)
    serve(reactor, factory, options.port)


if __name__ == "__main__":
    main()
