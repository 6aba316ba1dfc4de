"""A line for each request that is answered, without what stood in its URL."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import MemoryHub


class AccessLogTests(SynchronousTestCase):
    def hub(self, **settings: Any) -> MemoryHub:
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        return MemoryHub(**settings)

    def lines(self) -> list[LogEvent]:
        ours = "agentcom.http.accesslog.AccessLog"
        return [event for event in self.events if event["log_namespace"] == ours]

    def test_off(self) -> None:
        """Nothing is logged of requests unless it is asked for."""
        self.hub().request("GET", "/health")
        self.assertEqual(self.lines(), [])

    def test_line(self) -> None:
        """The line has who, what, how it ended and the id that the client was told."""
        hub = self.hub(log_requests=True)
        answer = hub.request("GET", "/api/tasks/stats", headers={"X-Request-Id": "r-7"})
        (line,) = self.lines()
        told = {
            name: line[name]
            for name in ("method", "path", "route", "status", "agent_id", "address", "request_id")
        }
        self.assertEqual(
            told,
            {
                "method": "GET",
                "path": "/api/tasks/stats",
                "route": hub.parts.api.find("GET", "/api/tasks/stats").name,  # type: ignore[union-attr]
                "status": answer.status,
                "agent_id": "admin",
                "address": line["address"],
                "request_id": "r-7",
            },
        )
        self.assertEqual(line["bytes"], len(answer.text))
        self.assertGreaterEqual(line["ms"], 0)

    def test_no_url(self) -> None:
        """The path is the declared one: ids, queries and tokens in URLs are not told."""
        hub = self.hub(log_requests=True)
        secret = hub.token("reader")
        self.events.clear()
        hub.request("GET", f"/api/mailbox/reader?token={secret}", token=None)
        (line,) = self.lines()
        self.assertEqual((line["status"], line["agent_id"]), (200, "reader"))
        told = formatEvent(line) + repr({k: v for k, v in line.items() if k != "log_source"})
        self.assertNotIn(secret, told)
        self.assertNotIn("/reader", told)
        self.assertIn("/api/mailbox/<", line["path"])

    def test_refused(self) -> None:
        """Who is refused is told of too, without a name."""
        hub = self.hub(log_requests=True)
        hub.request("GET", "/api/tasks", token="0" * 64)
        (line,) = self.lines()
        self.assertEqual((line["status"], line["agent_id"]), (401, "-"))

    def test_stream(self) -> None:
        """A stream is told of when it ends, with how long it was."""
        hub = self.hub(log_requests=True)
        client = hub.open_request("GET", "/api/events")
        hub.advance(5)
        self.assertEqual(self.lines(), [])
        client.transport.loseConnection()
        hub.settle()
        (line,) = self.lines()
        self.assertFalse(line["whole"])
        self.assertGreaterEqual(line["ms"], 5_000)
        self.assertEqual(hub.parts.api.in_progress, 0)
