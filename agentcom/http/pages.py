"""The pages of ``/`` and ``/dashboard``: static files of the package."""

from __future__ import annotations

from importlib.resources import files

from agentcom.errors import NotFound
from agentcom.http.route import Call, Page, Route

_TYPES = {".html": b"text/html; charset=utf-8", ".css": b"text/css", ".js": b"text/javascript"}

_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


class PageRoutes:
    """Serves the files that are in the package, and no others."""

    def __init__(self) -> None:
        self._pages = {
            entry.name: Page(200, entry.read_bytes(), _type(entry.name), _HEADERS)
            for entry in (files("agentcom.http") / "dashboard").iterdir()
            if entry.is_file() and _type(entry.name)
        }

    def routes(self) -> list[Route]:
        """What is served; the pages themselves need no token, their data may."""
        paths = (("/", "home"), ("/dashboard", "dashboard"), ("/dashboard/<name>", "page"))
        return [
            Route(method="GET", path=path, name=name, scope=None, handler=self.page)
            for path, name in paths
        ]

    def page(self, call: Call) -> Page:
        """One file; the overview by default."""
        found = self._pages.get(call.args.get("name", "index.html"))
        if found is None:
            raise NotFound
        return found


def _type(name: str) -> bytes:
    return _TYPES.get("." + name.rpartition(".")[2], b"")
