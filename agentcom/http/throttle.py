"""Too many bad tokens from one address: what a request with a bad one is answered."""

from __future__ import annotations

from collections.abc import Callable
from weakref import ReferenceType, ref

from twisted.web.server import Request

from agentcom.errors import AgentComError, TooManyFailures, Unauthorized
from agentcom.hub.failures import Failures

HTTP = "http"
SESSION = "session"


class Throttle:
    """Answers requests whose token is bad; those without any are not counted.

    :param address: where a request comes from.
    """

    def __init__(self, failures: Failures, address: Callable[[Request], str]) -> None:
        self._failures = failures
        self._address = address
        self._last: ReferenceType[Request] | None = None
        self._wait_ms: int | None = None

    def refusal(self, request: Request, kind: str = HTTP, hint: str | None = None) -> AgentComError:
        """The error for a request that showed a bad token.

        :param kind: ``http``, or ``session`` for a sign-in.
        :param hint: in place of the usual one.
        """
        # A request that is looked at twice has failed once.
        if self._last is None or self._last() is not request:
            self._wait_ms = self._failures.failed(self._address(request), kind)
            self._last = ref(request)
        if self._wait_ms is not None:
            return TooManyFailures(self._wait_ms)
        return Unauthorized() if hint is None else Unauthorized(hint)
