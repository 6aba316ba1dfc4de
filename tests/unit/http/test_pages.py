"""The dashboard's files as a browser asks for them, without a browser."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import ClassVar

from tests.unit.http.support import HttpCase

ROOT = files("agentcom.http") / "dashboard"
SCRIPTS_MOST = 400
OURS = ("", "views")


def sources(suffix: str) -> dict[str, str]:
    """Our own files of a kind, by their path below ``/dashboard/``."""
    found = {}
    for folder in OURS:
        place = ROOT / folder if folder else ROOT
        for entry in place.iterdir():
            if entry.name.endswith(suffix):
                path = f"{folder}/{entry.name}" if folder else entry.name
                found[path] = entry.read_text(encoding="utf-8")
    return found


class PageTests(HttpCase):
    types: ClassVar[dict[str, str]] = {
        "/": "text/html; charset=utf-8",
        "/dashboard": "text/html; charset=utf-8",
        "/dashboard/style.css": "text/css; charset=utf-8",
        "/dashboard/app.js": "text/javascript; charset=utf-8",
        "/dashboard/views/tasks.js": "text/javascript; charset=utf-8",
        "/dashboard/icon.svg": "image/svg+xml",
        "/dashboard/uplot/uPlot.iife.min.js": "text/javascript; charset=utf-8",
    }

    def test_served(self) -> None:
        """Pages, styles, scripts and pictures come with their types and need no token."""
        for path, kind in self.types.items():
            answer = self.get(path, token=None)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, kind), path)
            self.assertTrue(answer.text, path)

    def test_policy(self) -> None:
        """Whatever a browser gets forbids it all but this hub's own files and answers."""
        for path in self.types:
            headers = self.get(path, token=None).headers
            rules = dict(
                rule.split(" ", 1) for rule in headers["content-security-policy"].split("; ")
            )
            self.assertEqual(rules["default-src"], "'none'", path)
            self.assertEqual(
                {v for k, v in rules.items() if k.endswith("-src")}, {"'none'", "'self'"}, path
            )
            for name in ("base-uri", "form-action", "frame-ancestors", "trusted-types"):
                self.assertEqual(rules[name], "'none'", path)
            self.assertEqual(rules["require-trusted-types-for"], "'script'", path)
            self.assertEqual(headers["x-content-type-options"], "nosniff", path)
            self.assertEqual(headers["referrer-policy"], "no-referrer", path)

    def test_not_served(self) -> None:
        """What is not a file of the dashboard is not found, however it is asked for."""
        for path in (
            "/dashboard/nope.js",
            "/dashboard/pages.py",
            "/dashboard/uplot",
            "/dashboard/uplot/LICENSE",
            "/dashboard/views/..%2fapp.js",
            "/dashboard/../pages.py",
            "/dashboard/%2e%2e/pages.py",
            "/dashboard/%2Fetc/passwd",
            "/dashboard/views/nope.js",
            "/dashboard/views/tasks.js/x",
        ):
            self.answers(self.get(path), 404, error="not_found")

    def test_unchanged(self) -> None:
        """A browser that has a file is told so in place of the file, until it changes."""
        first = self.get("/dashboard/app.js")
        tag = first.headers["etag"]
        again = self.get("/dashboard/app.js", headers={"If-None-Match": tag})
        self.assertEqual((again.status, again.text), (304, b""))
        self.assertEqual(again.headers["etag"], tag)
        other = self.get("/dashboard/style.css", headers={"If-None-Match": tag})
        self.assertEqual(other.status, 200)

    def test_references(self) -> None:
        """Every file that a page or a script names is served."""
        page = self.get("/").text.decode()
        named = re.findall(r'(?:src|href)="(/[^"#]*)"', page)
        self.assertGreater(len(named), 3)
        for path, source in sources(".js").items():
            base = "/dashboard/" + path.rpartition("/")[0]
            for target in re.findall(r'from "(\.{1,2}/[^"]+)"', source):
                up = base.rstrip("/").rpartition("/")[0] if target.startswith("../") else base
                named.append(f"{up.rstrip('/')}/{target.lstrip('./')}")
        for path in named:
            self.assertEqual(self.get(path, token=None).status, 200, path)

    def test_nothing_inline(self) -> None:
        """No markup carries script or style, and no script makes markup or keeps anything."""
        page = self.get("/").text.decode()
        self.assertEqual(re.findall(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", page), [])
        words = (
            "innerHTML|outerHTML|insertAdjacentHTML|document\\.write|eval\\(|new Function"
            "|localStorage|sessionStorage|indexedDB|document\\.cookie|https?://(?!www\\.w3\\.org/)"
        )
        for path, source in sources(".js").items():
            self.assertEqual(re.findall(words, source), [], path)
        for path, source in sources(".css").items():
            self.assertEqual(re.findall(r"@import|url\(|https?://", source), [], path)

    def test_sizes(self) -> None:
        """A script or a style sheet is about one subject: 400 lines at the most."""
        for path, source in (sources(".js") | sources(".css")).items():
            self.assertLessEqual(source.count("\n"), SCRIPTS_MOST, path)
