"""The API for people: ``/docs/api``, a page made of the OpenAPI document.

It reads the document and nothing else, so both say the same.  Every text goes
through Twisted's templates, which escape it; the page has no scripts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from shlex import quote
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.template import Tag, flattenString, tags

from agentcom.http.shapes import REF, Schema

METHODS = ("get", "post", "put", "patch", "delete")

Shown = str | Tag | list[Any]


def page(document: dict[str, Any]) -> bytes:
    """The page of an OpenAPI document, as HTML."""
    done: Deferred[bytes] = flattenString(None, _html(document))
    found: list[bytes] = []
    done.addCallback(found.append)
    return b"<!doctype html>\n" + found[0]


def _html(document: dict[str, Any]) -> Tag:
    info = document["info"]
    groups = [(tag, list(_operations(document, tag["name"]))) for tag in document["tags"]]
    groups = [(tag, operations) for tag, operations in groups if operations]
    return tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.meta(name="color-scheme", content="light dark"),
            tags.title(f"{info['title']} API"),
            tags.link(rel="stylesheet", href="reference.css"),
            tags.link(rel="icon", href="../dashboard/icon.svg"),
        ),
        tags.body(
            tags.header(
                tags.h1(f"{info['title']} API"),
                tags.p(f"Version {info['version']}. The same for programs: ", _to_document()),
                [tags.p(_words(part)) for part in info["description"].split("\n\n")],
            ),
            tags.nav(
                [
                    tags.section(
                        tags.h2(tags.a(tag["name"], href=f"#{_slug(tag['name'])}")),
                        tags.ul([tags.li(_link(*one)) for one in operations]),
                    )
                    for tag, operations in groups
                ],
                **{"aria-label": "Routes"},
            ),
            Tag("main")(
                [
                    tags.section(
                        tags.h2(tag["name"]),
                        tags.p(tag["description"]),
                        [_operation(document, *one) for one in operations],
                        id=_slug(tag["name"]),
                    )
                    for tag, operations in groups
                ],
                _shapes(document["components"]["schemas"]),
            ),
        ),
        lang="en",
    )


def _to_document() -> Tag:
    return tags.a("openapi.json", href="../openapi.json")


def _operations(document: dict[str, Any], tag: str) -> Iterator[tuple[str, str, Schema]]:
    for path, place in document["paths"].items():
        for method in METHODS:
            if method in place and tag in place[method]["tags"]:
                yield method, path, place[method]


def _link(method: str, path: str, operation: Schema) -> Tag:
    return tags.a(
        tags.span(method.upper(), class_=f"method {method}"),
        tags.span(path, class_="path"),
        href=f"#{operation['operationId']}",
    )


def _operation(document: dict[str, Any], method: str, path: str, operation: Schema) -> Tag:
    body = operation.get("requestBody")
    return tags.article(
        tags.h3(_link(method, path, operation)),
        tags.p(_words(operation["summary"]), class_="summary"),
        [tags.p(_words(part)) for part in operation["description"].split("\n\n")],
        _parameters(operation.get("parameters", [])),
        _request(body) if body else "",
        tags.h4("Example"),
        tags.pre(tags.code(curl(method, path, operation))),
        tags.h4("Answers"),
        tags.dl([_answer(*one) for one in operation["responses"].items()]),
        id=operation["operationId"],
    )


def curl(method: str, path: str, operation: Schema) -> str:
    """A command line that calls the route, for a shell."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    line = "curl " + ("" if method == "get" else f"-X {method.upper()} ") + f'"$HUB{path}"'
    if operation["security"]:
        line += ' -H "Authorization: Bearer $TOKEN"'
    body = operation.get("requestBody")
    if body:
        example = next(iter(body["content"].values())).get("example")
        if example:
            line += f" \\\n  -d {quote(json.dumps(example))}"
    return line


def _parameters(parameters: list[Schema]) -> Shown:
    if not parameters:
        return ""
    rows = [
        tags.tr(
            tags.td(tags.code(parameter["name"])),
            tags.td(parameter["in"]),
            tags.td(_kind(parameter["schema"])),
            tags.td(_words(parameter.get("description", ""))),
        )
        for parameter in parameters
    ]
    return [tags.h4("Parameters"), _table(("Name", "In", "Type", "Meaning"), rows)]


def _request(body: Schema) -> Shown:
    content = next(iter(body["content"].values()))
    may_be_absent = "" if body["required"] else " It may be absent."
    words = f" as JSON. {body['description']}{may_be_absent}"
    return [tags.h4("Body"), tags.p(_kind(content["schema"]), words)]


def _answer(status: str, answer: Schema) -> Shown:
    shown: list[Any] = [tags.dt(tags.code(status)), tags.dd(_words(answer["description"]))]
    for content in answer.get("content", {}).values():
        example = content.get("example")
        if example is None:
            continue
        schema = content["schema"]
        shape = _joined([_kind(schema)] if "$ref" in schema else _codes(schema), ", ")
        text = json.dumps(example, indent=2, ensure_ascii=False)
        summary = tags.summary(shape, " example")
        shown[1](tags.details(summary, tags.pre(tags.code(text))))
    return shown


def _codes(schema: Schema) -> list[Any]:
    """The codes of an error, which its last part names."""
    return [_code(code) for code in schema["allOf"][-1]["properties"]["error"]["enum"]]


def _shapes(schemas: dict[str, Schema]) -> Tag:
    return tags.section(
        tags.h2("Shapes"),
        tags.p("Fields that are marked with * are always there, or have to be."),
        [_shape(name, schema) for name, schema in schemas.items()],
        id="shapes",
    )


def _shape(name: str, schema: Schema) -> Tag:
    needed = schema.get("required", ())
    rows = [
        tags.tr(
            tags.td(tags.code(field), "*" if field in needed else ""),
            tags.td(_kind(kind)),
            tags.td(_words(kind.get("description", ""))),
        )
        for field, kind in schema.get("properties", {}).items()
    ]
    return tags.article(
        tags.h3(tags.a(name, href=f"#shape-{name}")),
        tags.p(_words(schema.get("description", ""))),
        _table(("Field", "Type", "Meaning"), rows) if rows else "",
        id=f"shape-{name}",
    )


def _table(head: Iterable[str], rows: list[Tag]) -> Tag:
    top = tags.thead(tags.tr([tags.th(name, scope="col") for name in head]))
    return tags.div(tags.table(top, tags.tbody(rows)), class_="table")


def _kind(schema: Schema) -> Shown:
    """The type of a schema in words, with links to the shapes."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REF)
        return tags.a(name, href=f"#shape-{name}")
    if "const" in schema:
        return _code(schema["const"])
    if "enum" in schema:
        return _joined([_code(value) for value in schema["enum"]], " | ")
    if "type" not in schema:
        kinds = schema.get("anyOf") or schema.get("allOf")
        return _joined([_kind(one) for one in kinds], " or ") if kinds else "anything"
    kind = schema["type"]
    if kind == "array":
        return ["list of ", _kind(schema.get("items") or {}), _bounds(schema)]
    if kind == "object" and schema.get("additionalProperties"):
        return ["object of ", _kind(schema["additionalProperties"])]
    words = kind if isinstance(kind, str) else " or ".join(kind)
    return f"{words}{_bounds(schema)}"


_BOUNDS = (
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} of them"),
    ("maxItems", "at most {} of them"),
    ("minimum", "at least {:,}"),
    ("exclusiveMinimum", "above {:,}"),
    ("maximum", "at most {:,}"),
    ("pattern", "matches {}"),
    ("default", "default {}"),
)


def _bounds(schema: Schema) -> str:
    told = [words.format(schema[name]) for name, words in _BOUNDS if schema.get(name) is not None]
    return f" ({', '.join(told)})" if told else ""


def _code(value: object) -> Tag:
    return tags.code(value if isinstance(value, str) else json.dumps(value))


def _joined(parts: list[Any], between: str) -> list[Any]:
    return [one for part in parts for one in (between, part)][1:]


def _words(text: str) -> list[Any]:
    """A text whose `parts` are code."""
    return [tags.code(part) if number % 2 else part for number, part in enumerate(text.split("`"))]


def _slug(name: str) -> str:
    return "group-" + name.lower().replace(" ", "-")
