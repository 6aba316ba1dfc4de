"""What Autobahn logs with.

It tells at ``info`` and ``warn`` what peers do wrong, in their own words.
Anybody can be a peer, so that such lines would have no end, and could have
anything in them.
"""

from __future__ import annotations

from twisted.logger import Logger


class Quiet:
    """Keeps what is a fault of the hub, and drops the rest."""

    def __init__(self) -> None:
        log = Logger(namespace="autobahn")
        self.error = log.error
        self.critical = log.critical
        self.failure = log.failure

    def warn(self, format: str, **fields: object) -> None:
        """Nothing; so all below."""

    info = debug = trace = warn
