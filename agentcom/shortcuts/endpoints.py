"""From a plain request to its Klein endpoint, without the way through resources.

For each request Klein binds a new mapper, adapts the request, and joins the
path out of parts that Twisted has cut it into; a path without variables needs
one look into a dictionary.  Endpoints, error handlers, and what they are given
are Klein's.  It would be needless if ``KleinResource.render`` kept its mapper
and looked at static rules first.

Not there: ``IKleinRequest(request)``, and renderables or resources as results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    # At run time it would install a reactor.
    from klein import Klein

log = Logger()

Found = tuple[str, Mapping[str, Any]]


class Unsuitable(Exception):
    """An endpoint gave something that only Klein's own way can show."""


class Endpoints:
    """The endpoints of a Klein app.

    :param below: the path under which the app is served, such as ``/api``.
    """

    def __init__(self, app: Klein, below: str = "") -> None:
        self._app = app
        self._below = below
        self._begins = below.encode()
        self._mapper = app.url_map.bind("localhost")
        self._static: dict[tuple[bytes, bytes], Found] = {
            (method.encode(), (below + rule.rule).encode()): (rule.endpoint, {})
            for rule in app.url_map.iter_rules()
            if not rule.arguments
            for method in rule.methods or ()
        }

    def serves(self, path: bytes) -> bool:
        """Whether a path is the app's, and plain enough to be looked up here."""
        return path.startswith(self._begins) and b"%" not in path

    def serve(self, request: Any) -> None:
        """Run the endpoint of a request; its answer is written, now or later.

        One that gives ``NOT_DONE_YET`` calls the request's ``answer`` by itself.
        """
        try:
            result = self._run(request)
        except Exception:
            self._failed(request, Failure(), 0)
            return
        self._answer(request, result)

    def _run(self, request: Any) -> Any:
        found = self._static.get((request.method, request.path))
        if found is None:
            path = request.path.decode("ascii").removeprefix(self._below)
            found = self._mapper.match(path, request.method.decode("ascii"))
        endpoint, args = found
        return self._app.execute_endpoint(endpoint, request, **args)

    def _answer(self, request: Any, result: Any, handlers: int = 0) -> None:
        if isinstance(result, Deferred):
            request.waits_for = result
            result.addBoth(self._ended, request, handlers)
        elif isinstance(result, bytes):
            request.answer(result)
        elif result != NOT_DONE_YET:
            told = f"an endpoint gave a {type(result).__name__} and no bytes"
            self._failed(request, Failure(Unsuitable(told)), handlers)

    def _ended(self, result: Any, request: Any, handlers: int) -> None:
        """What it waited for is there."""
        try:
            if isinstance(result, Failure):
                self._failed(request, result, handlers)
            else:
                self._answer(request, result, handlers)
        except Exception:
            log.failure("while writing an answer")

    def _failed(self, request: Any, failure: Failure, first: int) -> None:
        """Ask the app's error handlers, from the ``first`` on, as Klein does."""
        if request.is_over():
            if not failure.check(CancelledError):
                log.failure("while serving a request whose client has left", failure)
            return
        handlers: Any = self._app._error_handlers
        for number in range(first, len(handlers)):
            kinds, handler = handlers[number]
            if failure.check(*kinds):
                try:
                    result = self._app.execute_error_handler(handler, request, failure)
                except Exception:
                    failure = Failure()
                    continue
                self._answer(request, result, number + 1)
                return
        if failure.check(HTTPException) is None:
            log.failure("while serving a request", failure)
        code = getattr(failure.value, "code", None) or 500
        request.setResponseCode(code)
        request.setHeader(b"content-length", b"0")
        request.answer(b"")
