"""A floor: bare Klein routes that answer constants, with the hub's `Site` settings.

    python -m agentcom.bench.stacks.floor PORT      (0 takes a free port; it says which)

It stores nothing, checks nothing and knows no agents, so it says what one POST costs on this
machine before AgentCom does anything. Stop it with SIGTERM.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from klein import Klein
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from agentcom.bench.stacks.answers import POSTS
from agentcom.bench.stacks.stack import QuietSite, serve


def site() -> QuietSite:
    """The routes at the addresses where the hub has them, so that the same load fits."""
    app = Klein()
    for path, (code, answer) in POSTS.items():
        app.route(path, methods=["POST"])(_route(code, answer))
    root = Resource()
    root.putChild(b"api", app.resource())
    return QuietSite(root)


def _route(code: int, answer: Callable[[bytes], bytes]) -> Callable[[IRequest], bytes]:
    def post(request: IRequest) -> bytes:
        told = answer(request.content.read())
        request.setResponseCode(code)
        request.setHeader(b"content-type", b"application/json")
        return told

    # Klein names an endpoint after its function.
    post.__name__ = answer.__name__
    return post


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve bare Klein routes on loopback.")
    parser.add_argument("port", type=int, help="0 for a free one")
    options = parser.parse_args()
    from twisted.internet import reactor

    serve(reactor, site(), options.port)


if __name__ == "__main__":
    main()
