"""Who shows bad tokens too often: one bucket for each address.

A token cannot be guessed, so this keeps no secret; it keeps a client that
tries, or that goes on with a token which was revoked, from filling logs and
taking time from others.  Good tokens are looked up first and pay nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from agentcom.core import bucket
from agentcom.hub.counts import Counts

AT_ONCE = 20
"""Bad tokens that may come at once from an address."""

EVERY_S = 3.0
"""Seconds after which one more may come."""

REMEMBERED = 10_000
"""Addresses; the one that was heard of least lately is forgotten."""

NETWORK_BITS = 64
"""Of an IPv6 address: whoever has one has all of such a network."""

UNKNOWN = "unknown"
"""The address of a peer that has none; it is never refused."""


class Failures:
    """Counts bad tokens by address.

    :param seconds: a steady clock.
    """

    def __init__(self, seconds: Callable[[], float], counts: Counts) -> None:
        self._seconds = seconds
        self._counts = counts
        self._dry_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._dry_at)

    def failed(self, address: str, kind: str) -> int | None:
        """A bad token came.

        :param kind: ``http``, ``websocket`` or ``session``; how it was counted.
        :returns: ``None``, or, where it was one too many, milliseconds until one
            more may come.
        """
        self._counts.auth_failures[kind] += 1
        if address == UNKNOWN:
            return None
        name = group_of(address)
        wait_ms = self._wait_ms(name)
        if wait_ms is None:
            self._dry_at[name] = self._with_one_more(name)
            if len(self._dry_at) > REMEMBERED:
                self._dry_at.popitem(last=False)
        else:
            self._counts.auth_throttled += 1
        self._dry_at.move_to_end(name)
        return wait_ms

    def wait_ms(self, address: str) -> int | None:
        """Milliseconds until a bad token of an address counts again; ``None`` for now."""
        return self._wait_ms(group_of(address))

    def _wait_ms(self, name: str) -> int | None:
        return bucket.wait_ms(self._with_one_more(name), self._seconds(), AT_ONCE * EVERY_S)

    def _with_one_more(self, name: str) -> float:
        return bucket.with_one_more(self._dry_at.get(name), self._seconds(), EVERY_S)


def group_of(address: str) -> str:
    """What addresses share a bucket: an IPv6 network, or the address alone."""
    if ":" not in address:
        return address
    try:
        return str(ip_network((int(ip_address(address)), NETWORK_BITS), strict=False))
    except ValueError:
        return address
