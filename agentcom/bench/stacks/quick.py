"""The hub's ways around what is slow, for the spine.

With them the spine does its work as the hub does, so the distance that is left between the two is
the hub's own logic. Without them the spine is what Klein, Autobahn and Twisted give.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from klein import Klein
from twisted.web.resource import IResource

from agentcom.bench.stacks.stack import QuietSite
from agentcom.shortcuts.endpoints import Endpoints
from agentcom.shortcuts.requests import Dates, QuickChannel, QuickRequest
from agentcom.ws.shortcuts import PlainFrames, text_frame

RANDOM_BITS = 22


class QuickFrames:
    """The shortcuts through Autobahn, to be mixed into one of its protocols."""

    _plain: PlainFrames | None = None

    def onOpen(self) -> None:
        self._plain = PlainFrames(self)

    def dataReceived(self: Any, data: bytes) -> None:
        rest = data if self._plain is None else self._plain.take(data)
        if rest:
            self._dataReceived(rest)

    def is_spent(self) -> bool:
        """Never: nobody is taken in turns here."""
        return False

    def sendMessage(self: Any, payload: bytes) -> None:
        self.transport.write(text_frame(payload))


def quick_site(root: IResource, app: Klein, below: str, clock: Any) -> QuietSite:
    """A site that takes plain requests whole.

    :param app: whose routes are looked up without the way through resources.
    :param below: the path under which the app is served.
    """
    site = QuietSite(root)
    of_one = {"clock": clock, "dates": Dates(), "endpoints": Endpoints(app, below)}
    channel: Any = type("Channel", (QuickChannel,), of_one)
    vars(site)["protocol"] = channel
    site.requestFactory = QuickRequest
    return site


class OrderedIds:
    """Task ids that grow with time: those that are made together are neighbours in an index.

    As long as others: 42 bits of milliseconds and 22 random ones, and never one twice.
    """

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> str:
        now = time.time_ns() // 1_000_000 << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
        self._last = max(self._last + 1, now)
        return f"task-{self._last:016x}"
