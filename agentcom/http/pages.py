"""The dashboard of ``/`` and ``/dashboard``: files of the package, read once.

A browser may run, show and ask for what comes from this hub and nothing else;
:data:`POLICY` says so to it.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from agentcom.errors import NotFound
from agentcom.http.route import Call, Page, Route

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}

POLICY = b"; ".join(
    (
        b"default-src 'none'",
        b"script-src 'self'",
        b"style-src 'self'",
        b"img-src 'self'",
        b"connect-src 'self'",
        b"base-uri 'none'",
        b"form-action 'none'",
        b"frame-ancestors 'none'",
        # No script of ours makes markup of texts, and none may begin to.
        b"require-trusted-types-for 'script'",
        b"trusted-types 'none'",
    )
)

_HEADERS = (
    (b"content-security-policy", POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)

_HOME = ("", "index.html")


class PageRoutes:
    """Serves the files that are in the package, and no others.

    A file is known by its folder, ``""`` for the outermost one, and its name.
    """

    def __init__(self) -> None:
        root = files("agentcom.http") / "dashboard"
        self._pages = _pages("", root)
        for entry in root.iterdir():
            if entry.is_dir():
                self._pages |= _pages(entry.name, entry)

    def routes(self) -> list[Route]:
        """What is served; the pages themselves need no token, their data does."""
        paths = (
            ("/", "home"),
            ("/dashboard", "dashboard"),
            ("/dashboard/<name>", "page"),
            ("/dashboard/<folder>/<name>", "part"),
        )
        return [
            Route(
                method="GET",
                path=path,
                name=name,
                scope=None,
                answers={200: "*/*" if "<" in path else "text/html", 304: ""},
                handler=self.page,
            )
            for path, name in paths
        ]

    def page(self, call: Call) -> Page:
        """One file; the overview by default, and no body where the browser has it.

        :raises NotFound: there is no such file.
        """
        args = call.args
        page = self._pages.get((args.get("folder", ""), args["name"]) if args else _HOME)
        if page is None:
            raise NotFound
        (_, tag), *_ = page.headers
        if call.request.getHeader(b"if-none-match") == tag:
            return msgspec.structs.replace(page, status=304, body=b"")
        return page


def _pages(folder: str, place: Traversable) -> dict[tuple[str, str], Page]:
    """The files of one folder that a browser may ask for."""
    found = {}
    for entry in place.iterdir():
        kind = _TYPES.get(entry.name.rpartition(".")[2])
        if kind is not None and entry.is_file():
            body = entry.read_bytes()
            tag = (b"etag", b'"%s"' % sha256(body).hexdigest()[:32].encode())
            found[folder, entry.name] = Page(200, body, kind, (tag, *_HEADERS))
    return found
