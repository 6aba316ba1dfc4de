"""Where a request comes from, and what the hub is called from outside.

A reverse proxy says for whom it asks, in ``X-Forwarded-For``, and whether
that line was TLS, in ``X-Forwarded-Proto``.  Anybody can write such headers,
so only those of trusted proxies are believed; of a list of addresses the
rightmost one that is no trusted proxy counts, for what is left of it was
written by the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from twisted.web.server import Request

from agentcom.config import UNIX

NOBODY = "unknown"
"""The address of a peer that has none, such as a line within a test."""

MOST_FORWARDED = 4_096
"""Bytes at the end of ``X-Forwarded-For`` that are looked at."""

MOST_HOPS = 32
"""Proxies that one request may have come through."""


class Addresses:
    """Finds out who asks.

    :param trusted: networks (``10.0.0.0/8``, ``::1``) and ``unix``, whose
        forwarding headers are believed.
    :param public_url: ``https://name[:port]`` that clients reach the hub by,
        ``None`` where they name it themselves in ``Host``.
    """

    def __init__(self, trusted: Sequence[str] = (), public_url: str | None = None) -> None:
        self.public_url = public_url
        self._unix = UNIX in trusted
        self._networks = [ip_network(text, strict=False) for text in trusted if text != UNIX]
        self._believes = bool(trusted)

    def client_address(self, request: Request) -> str:
        """The address of who asks: an IP address, ``unix`` or ``unknown``; never free text."""
        peer = request.getClientAddress()
        if not self._believes:
            return host_of(peer)
        values = request.requestHeaders.getRawHeaders(b"x-forwarded-for") or ()
        return self.behind(peer, b",".join(values))

    def behind(self, peer: object, forwarded: bytes) -> str:
        """The same of a line that is no request any more.

        :param peer: the other end of the line, as its transport says.
        :param forwarded: all values of ``X-Forwarded-For``, joined by commas.
        """
        last = host_of(peer)
        if not self._trusts(last):
            return last
        hops = forwarded[-MOST_FORWARDED:].split(b",")[-MOST_HOPS:]
        for text in reversed(hops):
            address = _address(text)
            if address is None:
                # Who wrote this is not known, who handed it on is.
                return last
            last = str(address)
            if not self._trusts(last):
                return last
        return last

    def is_secure(self, request: Request) -> bool:
        """Whether the client's own line is TLS, as far as the hub or a trusted proxy sees."""
        if self._believes and self._trusts(host_of(request.getClientAddress())):
            values = request.requestHeaders.getRawHeaders(b"x-forwarded-proto")
            if values:
                # Of several words the last is the one of the proxy next to us.
                return values[-1].rpartition(b",")[2].strip().lower() in (b"https", b"wss")
        return bool(request.isSecure())

    def base_url(self, request: Request) -> str:
        """``http[s]://name[:port]`` by which the client can reach the hub."""
        if self.public_url is not None:
            return self.public_url
        scheme = "https" if self.is_secure(request) else "http"
        return f"{scheme}://{(request.getHeader('host') or 'localhost').strip()}"

    def cookies_secure(self, request: Request) -> bool:
        """Whether a cookie may be marked ``Secure``: browsers would drop it on plain HTTP."""
        if self.public_url is not None:
            return self.public_url.startswith("https:")
        return self.is_secure(request)

    def _trusts(self, host: str) -> bool:
        if host == UNIX:
            return self._unix
        address = _parsed(host)
        return address is not None and any(address in network for network in self._networks)


def host_of(peer: Any) -> str:
    """The address of the other end of a line."""
    host = getattr(peer, "host", None)
    if host is None:
        return UNIX if hasattr(peer, "name") else NOBODY
    address = _parsed(host)
    return NOBODY if address is None else str(address)


def _address(text: bytes) -> IPv4Address | IPv6Address | None:
    """One entry of a list: proxies write ports too, and IPv6 in brackets."""
    entry = text.strip(b' \t"').decode("latin-1")
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    return _parsed(entry)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, without its zone, and IPv4 as such where IPv6 carries it."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
