"""One line of the log for each answer of a route, where that is asked for.

The line has the path as the route declares it, never as it came: what stands
in a URL can be a secret.  Streams are told when they end.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.server import Request

from agentcom.http.route import Route
from agentcom.http.routing import Asked

NOBODY = "-"


class Entry:
    """One request on its way.

    :ivar begun: seconds on the clock.
    :ivar agent_id: whose token it came with.
    """

    __slots__ = ("agent_id", "begun", "request", "route")

    def __init__(self, request: Request, route: Route, begun: float) -> None:
        self.request = request
        self.route = route
        self.begun = begun
        self.agent_id = NOBODY


class AccessLog:
    """Logs requests: :meth:`begin` is a guard that lets all pass, :meth:`answered` a listener.

    A request is told of when its answer has been sent, or its line broke.

    :param address: whose request it is.
    :param wanted: whether anything is logged.
    """

    log = Logger()

    def __init__(
        self, clock: IReactorTime, address: Callable[[Request], str], wanted: bool
    ) -> None:
        self._wanted = wanted
        self._clock = clock
        self._address = address
        self._open: dict[Request, Entry] = {}

    def begin(self, request: Request, route: Route) -> None:
        """A request has come."""
        # The size of a large body is looked at before it comes, so it may be the second time.
        if not self._wanted or request in self._open:
            return
        entry = self._open[request] = Entry(request, route, self._clock.seconds())
        done = request.notifyFinish()
        done.addCallbacks(
            lambda _: self._end(entry, whole=True), lambda _: self._end(entry, whole=False)
        ).addErrback(lambda f: self.log.failure("while logging a request", f))

    def answered(self, asked: Asked, status: int) -> None:
        """It is known who asked."""
        entry = self._open.get(asked.request)
        if entry is not None and asked.token is not None:
            entry.agent_id = asked.token.agent_id

    def _end(self, entry: Entry, *, whole: bool) -> None:
        request = self._open.pop(entry.request).request
        ids = request.responseHeaders.getRawHeaders(b"x-request-id") or [b"-"]
        self.log.info(
            "{method} {path} {status} {ms} ms {bytes} bytes {agent_id} {address} {request_id}"
            if whole
            else "{method} {path} {status} {ms} ms {bytes} bytes {agent_id} {address} {request_id}"
            " (the client left)",
            method=entry.route.method,
            path=entry.route.path,
            route=entry.route.name,
            status=request.code,
            ms=round((self._clock.seconds() - entry.begun) * 1000, 1),
            bytes=request.sentLength,
            agent_id=entry.agent_id,
            address=self._address(request),
            request_id=ids[0].decode("ascii", "replace"),
            whole=whole,
        )
