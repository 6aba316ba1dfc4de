"""What a route says of itself, and what its handler is given and gives.

Declarations only: :mod:`.routing` serves them, the OpenAPI document is made
from them, and a test goes through them all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import wraps
from typing import Any

import msgspec
from twisted.web.server import Request

from agentcom import errors
from agentcom.core.tokens import Token

JSON = b"application/json"
MAX_BODY = 1024 * 1024
"""Bytes of a body, unless its route says otherwise."""


class Answer(msgspec.Struct, frozen=True):
    """A JSON answer.  ``headers`` are further ones, in lower case."""

    status: int
    body: object
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Page(msgspec.Struct, frozen=True):
    """An answer that is a file."""

    status: int
    body: bytes
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Query(msgspec.Struct, frozen=True):
    """A parameter of the query string, as its route declares it.

    The document is made of it and :class:`Call` reads by it, so that what is
    read is what is documented.

    :ivar about: what it means, in one sentence.
    :ivar kind: ``str``, ``int`` or the enumeration that has its values.
    :ivar default: of a number; ``None`` where its absence means something else.
    :ivar least: the least number that is taken.
    :ivar most: the largest number that is taken, or the most characters of a text,
        0 where those are not bounded.
    :ivar pattern: what a text must match, where its handler checks that.
    """

    name: str
    about: str
    kind: type[str | int] = str
    default: int | None = None
    least: int = 0
    most: int = 0
    pattern: str | None = None


def text(name: str, about: str, most: int = 0, pattern: str | None = None) -> Query:
    """Declare a text of ``most`` characters."""
    return Query(name, about, most=most, pattern=pattern)


def choice(name: str, about: str, values: type[StrEnum]) -> Query:
    """Declare a parameter that has few values."""
    return Query(name, about, values)


def number(name: str, about: str, default: int | None, least: int, most: int) -> Query:
    """Declare a whole number, with its bounds."""
    return Query(name, about, int, default, least, most)


class Undeclared(Exception):
    """A handler reads a parameter that its route does not declare, or otherwise than it does."""


class Streamed:
    """What a handler returns that goes on writing to the request by itself."""


class Later:
    """What a handler returns whose answer comes by a call, once.

    For what is asked most: a coroutine that waits, with its Deferreds, costs about as much as
    the decision that it waits for.
    """

    __slots__ = ("_answer", "_hear")

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._hear: Callable[[Answer], None] | None = None

    def give(self, answer: Answer) -> None:
        """This is the answer."""
        if self._hear is None:
            self._answer = answer
        else:
            self._hear(answer)

    def hear(self, hear: Callable[[Answer], None]) -> None:
        """Call this one with the answer, at once where it is known."""
        if self._answer is None:
            self._hear = hear
        else:
            hear(self._answer)


class Call:
    """One request, as a handler sees it.

    :ivar token: the caller's; ``None`` only where the route needs none.
    :ivar args: the variable parts of the path.
    :ivar body: the decoded body, of the Struct that the route declares.
    :ivar size: bytes of the body.
    :ivar request_id: also in the answer, as ``X-Request-Id``, and in the log.
    :ivar declared: the parameters of the query string that the route declares;
        ``None`` where there is no route.
    """

    declared: dict[str, Query] | None = None

    def __init__(
        self,
        request: Request,
        token: Token | None,
        args: dict[str, str],
        body: Any,
        size: int,
        request_id: str = "",
    ) -> None:
        self.request = request
        self.token = token
        self.args = args
        self.body = body
        self.size = size
        self.request_id = request_id

    @property
    def caller(self) -> str:
        """The agent id of the caller's token."""
        return self.token.agent_id if self.token is not None else ""

    def query(self, name: str) -> str | None:
        """A parameter of the query string, the first of that name.

        :raises ValidationFailed: it is not UTF-8.
        :raises Undeclared: the route does not declare it.
        """
        self._declaration(name)
        values = self.request.args.get(name.encode())
        if not values:
            return None
        try:
            return str(values[0].decode("utf-8"))
        except UnicodeDecodeError:
            raise invalid_query(name, "not UTF-8") from None

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query string.

        :raises ValidationFailed: it is none, or out of bounds.
        :raises Undeclared: the route does not declare it, or with other bounds.
        """
        declared = self._declaration(name)
        if declared is not None:
            bounds = declared.default, declared.least, declared.most
            if bounds not in ((default, least, most), (None, least, most)):
                raise Undeclared(f"declare {name!r} with {default}, {least}, {most} on its route")
        text = self.query(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise invalid_query(name, "not a whole number")
        if not least <= int(text) <= most:
            raise invalid_query(name, f"must be from {least} to {most}")
        return int(text)

    def _declaration(self, name: str) -> Query | None:
        if self.declared is None:
            return None
        found = self.declared.get(name)
        if found is None:
            raise Undeclared(f"declare {name!r} in the query of its route")
        return found


Result = Answer | Page | Streamed
Handled = Answer | Page | Later | Awaitable[Result]
Handler = Callable[[Call], Handled]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What a route is and needs.

    :ivar scope: ``None`` for a route that anybody may call, ``ANY`` for one that
        needs some good token.
    :ivar body: the Struct of its JSON body, ``None`` where it takes none.
    :ivar body_optional: an empty body counts as ``{}``.
    :ivar required: fields whose absence is answered as version 1 did, with
        400 and their names.
    :ivar query_token: ``?token=`` is taken too.
    :ivar own: the variable part of the path that must be the caller's agent id;
        an administrator may name anybody.
    :ivar max_body: bytes.
    :ivar query: the parameters of the query string.
    :ivar answers: what it answers when all is well: a Struct that tells the shape of
        the JSON body, or a media type, ``""`` for no body, by status.  Bodies may have
        more fields.
    :ivar refuses: what may be wrong beyond what follows from the rest, as
        :mod:`.openapi` derives it.
    :ivar example: a body that the route takes.
    """

    method: str
    path: str
    name: str
    scope: str | None
    handler: Handler
    body: type[msgspec.Struct] | None = None
    body_optional: bool = False
    required: tuple[str, ...] = ()
    query_token: bool = False
    own: str | None = None
    max_body: int = MAX_BODY
    query: tuple[Query, ...] = ()
    answers: dict[int, type[msgspec.Struct] | str] = {}
    refuses: tuple[type[errors.AgentComError], ...] = ()
    example: dict[str, object] | None = None

    def __post_init__(self) -> None:
        # Around the handler, so that no call can go past the declaration.
        msgspec.structs.force_setattr(self, "handler", _declaring(self.handler, self.query))


def _declaring(handler: Handler, query: tuple[Query, ...]) -> Handler:
    declared = {one.name: one for one in query}

    @wraps(handler)
    def handle(call: Call) -> Handled:
        call.declared = declared
        return handler(call)

    return handle


def invalid_query(name: str, detail: str) -> errors.ValidationFailed:
    """A parameter of the query string that is wrong."""
    return errors.ValidationFailed([{"field": name, "error": "invalid_value", "detail": detail}])
