"""The lowest floor: one bare Klein route that answers a constant, with the hub's `Site` settings.

    python bench/floor.py PORT      (0 takes a free port; the ready line tells which)

It stores nothing, checks nothing and knows no agents, so it says what one POST costs on this
machine before AgentCom does anything. Stop it with SIGTERM.
"""

from __future__ import annotations

import argparse

import msgspec
from klein import Klein
from stack import QuietSite, serve
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

TASK_ID = "task-0123456789abcdef"


class Push(msgspec.Struct):
    """The only field of the body that the answer repeats."""

    agent_id: str


def site() -> QuietSite:
    """Build the route at the address where the hub has it, so that the same load fits."""
    app = Klein()
    decoder = msgspec.json.Decoder(Push)

    @app.route("/admin/push-task", methods=["POST"])
    def push(request: IRequest) -> bytes:
        body = decoder.decode(request.content.read())
        request.setHeader(b"content-type", b"application/json")
        return msgspec.json.encode(
            {"status": "pushed", "task_id": TASK_ID, "agent_id": body.agent_id}
        )

    root = Resource()
    root.putChild(b"api", app.resource())
    return QuietSite(root)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve one bare Klein route on loopback.")
    parser.add_argument("port", type=int, help="0 for a free one")
    options = parser.parse_args()
    from twisted.internet import reactor

    serve(reactor, site(), options.port)


if __name__ == "__main__":
    main()
