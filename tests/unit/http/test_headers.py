"""Headers that every answer has, whatever the route."""

from __future__ import annotations

from agentcom.testing import Answered
from tests.unit.http.support import HttpCase


class HeaderTests(HttpCase):
    """What a browser is told of an answer beside what it is."""

    def test_never_guessed(self) -> None:
        """No browser takes an answer for anything else than it says it is."""
        for path in ("/health", "/api/tasks", "/api/tasks/x", "/nowhere", "/metrics", "/dashboard"):
            self.assertEqual(self.get(path).headers["x-content-type-options"], "nosniff")

    def test_not_stored(self) -> None:
        """What a session sees is not kept by the browser; the pages' own files are."""
        cookie = {"Cookie": "agentcom_session=x"}
        self.assertEqual(self.stored("/api/tasks", cookie), "no-store")
        self.assertEqual(self.stored("/dashboard", cookie), "no-cache")
        self.assertEqual(self.stored("/api/tasks", {}), None)

    def stored(self, path: str, headers: dict[str, str]) -> str | None:
        answer: Answered = self.get(path, token=None, headers=headers)
        return answer.headers.get("cache-control")
