"""Serves the API's document, to programs and to people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.resources import files

import msgspec

from agentcom.http.openapi import document
from agentcom.http.pages import POLICY
from agentcom.http.reference import page
from agentcom.http.route import JSON, Call, Page, Route
from agentcom.wire.codec import encode

_HEADERS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


def documented(routes: Iterable[Route]) -> list[Route]:
    """These routes, with those of the document of them all."""
    everything = list(routes)
    everything += DocumentRoutes(everything).routes()
    return everything


class DocumentRoutes:
    """``/openapi.json``, and ``/docs/api`` for people.

    :param described: the routes that the document has; those of this class may be
        among them, for they are looked at when the document is first asked for.
    """

    def __init__(self, described: Sequence[Route]) -> None:
        self._described = described
        self._style = (files("agentcom.http") / "reference.css").read_bytes()

    def routes(self) -> list[Route]:
        """What is served; anybody may read it."""
        served = (
            ("/openapi.json", "openapi", "application/json", self.openapi),
            ("/docs/api", "reference", "text/html", self.reference),
            ("/docs/reference.css", "reference_style", "text/css", self.style),
        )
        return [
            Route(
                method="GET",
                path=path,
                name=name,
                scope=None,
                answers={200: kind},
                handler=handler,
            )
            for path, name, kind, handler in served
        ]

    def openapi(self, call: Call) -> Page:
        """This API, as an OpenAPI 3.1 document."""
        return Page(200, self._document, JSON, _HEADERS)

    def reference(self, call: Call) -> Page:
        """This API, as a page for people."""
        return Page(200, self._page, b"text/html; charset=utf-8", _HEADERS)

    def style(self, call: Call) -> Page:
        """The style of that page."""
        return Page(200, self._style, b"text/css; charset=utf-8", _HEADERS)

    @cached_property
    def _document(self) -> bytes:
        # Kept as bytes: each pass of the garbage collector would look at all its parts.
        return encode(document(self._described))

    @cached_property
    def _page(self) -> bytes:
        return page(msgspec.json.decode(self._document))
