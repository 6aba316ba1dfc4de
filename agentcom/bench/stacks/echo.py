"""A bare Autobahn server: it takes a handshake and answers text frames with constants.

    python -m agentcom.bench.stacks.echo PORT           Autobahn's factory alone on the port
    python -m agentcom.bench.stacks.echo PORT --site    below a Klein site with `GET /health`

It knows no agents and stores nothing, so it says what a connection costs before AgentCom does
anything with it. The constant looks like the hub's `identified`. Stop it with SIGTERM.
"""

from __future__ import annotations

import argparse

import msgspec
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from klein import Klein
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from agentcom.bench.stacks.answers import TASK_ID
from agentcom.bench.stacks.stack import QuietSite, like_the_hub, serve

ANSWERS = {
    "identify": msgspec.json.encode({"type": "identified", "agent_id": "somebody"}),
    "ping": msgspec.json.encode({"type": "pong", "timestamp": 1}),
}
HEALTH = msgspec.json.encode({"status": "ok", "service": "bare", "agents_connected": 0})


class Echo(WebSocketServerProtocol):
    """One connection."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        frame = msgspec.json.decode(payload)
        answer = ANSWERS.get(frame["type"])
        if answer is None:
            told = {"type": "task_submitted", "ref": frame["ref"], "task_id": TASK_ID}
            answer = msgspec.json.encode(told)
        self.sendMessage(answer)  # type: ignore[no-untyped-call]  # Autobahn


def bare() -> WebSocketServerFactory:
    factory = WebSocketServerFactory()
    factory.protocol = Echo
    factory.noisy = False
    like_the_hub(factory)
    return factory


def site(factory: WebSocketServerFactory) -> QuietSite:
    """The same connections, by way of HTTP."""
    app = Klein()

    @app.route("/", strict_slashes=False)
    def health(request: IRequest) -> bytes:
        request.setHeader(b"content-type", b"application/json")
        return HEALTH

    factory.startFactory()
    root = Resource()
    root.putChild(b"health", app.resource())
    root.putChild(b"ws", WebSocketResource(factory))
    return QuietSite(root)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve bare WebSockets on loopback.")
    parser.add_argument("port", type=int, help="0 for a free one")
    parser.add_argument("--site", action="store_true", help="below a Klein site, with /health")
    options = parser.parse_args()
    from twisted.internet import reactor

    factory = bare()
    serve(reactor, site(factory) if options.site else factory, options.port)


if __name__ == "__main__":
    main()
