"""The shapes of bodies as JSON Schemas, made of the Structs that decode them.

What a Struct cannot say of itself, because code checks it after the types, is
in :data:`BEYOND_TYPES`; the fuzz test finds what is missing there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from agentcom.core.ids import ADMIN_ID, MAX_INTEGER
from agentcom.core.tokens import ADMIN, SCOPES

Schema = dict[str, Any]

REF = "#/components/schemas/"

_NEW_AGENT_ID: Schema = {
    "pattern": "^[A-Za-z0-9._:@-]{1,128}$",
    "not": {"enum": ["broadcast", "admin"]},
}
_ANY_JSON: Schema = {"additionalProperties": {"$ref": REF + "JSON"}}


def _one_given(*names: str, **constant: object) -> Schema:
    """At least one of these fields is there and not null, or has the value that is told."""
    given: list[Schema] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names
    ]
    given += [
        {"required": [name], "properties": {name: {"const": value}}}
        for name, value in constant.items()
    ]
    return {"anyOf": given}


BEYOND_TYPES: dict[str, Schema] = {
    "CreateToken": {
        "properties": {
            "agent_id": {"pattern": "^[A-Za-z0-9._:@-]{1,128}$", "not": {"const": "broadcast"}},
            "scopes": {"anyOf": [{"items": {"enum": list(SCOPES)}}, {}]},
        },
        "anyOf": [
            {"properties": {"agent_id": {"not": {"const": ADMIN_ID}}}},
            {
                "required": ["scopes"],
                "properties": {"scopes": {"type": "array", "contains": {"const": ADMIN}}},
            },
        ],
    },
    "Register": {"properties": {"agent_id": _NEW_AGENT_ID}},
    "CreateChannel": {"properties": {"name": {"pattern": "[A-Za-z0-9_-]"}}},
    "ChooseDeadLetters": _one_given(
        "task_ids", "agent_id", "priority", "submitted_by", "last_error", all=True
    ),
    "LabelTests": _one_given("=", "!=", "in", "exists"),
    "PushTask": {"properties": {"metadata": {"anyOf": [_ANY_JSON, {}]}}},
    "PostMessage": {"properties": {"payload": _ANY_JSON}},
    "Publish": {"properties": {"payload": _ANY_JSON}},
}
"""By the name of the Struct, what is laid over its schema."""

_JSON: Schema = {
    "description": "Any JSON value, with integers that every program can keep.",
    "anyOf": [
        {"type": ["null", "boolean", "string"]},
        {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
        {"type": "number"},
        {"type": "array", "items": {"$ref": REF + "JSON"}},
        {"type": "object", "additionalProperties": {"$ref": REF + "JSON"}},
    ],
}

_SECTION = re.compile(r" \((PROTOCOL.md )?section [0-9.]+\)")
_FIELD = re.compile(r":ivar (\w+): (.*?)(?=:ivar |\Z)", re.DOTALL)


def components(structs: Iterable[type[msgspec.Struct]]) -> dict[str, Schema]:
    """The schema of each Struct, and of those in its fields, by name."""
    _, found = msgspec.json.schema_components(
        tuple(dict.fromkeys(structs)), schema_hook=_anything, ref_template=REF + "{name}"
    )
    for name, schema in found.items():
        _describe(schema)
        _lay_over(schema, BEYOND_TYPES.get(name, {}))
    return dict(sorted({**found, "JSON": _JSON}.items()))


def ref(struct: type[msgspec.Struct]) -> Schema:
    """A reference to the schema of a Struct."""
    return {"$ref": REF + struct.__name__}


def plain(docstring: str) -> str:
    """A docstring as one line of plain text."""
    return _SECTION.sub("", " ".join(docstring.split())).replace("``", "`")


def sample(schema: Schema, known: dict[str, Schema]) -> Any:
    """A value of a schema, made of the examples in it.

    :param known: the components that it may refer to.
    """
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return sample(known[schema["$ref"].removeprefix(REF)], known)
    if "enum" in schema:
        return schema["enum"][0]
    for one in schema.get("anyOf", ()):
        if one.get("type") != "null" and "type" not in schema:
            return sample(one, known)
    match schema.get("type"):
        case "object":
            fields: Schema = schema.get("properties", {})
            return {name: sample(field, known) for name, field in fields.items()}
        case "array":
            return [sample(schema["items"], known)] if schema.get("items") else []
        case "integer":
            return max(1, schema.get("minimum", 1))
        case "number":
            return 1.0
        case "boolean":
            return True
        case "string":
            return "text"
    return None


def _anything(kind: type) -> Schema:
    if kind is object:
        return {"$ref": REF + "JSON"}
    raise NotImplementedError


def _describe(schema: Schema) -> None:
    """Give the fields the words that the Struct's docstring has for them."""
    told = schema.get("description", "")
    fields = schema.get("properties", {})
    for name, words in _FIELD.findall(told):
        # ``sender`` is ``from`` on the wire.
        field = fields.get("from" if name == "sender" else name)
        if field is not None:
            field.setdefault("description", plain(words))
    if told:
        schema["description"] = plain(told.partition(":ivar")[0])


def _lay_over(schema: Schema, more: Schema) -> None:
    """Merge ``more`` into a schema, as deep as both go."""
    for name, value in more.items():
        there = schema.get(name)
        if isinstance(there, dict) and isinstance(value, dict):
            _lay_over(there, value)
        elif isinstance(there, list) and name == "anyOf":
            for one, over in zip(there, value, strict=True):
                _lay_over(one, over)
        else:
            schema[name] = value
