"""The document of the API, and the declarations that it is made of."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom import errors
from agentcom.http.errors import STATUS
from agentcom.http.openapi import PATH_PARTS, document, refusals, tag_of
from agentcom.http.route import Answer, Call, Undeclared, number, text
from agentcom.wire.codec import decode
from tests.unit.http.documented import DocumentCase, Empty, route


class DocumentTests(DocumentCase):
    """What the document says of the routes."""

    def test_every_route(self) -> None:
        """Every route that is served is in the document under its name, and nothing else is."""
        found = {
            (operation["operationId"], method, path)
            for path, place in self.documented.made["paths"].items()
            for method, operation in place.items()
        }
        served = {
            (r.name, r.method.lower(), r.path.replace("<", "{").replace(">", "}"))
            for r in self.routes
        }
        self.assertEqual(found, served)
        self.assertEqual(self.documented.made["openapi"], "3.1.0")

    def test_declarations_are_whole(self) -> None:
        """Every route says what it is, what it answers, and shows a body that it takes."""
        for one in self.routes:
            operation = self.documented.operations[one.name]
            self.assertTrue(operation["summary"], one.name)
            self.assertTrue(one.answers, f"{one.name} declares no answers")
            self.assertEqual(one.body is None, one.example is None, one.name)
            if one.body is not None:
                decode(json.dumps(one.example).encode(), msgspec.json.Decoder(one.body))
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                self.documented.validate(schema, one.example, one.name)

    def test_errors_follow_from_the_declaration(self) -> None:
        """Scope, body, path and query of a route bring their errors with them."""
        for one in self.routes:
            found = {int(s) for s in self.documented.operations[one.name]["responses"]}
            if one.scope is not None:
                self.assertLessEqual({401, 429}, found, one.name)
            if one.body is not None:
                self.assertLessEqual({400, 413, 422, 503}, found, one.name)
            if one.query:
                self.assertIn(422, found, one.name)
            if "<" in one.path:
                self.assertIn(404, found, one.name)
        for error in refusals(route(method="POST", body=Empty, required=("a",))):
            self.assertIn(error, STATUS)
        self.assertEqual(refusals(route(scope=None, path="/health")), [])

    def test_every_schema_is_one(self) -> None:
        """Every schema is good JSON Schema, and every reference leads somewhere."""
        schemas = self.documented.made["components"]["schemas"]
        for name, schema in schemas.items():
            jsonschema_rs.meta.validate(schema)
            self.assertTrue(schema.get("description") or "enum" in schema, name)
        referred = set(re.findall(r'#/components/schemas/(\w+)"', json.dumps(self.documented.made)))
        self.assertEqual(referred - set(schemas), set())

    def test_examples(self) -> None:
        """Every example of an answer, errors included, has the schema beside it."""
        for name, operation in self.documented.operations.items():
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    if "example" in content:
                        what = f"{name} {status}"
                        self.documented.validate(content["schema"], content["example"], what)

    def test_security(self) -> None:
        """A route that needs a token says by which ways it takes one."""
        ways = {
            name: [set(way) for way in operation["security"]]
            for name, operation in self.documented.operations.items()
        }
        self.assertEqual(ways["health"], [])
        self.assertEqual(ways["list_tasks"], [{"bearer"}, {"session"}])
        self.assertEqual(ways["submit_task"], [{"bearer"}, {"session", "csrf"}])
        self.assertEqual(ways["read_mailbox"], [{"bearer"}, {"queryToken"}, {"session"}])
        self.assertEqual(
            self.documented.operations["delete_task"]["security"][0]["bearer"], ["admin"]
        )

    def test_a_part_of_a_path(self) -> None:
        """Every variable part of a path has an example, and every route a group."""
        for one in self.routes:
            self.assertLessEqual(set(re.findall(r"<(\w+)>", one.path)), set(PATH_PARTS))
            self.assertTrue(tag_of(one.path))
        self.assertRaises(LookupError, tag_of, "/nowhere")

    def test_parameters(self) -> None:
        """Kind, bounds and default of a parameter are those that its handler reads by."""
        parameters = {p["name"]: p for p in self.documented.operations["list_tasks"]["parameters"]}
        self.assertEqual(
            parameters["limit"]["schema"],
            {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        )
        self.assertIn("dead_letter", parameters["status"]["schema"]["enum"])
        self.assertEqual(parameters["search"]["schema"], {"type": "string", "maxLength": 256})
        parameters = self.documented.operations["list_messages"]["parameters"]
        times = [p["schema"] for p in parameters if p["name"] == "end_time"]
        self.assertNotIn("default", times[0])


class DeclaredTests(SynchronousTestCase):
    """A handler reads what its route declares, and nothing else."""

    def read(self, query: dict[bytes, list[bytes]], read: Any, *declared: Any) -> Any:
        class Request:
            args = query

        asked: Any = Request()
        served = route(handler=lambda call: Answer(200, read(call)), query=declared)
        answer: Any = served.handler(Call(asked, None, {}, None, 0))
        return answer.body

    def test_declared(self) -> None:
        """What is declared is read."""
        limit, name = number("limit", "", 5, 1, 9), text("name", "")
        query = {b"limit": [b"7"], b"name": [b"x"]}
        self.assertEqual(self.read(query, lambda c: c.query("name"), name), "x")
        self.assertEqual(self.read(query, lambda c: c.number("limit", 5, 1, 9), limit), 7)
        self.assertEqual(self.read({}, lambda c: c.number("limit", 5, 1, 9), limit), 5)

    def test_undeclared(self) -> None:
        """A name that is not declared cannot be read, though it was sent."""
        for read in (lambda c: c.query("name"), lambda c: c.number("name", 5, 1, 9)):
            for query in ({b"name": [b"7"]}, {}):
                self.assertRaises(Undeclared, self.read, query, read, text("other", ""))
                self.assertRaises(Undeclared, self.read, query, read)

    def test_other_bounds(self) -> None:
        """A number is read by the bounds that are declared, and by no others."""
        limit = number("limit", "", 5, 1, 9)
        for default, least, most in ((4, 1, 9), (5, 0, 9), (5, 1, 10)):
            read = [lambda c, d=default, x=least, y=most: c.number("limit", d, x, y)]
            self.assertRaises(Undeclared, self.read, {}, read[0], limit)


class MethodTests(DocumentCase):
    """Methods that a path does not have."""

    def test_405(self) -> None:
        """Any other method, known or not, gets 405 as JSON with those that there are."""
        for method in ("OPTIONS", "TRACE", "PATCH", "PUT", "DELETE", "BREW"):
            answer = self.hub.request(method, "/health", token=None)
            self.answers(answer, 405, error="method_not_allowed")
            self.assertEqual(answer.headers["allow"], "GET, HEAD")

    def test_404(self) -> None:
        """A path that is none gets 404 as JSON, whatever the method."""
        for method in ("GET", "POST", "OPTIONS", "BREW"):
            self.answers(self.hub.request(method, "/nowhere", token=None), 404, error="not_found")


class CodeTests(SynchronousTestCase):
    """Errors and the document."""

    def test_codes(self) -> None:
        """Errors of one status are documented together, each with its code."""
        made = document([route(refuses=(errors.TaskNotFound, errors.AgentNotFound))])
        response = made["paths"]["/api/tasks"]["get"]["responses"]["404"]
        schema = response["content"]["application/json"]["schema"]
        self.assertEqual(
            schema["allOf"][1]["properties"]["error"]["enum"], ["task_not_found", "agent_not_found"]
        )
