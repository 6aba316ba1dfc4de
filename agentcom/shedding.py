"""A connection that speaks HTTP, on which plain requests are refused at once.

While the hub has too much to do it may get ten times more requests than it can
serve, and what refusing them costs is taken from those that it serves.
"""

from __future__ import annotations

from typing import Any

from agentcom.http.overload import Overload
from agentcom.httpchannel import Channel


class SheddingChannel(Channel):
    """Asks first, if there is too much to do."""

    overload: Overload
    passed = False

    def dataReceived(self, data: bytes) -> None:
        """What comes between two requests may be answered without looking further."""
        if self.overload.load.shedding and self.is_between():
            answer = self.overload.answer(data)
            # All of a request that is taken is there: it is the next one.
            self.passed = answer == b""
            if answer:
                transport: Any = self.transport
                transport.write(answer)
                self.resetTimeout()  # type: ignore[no-untyped-call]  # untyped in Twisted
                return
        super().dataReceived(data)
