"""Requests and answers over treq; every failure is a ``ClientError``.

``hub`` says what is asked; here is how: the token, the time limits, and the
check that what answers is a hub.  ``unreached`` says why none does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from agentcom.client import replies
from agentcom.client.errors import HubError, HubUnreachable
from agentcom.client.unreached import TIMEOUT_S, unreached
from agentcom.client.urls import HubURL
from agentcom.errors import InvalidJSON
from agentcom.wire.codec import decode_object

T = TypeVar("T")


class Transport:
    """Speaks to one hub with one token."""

    def __init__(
        self, url: HubURL, token: str | None, http: HTTPClient, clock: IReactorTime
    ) -> None:
        self.url = url
        self._token = token
        self._http = http
        self._clock = clock

    async def call(
        self,
        method: str,
        path: tuple[str, ...],
        shape: type[T],
        *,
        params: Mapping[str, str | int | None] | None = None,
        body: Mapping[str, Any] | None = None,
        missing: str | None = None,
    ) -> T:
        """One request; its answer, if it is of that shape.

        :param missing: the error code for a path that the hub does not have:
            an id in it is none.
        :raises ClientError: it is not, or there is none, or it is an error.
        """
        response = await self._send(method, path, params, body)
        content = await self._body(response)
        if not 200 <= response.code < 300:
            refusal = self._refusal(response.code, content)
            if missing and isinstance(refusal, HubError) and refusal.code == "not_found":
                raise HubError(refusal.status, missing, refusal.fields)
            raise refusal
        try:
            return replies.checked(decode_object(content), shape)
        except (InvalidJSON, msgspec.ValidationError) as e:
            raise self._stranger(f"its answer to {method} /{'/'.join(path)}: {e}") from None

    async def open(
        self, path: tuple[str, ...], params: Mapping[str, str | int | None]
    ) -> IResponse:
        """A response whose body goes on and on; it is not read here."""
        response: IResponse = await self._send("GET", path, params, None, stream=True)
        if response.code != 200:
            body = await self._body(response)
            raise self._refusal(response.code, body)
        return response

    async def _send(
        self,
        method: str,
        path: tuple[str, ...],
        params: Mapping[str, str | int | None] | None,
        body: Mapping[str, Any] | None,
        stream: bool = False,
    ) -> Any:
        headers = Headers({"Accept": ["text/event-stream" if stream else "application/json"]})
        if self._token is not None:
            headers.setRawHeaders("Authorization", [f"Bearer {self._token}"])
        data = None
        if body is not None:
            headers.setRawHeaders("Content-Type", ["application/json"])
            data = msgspec.json.encode(body)
        try:
            # A redirect would carry the token elsewhere.
            return await self._http.request(
                method,
                self.url.http(*path),
                params={k: str(v) for k, v in (params or {}).items() if v is not None},
                headers=headers,
                data=data,
                allow_redirects=False,
                unbuffered=stream,
                reactor=self._clock,  # type: ignore[arg-type]  # only callLater is used
                timeout=TIMEOUT_S,
            )
        except Exception as e:
            raise unreached(self.url, e) from e

    async def _body(self, response: Any) -> bytes:
        content: Deferred[bytes] = treq.content(response)
        content.addTimeout(TIMEOUT_S, self._clock)
        try:
            return await content
        except Exception as e:
            raise unreached(self.url, e) from e

    def _refusal(self, status: int, content: bytes) -> HubError | HubUnreachable:
        try:
            fields = dict(decode_object(content))
            code = replies.checked(fields, replies.ErrorReply)["error"]
        except (InvalidJSON, msgspec.ValidationError):
            return self._stranger(f"it answered {status} without the JSON of a hub")
        del fields["error"]
        return HubError(status, code, fields)

    def _stranger(self, detail: str) -> HubUnreachable:
        return HubUnreachable(
            f"what answers at {self.url} is not an AgentCom hub of this version ({detail}); "
            "check --hub",
            may_have_arrived=True,
        )
