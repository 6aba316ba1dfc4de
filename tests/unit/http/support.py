"""A hub in memory whose disk and threads are the test's own."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from agentcom.testing import Answered, HttpClient, MemoryHub
from tests.unit.store.support import Held, make_clock, memory_store


class HttpCase(SynchronousTestCase):
    """A hub whose commits and reads wait, or fail, when the test says so.

    :ivar commits: runs the commits.
    :ivar reads: runs the reads.
    :ivar free: free disk space, in bytes.
    """

    settings: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        clock = make_clock()
        self.commits = Held()
        self.reads = Held()
        self.free = 2**40
        store = memory_store(
            clock,
            commits=self.commits,
            reads=self.reads,
            free_bytes=lambda: self.free,
            min_free=1_000,
        )
        self.addCleanup(store.close)
        self.hub = MemoryHub(store, clock, **self.settings)

    def get(self, path: str, **more: Any) -> Answered:
        return self.hub.request("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answered:
        return self.hub.request("POST", path, body, **more)

    def begin(self, method: str, path: str, body: Any = None, **more: Any) -> HttpClient:
        """Send a request whose answer may come later."""
        return self.hub.open_request(method, path, body, **more)

    def raw(self, data: bytes) -> HttpClient:
        """Send bytes on a new connection."""
        client = self.hub.open_http()
        client.transport.write(data)
        self.hub.settle()
        return client

    def answers(self, answer: Answered, code: int, /, **fields: Any) -> Any:
        """Check the status and some fields of a JSON answer, and give its body."""
        self.assertEqual(answer.status, code, answer.text[:500])
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertIsInstance(answer.body, dict, repr(answer.text[:500]))
        self.assertEqual({k: answer.body.get(k) for k in fields}, fields)
        return answer.body

    def wrong_fields(self, answer: Answered) -> list[tuple[str, str]]:
        """Field and code of each error of a 422."""
        body = self.answers(answer, 422, error="validation_failed")
        for one in body["errors"]:
            self.assertEqual(set(one), {"field", "error", "detail"})
        return [(one["field"], one["error"]) for one in body["errors"]]


def answer_of(client: HttpClient) -> Answered | None:
    """What came on a connection, once there is something."""
    return Answered(client.received) if client.received else None


def chunked(body: bytes) -> str:
    """A chunked body, put together."""
    whole = []
    while body:
        size, _, body = body.partition(b"\r\n")
        whole.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return b"".join(whole).decode()
