"""What every server of the benchmark shares: how it listens and how it answers.

The floors are only worth comparing with the hub while they run the same stack with the same
settings. So `spine.py` and `floor.py` take their `Site` and their Autobahn options from here, and
whoever changes the hub's settings changes them in one place.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from twisted.web.server import Site

from agentcom.bench.stacks.turns import tell_turns
from agentcom.shortcuts.writes import quick_writes

if TYPE_CHECKING:
    from autobahn.twisted.websocket import WebSocketServerFactory
    from twisted.internet.interfaces import IProtocolFactory
    from twisted.web.http import Request
    from twisted.web.resource import IResource

READY = "turns: {turns}\nlistening on http://127.0.0.1:{port}"
MAX_FRAME = 1024 * 1024
BACKLOG = 4096
"""Connections that may wait to be accepted: what Linux allows unless it is told otherwise."""


class QuietSite(Site):
    """A `Site` without an access log, and without the email package looking at every POST."""

    def __init__(self, resource: IResource) -> None:
        super().__init__(resource, parsePOSTFormSubmission=False)  # type: ignore[no-untyped-call]  # Twisted

    def log(self, request: Request) -> None:
        """Write nothing: formatting the line would cost as much as a small answer."""


def like_the_hub(factory: WebSocketServerFactory) -> None:
    """Give an Autobahn factory the options that the hub uses (UTF-8 checks on, no compression)."""
    factory.setProtocolOptions(
        maxFramePayloadSize=MAX_FRAME,
        maxMessagePayloadSize=MAX_FRAME,
        failByDrop=False,
        tcpNoDelay=True,
        autoPingInterval=0,
    )


def serve(reactor: Any, site: IProtocolFactory, port: int, quick: bool = False) -> None:
    """Listen on loopback, print the ready line with the real port, and run until SIGTERM.

    A line before it names the port that tells how long turns are.

    :param quick: write as the hub does (`agentcom.shortcuts.writes`).
    """
    # What the imports made lives for ever; frozen, no collection walks it again. Without this a
    # full one stops the server for 20 ms every few seconds, which doubles the p99 of a push (but
    # not the rate).
    gc.collect()
    gc.freeze()
    turns = tell_turns(reactor)
    bound = reactor.listenTCP(port, site, backlog=BACKLOG, interface="127.0.0.1")
    if quick:
        quick_writes(reactor, [bound])
    print(READY.format(turns=turns, port=bound.getHost().port), flush=True)
    reactor.run()
