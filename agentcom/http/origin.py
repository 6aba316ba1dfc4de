"""Which pages may call from a browser: the hub's own, and those that are allowed.

A browser says in ``Origin`` whose page it is that calls.  Programs say
nothing and pass.  The hub sends no CORS headers, so that pages of others could
not read its answers anyway; this keeps them from causing anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address

from twisted.web.server import Request

from agentcom.errors import OriginNotAllowed
from agentcom.http.addresses import Addresses
from agentcom.http.route import Route

MOST_ORIGIN = 512
"""Bytes of an origin that is looked at."""

REGISTER = "register"
"""The route that gives a token, perhaps to anybody."""

GUARDED = ("/api/", "/admin/")
"""What is for others than the public: the rest tells nothing and does nothing."""

_ORIGIN = re.compile(rb"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?\Z")
_HOST = re.compile(rb"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?\Z")
_PORTS = {b"http": b"80", b"https": b"443"}


def allowed(origin: bytes, host: bytes, secure: bool, others: Collection[str]) -> bool:
    """Whether a page of this origin may call.

    :param host: what the request calls the hub, name and perhaps port.
    :param secure: the browser's line is known to be TLS.
    :param others: further origins that may, in lower case.
    """
    if len(origin) > MOST_ORIGIN:
        return False
    origin = origin.strip().lower()
    if origin.decode("latin-1") in others:
        return True
    page, own = _ORIGIN.match(origin), _HOST.match(host.strip().lower())
    if page is None or own is None:
        return False
    scheme, name, port = page.groups()
    # On a plain line a proxy in front may speak TLS: its https page is the hub's own.
    if secure and scheme == b"http":
        return False
    usual = _PORTS[scheme]
    return (name, int(port or usual)) == (own[1], int(own[2] or usual))


def is_cross_site(request: Request) -> bool:
    """Whether a browser says that a page of another site made it ask."""
    return (request.getHeader(b"sec-fetch-site") or b"").strip().lower() == b"cross-site"


def _is_no_name(host: bytes) -> bool:
    """Whether a host is an address, or always this machine."""
    if host == b"localhost":
        return True
    try:
        ip_address(host.strip(b"[]").decode("latin-1"))
    except ValueError:
        return False
    return True


class Origins:
    """Refuses what pages of others ask for.

    :param addresses: how the hub is called from outside.
    :param others: origins beside the hub's own, in lower case.
    """

    def __init__(self, addresses: Addresses, others: Collection[str]) -> None:
        self._addresses = addresses
        self._others = frozenset(others)
        if addresses.public_url is not None:
            self._others |= {addresses.public_url}

    def guard(self, request: Request, route: Route) -> None:
        """Check what comes to the API.

        :raises OriginNotAllowed: a page of another origin calls.
        """
        if request.requestHeaders.hasHeader(b"origin") and route.path.startswith(GUARDED):
            self.check(request)
            if route.scope is None and route.name == REGISTER:
                self._check_host(request)

    def check(self, request: Request) -> None:
        """Check any request; one without an origin passes.

        :raises OriginNotAllowed: a page of another origin calls.
        """
        found = request.requestHeaders.getRawHeaders(b"origin")
        if found and not (len(found) == 1 and self._allows(found[0], request)):
            raise OriginNotAllowed(
                "pages of this origin may not call the hub: start it with --allow-origin, or "
                "with --public-url if this is its own address"
            )

    def _check_host(self, request: Request) -> None:
        """Check that the page's own name is the hub's.

        Anybody can have a name lead to this machine, so that the hub is called by the name of
        a page's own site.  Where a token is needed that is no matter.
        """
        origin = (request.getHeader(b"origin") or b"").strip().lower()
        page = _ORIGIN.match(origin)
        if origin.decode("latin-1") in self._others or (page and _is_no_name(page[2])):
            return
        raise OriginNotAllowed(
            "pages may register agents only where the hub knows its name: start it with "
            "--public-url, or with --allow-origin"
        )

    def _allows(self, origin: bytes, request: Request) -> bool:
        host: bytes = request.getHeader(b"host") or b""
        return allowed(origin, host, self._addresses.is_secure(request), self._others)
