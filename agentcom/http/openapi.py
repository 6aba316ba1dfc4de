"""The OpenAPI document, made of the routes that are served.

Nothing is written down here that a :class:`.route.Route`, its handler's
docstring, a Struct or an error says already: this module only puts it into
OpenAPI's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from inspect import getdoc
from typing import Any

import msgspec

from agentcom import __version__, errors
from agentcom.core.tokens import ANY
from agentcom.http.errors import STATUS
from agentcom.http.origin import GUARDED
from agentcom.http.overload import may_be_refused
from agentcom.http.route import Query, Route
from agentcom.http.shapes import Schema, components, plain, ref, sample
from agentcom.wire.answers.errors import ComeAgain, Error, MissingScope, WrongFields

JSON_BODY = "application/json"

SAFE = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""

ABOUT = """\
A hub for AI agents: tasks, messages and presence.

Errors are JSON objects with a code in `error`, on every path.
Bodies are read as JSON whatever their content type; fields that the hub does not know are ignored.
Answers may have more fields than are told here.
Times are Unix milliseconds; fields that end in `_s` are durations in seconds.
Every answer has an `X-Request-Id`; one that comes with the request is taken over.
Agents speak over a WebSocket at `/ws`, which is not part of this document."""

TAGS: tuple[tuple[str, str, str], ...] = (
    (
        "Tasks",
        r"/api/(admin/push-task|tasks(?!/dead-letter|/<task_id>/retry))",
        "Submit, follow, cancel.",
    ),
    ("Dead letters", r"/api/tasks", "Tasks that failed for good."),
    ("Mailboxes", r"/api/mailbox", "What waits for an agent that is away."),
    ("Channels", r"/api/(channels|agents/<agent_id>/subscriptions)", "Publish and subscribe."),
    ("Messages", r"/api/(messages?|threads)", "What agents say to each other."),
    ("Agents", r"/api/agents", "Who is connected; take one out of service and back."),
    ("Events", r"/api/events", "Follow what happens."),
    ("Tokens", r"/admin/tokens|/api/onboard", "Who may do what."),
    ("Sessions", r"/api/session", "How a browser signs in."),
    ("Hub", r"/health|/ready|/metrics|/api/admin/drain|/api/stats", "Is it well?"),
    ("Pages", r"/(dashboard.*|docs.*|openapi.json)?$", "For people, and this document."),
)
"""Groups of routes: name, what their paths begin with, and what they are for."""

PATH_PARTS: dict[str, str] = {
    "task_id": "task-5bb1ca85a1d32ec9",
    "agent_id": "builder-1",
    "message_id": "9d1c03f2ab77e610",
    "channel": "builds",
    "name": "app.js",
    "folder": "views",
}
"""The variable parts of paths, with an example of each.  They are opaque: what fits no
rule of an id is an id that nobody has."""

SECURITY_SCHEMES: dict[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token, on each request."},
    "queryToken": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "A token in the URL, where a client cannot send headers.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "agentcom_session",
        "description": "A browser's session, from `POST /api/session`.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "What the session told, with all that changes something.",
    },
}

_KINDS: dict[type[errors.AgentComError], type[Error]] = {
    errors.ValidationFailed: WrongFields,
    errors.Forbidden: MissingScope,
}
_RETRY_AFTER: Schema = {
    "description": "Seconds to wait.",
    "schema": {"type": "integer", "minimum": 0},
}
_CHALLENGE: Schema = {"description": "`Bearer`.", "schema": {"type": "string"}}
_VARIABLE = re.compile(r"<(\w+)>")


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of some routes."""
    routes = list(routes)
    structs: list[type[msgspec.Struct]] = [Error, ComeAgain, MissingScope, WrongFields]
    for route in routes:
        structs += [shape for shape in route.answers.values() if not isinstance(shape, str)]
        structs += [route.body] if route.body is not None else []
    known = components(structs)
    paths: dict[str, dict[str, Schema]] = {}
    for route in routes:
        place = paths.setdefault(_VARIABLE.sub(r"{\1}", route.path), {})
        place[route.method.lower()] = _operation(route, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "AgentCom", "version": __version__, "description": ABOUT},
        "tags": [{"name": name, "description": about} for name, _, about in TAGS],
        "paths": paths,
        "components": {"schemas": known, "securitySchemes": SECURITY_SCHEMES},
    }


def tag_of(path: str) -> str:
    """The group that a route is in.

    :raises LookupError: it is in none; :data:`TAGS` lacks one.
    """
    for name, begins, _ in TAGS:
        if re.match(begins, path):
            return name
    raise LookupError(f"no group of openapi.TAGS has {path}")


def refusals(route: Route) -> list[type[errors.AgentComError]]:
    """All errors that a route may answer: those it declares, and what follows from the rest."""
    found = [*route.refuses]
    if route.scope is not None:
        found += [errors.Unauthorized, errors.TooManyFailures]
    if route.scope not in (None, ANY):
        found.append(errors.Forbidden)
    if route.body is not None:
        found += [errors.BodyTooLarge, errors.InvalidJSON, errors.ValidationFailed]
    if route.required:
        found.append(errors.MissingFields)
    if route.query:
        found.append(errors.ValidationFailed)
    if _VARIABLE.search(route.path):
        found.append(errors.NotFound)
    if route.method not in SAFE:
        found += [errors.StoreUnavailable, errors.HubStopping]
        found += [errors.CsrfFailed] if route.scope is not None else []
    if route.path.startswith(GUARDED):
        found.append(errors.OriginNotAllowed)
    if may_be_refused(route):
        found.append(errors.Overloaded)
    return list(dict.fromkeys(found))


def _operation(route: Route, known: dict[str, Schema]) -> Schema:
    summary, more = _words(route)
    if route.scope is None:
        needs = "Needs no token."
    elif route.scope == ANY:
        needs = "Needs a token."
    else:
        needs = f"Needs the scope `{route.scope}`."
    if route.own is not None:
        needs += f" `{route.own}` must be the token's own agent id; an administrator may name any."
    operation: Schema = {
        "operationId": route.name,
        "tags": [tag_of(route.path)],
        "summary": summary,
        "description": "\n\n".join(text for text in (more, needs) if text),
        "security": _security(route),
    }
    parameters = [_path_part(name) for name in _VARIABLE.findall(route.path)]
    parameters += [_parameter(query) for query in route.query]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content: Schema = {"schema": ref(route.body)}
        if route.example is not None:
            content["example"] = route.example
        operation["requestBody"] = {
            "description": f"At most {route.max_body} bytes.",
            "required": not route.body_optional,
            "content": {JSON_BODY: content},
        }
    operation["responses"] = _responses(route, known)
    return operation


def _words(route: Route) -> tuple[str, str]:
    """Summary and description, of the handler's docstring."""
    told = (getdoc(route.handler) or "").partition("\n:")[0]
    summary, _, more = told.partition("\n\n")
    return plain(summary), plain(more)


def _security(route: Route) -> list[Schema]:
    if route.scope is None:
        return []
    scopes = [] if route.scope == ANY else [route.scope]
    ways: list[Schema] = [{"bearer": scopes}]
    if route.query_token:
        ways.append({"queryToken": scopes})
    ways.append({"session": scopes} if route.method in SAFE else {"session": scopes, "csrf": []})
    return ways


def _path_part(name: str) -> Schema:
    schema = {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}
    example = PATH_PARTS[name]
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


def _parameter(query: Query) -> Schema:
    schema: Schema
    if query.kind is int:
        schema = {"type": "integer", "minimum": query.least, "maximum": query.most}
        if query.default is not None:
            schema["default"] = query.default
    elif query.kind is str:
        schema = {"type": "string"}
        if query.most:
            schema["maxLength"] = query.most
        if query.pattern is not None:
            schema["pattern"] = query.pattern
    else:
        values: Any = query.kind
        schema = {"type": "string", "enum": [value.value for value in values]}
    return {"name": query.name, "in": "query", "description": plain(query.about), "schema": schema}


def _responses(route: Route, known: dict[str, Schema]) -> Schema:
    found: dict[int, Schema] = {}
    by_status: dict[int, list[type[errors.AgentComError]]] = {}
    for kind in refusals(route):
        by_status.setdefault(STATUS[kind], []).append(kind)
    for status, kinds in by_status.items():
        found[status] = _refusal(route, status, kinds)
    for status, shape in route.answers.items():
        if isinstance(shape, str):
            found[status] = {"description": HTTPStatus(status).phrase}
            if shape:
                found[status]["description"] = f"`{shape}`."
                found[status]["content"] = {shape: {"schema": {"type": "string"}}}
        else:
            schema = ref(shape)
            content = {JSON_BODY: {"schema": schema, "example": sample(schema, known)}}
            about = known[shape.__name__].get("description", shape.__name__)
            found[status] = {"description": about, "content": content}
        if status in (429, 503):
            found[status]["headers"] = {"Retry-After": _RETRY_AFTER}
    return {str(status): found[status] for status in sorted(found)}


def _refusal(route: Route, status: int, kinds: Sequence[type[errors.AgentComError]]) -> Schema:
    codes = [
        errors.MissingFields(*route.required).text if kind is errors.MissingFields else kind.code
        for kind in kinds
    ]
    body = ComeAgain if status in (429, 503) else _KINDS.get(kinds[0], Error)
    example: Schema = {"error": codes[0]}
    if body is WrongFields:
        told = {"field": "limit", "error": "invalid_value", "detail": "not a whole number"}
        example["errors"] = [told]
    refusal: Schema = {
        "description": " ".join(plain((kind.__doc__ or "").partition("\n\n")[0]) for kind in kinds),
        "content": {
            JSON_BODY: {
                "schema": {"allOf": [ref(body), {"properties": {"error": {"enum": codes}}}]},
                "example": example,
            }
        },
    }
    if status in (429, 503):
        refusal["headers"] = {"Retry-After": _RETRY_AFTER}
    elif status == 401:
        refusal["headers"] = {"WWW-Authenticate": _CHALLENGE}
    return refusal
