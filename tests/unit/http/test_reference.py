"""The API for people: ``/docs/api``."""

from __future__ import annotations

import re
from pathlib import Path

import agentcom
from agentcom.http.openapi import document
from agentcom.http.reference import curl, page
from agentcom.http.route import Answer, Call, text
from tests.unit.http.documented import DocumentCase, Empty, route

ROOT = Path(agentcom.__file__).resolve().parent.parent


class PageTests(DocumentCase):
    """The page for people."""

    def test_everything_is_on_it(self) -> None:
        """Every operation and every shape has its place on the page, and every link one to go."""
        html = self.get("/docs/api", token=None).text.decode()
        ids = re.findall(r' id="([^"]+)"', html)
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(set(self.documented.operations) - set(ids), set())
        shapes = {f"shape-{name}" for name in self.documented.made["components"]["schemas"]}
        self.assertEqual(shapes - set(ids), set())
        self.assertEqual(set(re.findall(r'href="#([^"]+)"', html)) - set(ids), set())

    def test_the_manual_has_every_route(self) -> None:
        """``docs/http-api.rst`` names every route that is served."""
        manual = (ROOT / "docs" / "http-api.rst").read_text()
        for one in self.routes:
            path = re.sub(r"<(\w+?)(_id)?>", lambda part: part[1].upper(), one.path)
            self.assertIn(f"``{one.method} {path}``", manual)

    def test_what_it_loads(self) -> None:
        """It has no scripts and no inline style, and its one file and the document are there."""
        answer = self.get("/docs/api", token=None)
        html = answer.text.decode()
        self.assertNotRegex(html, r"<script|<style| style=| on\w+=|(src|href)=\"https?:")
        self.assertIn("script-src 'self'", answer.headers["content-security-policy"])
        self.assertIn('href="reference.css"', html)
        self.assertEqual(self.get("/docs/reference.css", token=None).status, 200)
        self.assertIn('href="../openapi.json"', html)

    def test_text_is_text(self) -> None:
        """Whatever a declaration says is shown, and none of it is markup."""
        evil = '<img src=x onerror=alert(1)>"&'

        def handler(call: Call) -> Answer:
            return Answer(200, {})

        handler.__doc__ = f"{evil}.\n\n`{evil}`"
        made = document(
            [
                route(
                    handler=handler,
                    query=(text(evil, evil, pattern=evil),),
                    answers={200: Empty},
                    body=Empty,
                    example={evil: evil},
                )
            ]
        )
        html = page(made).decode()
        self.assertNotIn("<img", html)
        self.assertGreater(html.count("&lt;img"), 5)

    def test_curl(self) -> None:
        """The example of a call is one line for a shell, whatever is in the body."""
        made = document([route(method="POST", body=Empty, example={"a": "it's $HOME"})])
        operation = made["paths"]["/api/tasks"]["post"]
        self.assertEqual(
            curl("post", "/api/tasks", operation),
            'curl -X POST "$HUB/api/tasks" -H "Authorization: Bearer $TOKEN" \\\n'
            """  -d '{"a": "it'"'"'s $HOME"}'""",
        )
        made = document([route(path="/api/tasks/<task_id>", scope=None)])
        operation = made["paths"]["/api/tasks/{task_id}"]["get"]
        self.assertEqual(
            curl("get", "/api/tasks/{task_id}", operation),
            'curl "$HUB/api/tasks/task-5bb1ca85a1d32ec9"',
        )
