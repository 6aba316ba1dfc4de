"""The document of a hub, to hold its answers against."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec

from agentcom.core.tokens import SUBMIT
from agentcom.http.route import Answer, Call, Route
from agentcom.testing import Answered
from tests.unit.http.support import HttpCase


class Empty(msgspec.Struct):
    """A body."""


def answers_with(call: Call) -> Answer:
    """Answer."""
    return Answer(200, {})


def route(**more: Any) -> Route:
    fields: dict[str, Any] = {
        "method": "GET",
        "path": "/api/tasks",
        "name": "x",
        "scope": SUBMIT,
        "handler": answers_with,
    }
    return Route(**{**fields, **more})


class Documented:
    """A document, to hold answers against."""

    def __init__(self, made: dict[str, Any]) -> None:
        self.made = made
        self.operations = {
            operation["operationId"]: operation
            for place in made["paths"].values()
            for operation in place.values()
        }

    def check(self, name: str, answer: Answered) -> None:
        """See that an answer of an operation is as the document says.

        :raises AssertionError: it is not.
        """
        responses = self.operations[name]["responses"]
        if str(answer.status) not in responses:
            raise AssertionError(f"{name}: {answer.status} is not documented: {answer.body}")
        kind = answer.headers["content-type"].partition(";")[0]
        content = responses[str(answer.status)]["content"]
        if kind not in content and "*/*" not in content:
            raise AssertionError(f"{name}: {kind} is not documented")
        if kind == "application/json" and name != "openapi":
            self.validate(content[kind]["schema"], answer.body, f"{name} {answer.status}")

    def validate(self, schema: dict[str, Any], value: object, what: str) -> None:
        """See that a value has a schema.

        :raises AssertionError: it has not.
        """
        whole = {**schema, "components": self.made["components"]}
        try:
            jsonschema_rs.validate(whole, value, draft=jsonschema_rs.Draft202012)
        except jsonschema_rs.ValidationError as e:
            raise AssertionError(f"{what}: {e}") from None


class DocumentCase(HttpCase):
    """A hub, its routes and its document."""

    def setUp(self) -> None:
        super().setUp()
        self.routes = list(self.hub.parts.api.routes.values())
        self.documented = Documented(self.get("/openapi.json", token=None).body)
