"""The shortcut for plain requests: a client never sees whether it is on.

Any bytes, cut anywhere, go to two hubs that differ in nothing else; what
comes back, and how the line ends, must be the same.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.config import SHORTCUTS
from agentcom.site import IDLE_S, SMALL_BODY
from agentcom.testing import HttpClient, MemoryHub

OTHERS = frozenset(SHORTCUTS) - {"requests"}
TASK = json.dumps({"description": "wörk", "metadata": {"n": 1}}, ensure_ascii=False).encode()

DATE = re.compile(rb"\r\nDate: [^\r]*")


def request(
    start: bytes = b"GET /health HTTP/1.1",
    body: bytes = b"",
    *lines: bytes,
    host: bytes | None = b"hub.example:4000",
    length: bytes | None = None,
) -> bytes:
    """A request; ``TOKEN`` in a line stands for the administrator's."""
    head = [start]
    if host is not None:
        head.append(b"Host: " + host)
    if body or length is not None:
        head.append(b"Content-Length: " + (b"%d" % len(body) if length is None else length))
    return b"\r\n".join([*head, *lines, b"", b""]) + body


SIGNED = b"Authorization: Bearer TOKEN"

starts = st.sampled_from(
    (
        b"GET /health HTTP/1.1",
        b"GET /api/tasks?limit=2&limit=3 HTTP/1.1",
        b"GET /api/tasks?status=%71ueued&priority HTTP/1.1",
        b"GET /api/tasks/task-0000000000000000 HTTP/1.1",
        b"GET /api/tasks/task-%30 HTTP/1.1",
        b"GET /api/tasks/ HTTP/1.1",
        b"GET //api//tasks HTTP/1.1",
        b"GET /nothing?x HTTP/1.1",
        b"GET /ws HTTP/1.1",
        b"GET /ws/ HTTP/1.1",
        b"GET /ws?x=1 HTTP/1.1",
        b"HEAD /health HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"BREW /health HTTP/1.1",
        b"DELETE /health HTTP/1.1",
        b"POST /api/tasks HTTP/1.1",
        b"POST /api/tasks/batch HTTP/1.1",
        b"POST /api/admin/push-task HTTP/1.1",
        b"POST /health HTTP/1.1",
        b"GET /health HTTP/1.0",
        b"GET /health HTTP/2.0",
        b"GET http://hub.example:4000/health HTTP/1.1",
        b"GET  /health HTTP/1.1",
        b"GET /he\xffalth HTTP/1.1",
        b"GET /openapi.json HTTP/1.1",
        b"nonsense",
    )
)
bodies = st.one_of(
    st.just(b""),
    st.just(TASK),
    st.just(b'{"tasks":[' + TASK + b"]}"),
    st.just(b'{"agent_id":"a","description":"x"}'),
    st.just(b"{"),
    st.just(b"\xff" * 20),
    st.just(b'{"description":"' + b"x" * (SMALL_BODY - 100) + b'"}'),
    st.just(b'{"description":"' + b"x" * SMALL_BODY + b'"}'),
)
lines = st.lists(
    st.sampled_from(
        (
            SIGNED,
            SIGNED,
            b"Authorization: Bearer " + b"0" * 64,
            b"Authorization: Basic x",
            b"Connection: keep-alive",
            b"Connection: close",
            b"Expect: 100-continue",
            b"Transfer-Encoding: chunked",
            b"Cookie: agentcom_session=x",
            b"Origin: http://elsewhere.example",
            b"Origin: http://hub.example:4000",
            b"X-Request-Id: mine-1",
            b"X-Request-Id: " + b"a" * 64,
            b"X-Request-Id: a b",
            b"X-Empty:",
            b"X-Space : x",
            b" folded",
            b"Upgrade: websocket",
            b"Content-Type: application/x-www-form-urlencoded",
            b"X-Long: " + b"x" * 9000,
            b"no colon",
            b"X-Nul: \0",
        )
    ),
    max_size=4,
)
requests = st.builds(
    lambda start, body, lines, host, length: request(start, body, *lines, host=host, length=length),
    starts,
    bodies,
    lines,
    st.sampled_from((b"hub.example:4000",) * 6 + (b"[::1]:4000", b"a b", b"", None)),
    st.sampled_from((None,) * 8 + (b"0", b"5", b"+5", b"-1", b"99999999", b"1_0", b"x")),
)


def talk(quick: bool, data: bytes, cuts: list[int]) -> tuple[bytes, bool, list[bytes]]:
    """What a hub answers to bytes that come in pieces, and to what it wrote of them."""
    hub = MemoryHub(shortcuts=frozenset(SHORTCUTS) if quick else OTHERS)
    client = hub.open_http()
    data = data.replace(b"TOKEN", hub.admin_token.encode())
    for start, end in pairwise(sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})):
        write(client, data[start:end])
        hub.settle()
    hub.advance(IDLE_S + 5)
    return DATE.sub(b"", client.received), client.lost, hub.audited


def write(client: HttpClient, data: bytes) -> None:
    transport: Any = client.transport
    transport.write(data)


def statuses(client: HttpClient) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1.1 (\d+) ", client.received)]


class SameTests(SynchronousTestCase):
    """With and without, everything is the same to the client."""

    maxDiff = None

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(
        st.lists(requests, min_size=1, max_size=4).map(b"".join),
        st.lists(st.integers(0, 600), max_size=6),
    )
    def test_any_requests(self, data: bytes, cuts: list[int]) -> None:
        """Any requests, good and bad, together or cut anywhere."""
        self.assertEqual(talk(True, data, cuts), talk(False, data, cuts))

    def test_each_start(self) -> None:
        """Each of them alone, with and without a token."""
        for start in starts.elements:  # type: ignore[attr-defined]
            for more in ((), (SIGNED,)):
                data = request(start, b"", *more)
                self.assertEqual(talk(True, data, []), talk(False, data, []), start)

    def test_cut_in_the_body(self) -> None:
        """A body that comes in pieces is one body, and what follows it is the next request."""
        data = request(b"POST /api/tasks HTTP/1.1", TASK, SIGNED)
        for at in (len(data) - len(TASK), len(data) - 1):
            told = talk(True, data + request(), [at])
            self.assertEqual(told, talk(False, data + request(), [at]))
            self.assertEqual(told[0].count(b"HTTP/1.1 20"), 2)


class TakenTests(SynchronousTestCase):
    """What goes by the shortcut, and how long things may take there."""

    def setUp(self) -> None:
        self.hub = MemoryHub()
        self.client = self.hub.open_http()
        write(self.client, request())
        self.hub.settle()
        (self.channel,) = self.hub.parts.site.door.channels
        self.slow: list[bytes] = []
        self.patch(self.channel, "lineReceived", self.slow.append)

    def test_is_used(self) -> None:
        """HTTP's own parser sees no plain request, whole or with its body in pieces."""
        data = request(b"POST /api/tasks HTTP/1.1", TASK, SIGNED)
        data = data.replace(b"TOKEN", self.hub.admin_token.encode())
        for piece in (data, data[:-10], data[-10:-5], data[-5:] + request()):
            write(self.client, piece)
            self.hub.settle()
        self.assertEqual(self.slow, [])
        self.assertEqual(statuses(self.client), [200, 201, 201, 200])

    def test_the_same_head_again(self) -> None:
        """Requests whose heads are alike, or differ a little, get their own answers."""
        first = request(b"POST /api/tasks HTTP/1.1", TASK, SIGNED)
        first = first.replace(b"TOKEN", self.hub.admin_token.encode())
        for data in (
            first,
            first.replace(b'"n": 1', b'"n": 2'),
            first.replace(b"Bearer ", b"Bearer 0"),
            first,
            first.replace(b"/api/tasks", b"/api/nothing"),
            first,
        ):
            write(self.client, data)
            self.hub.settle()
        self.assertEqual(statuses(self.client), [200, 201, 201, 401, 201, 404, 201])

    def test_is_not_used(self) -> None:
        """It sees all that is unusual, and what was asked together."""
        for data in (
            request(b"GET /health HTTP/1.1", b"", b"Expect: x"),
            request() + request(),
            request(b"GET /ws HTTP/1.1"),
            request(b"POST /api/tasks HTTP/1.1", b"x" * (SMALL_BODY + 1)),
        ):
            self.slow.clear()
            write(self.client, data)
            self.hub.settle()
            self.assertTrue(self.slow, data[:60])
            self.channel.requests.clear()

    def test_a_body_that_does_not_come(self) -> None:
        """It is answered 408, as any other."""
        write(self.client, request(b"POST /api/tasks HTTP/1.1", TASK, length=b"500"))
        self.hub.advance(40)
        self.assertEqual(statuses(self.client), [200, 408])
        self.assertTrue(self.client.lost)

    def test_a_slow_body_outlives_the_idle_time(self) -> None:
        """A body that began to come late in the idle time is taken as long as it comes."""
        data = request(b"POST /api/tasks HTTP/1.1", TASK, SIGNED)
        data = data.replace(b"TOKEN", self.hub.admin_token.encode())
        self.hub.advance(IDLE_S - 15)
        write(self.client, data[:-10])
        self.hub.advance(19)
        write(self.client, data[-10:])
        self.hub.settle()
        self.assertEqual(statuses(self.client), [200, 201])

    def test_a_long_poll_outlives_the_idle_time(self) -> None:
        """A request that waits for its answer is not silence, and silence ends the line."""
        agent = self.hub.token("a")
        first = request(b"GET /api/mailbox/a?wait=30 HTTP/1.1", b"", SIGNED)
        self.hub.advance(IDLE_S - 10)
        write(self.client, first.replace(b"TOKEN", agent.encode()))
        self.hub.advance(25)
        self.assertEqual(statuses(self.client), [200])
        self.hub.advance(10)
        self.assertEqual(statuses(self.client), [200, 200])
        self.hub.advance(IDLE_S - 10)
        self.assertFalse(self.client.lost)
        self.hub.advance(10)
        self.assertTrue(self.client.lost)

    def test_asked_meanwhile(self) -> None:
        """What is asked while an answer is waited for is answered after it, and so is the next."""
        waits = request(b"GET /api/mailbox/a?wait=30 HTTP/1.1", b"", SIGNED)
        write(self.client, waits.replace(b"TOKEN", self.hub.token("a").encode()))
        self.hub.settle()
        write(self.client, request(b"GET /nothing HTTP/1.1"))
        self.hub.settle()
        self.assertEqual(statuses(self.client), [200])
        del self.channel.lineReceived
        self.hub.advance(31)
        self.assertEqual(statuses(self.client), [200, 200, 404])
        write(self.client, request())
        self.hub.settle()
        self.assertEqual(statuses(self.client), [200, 200, 404, 200])

    def test_a_client_that_leaves(self) -> None:
        """What it asked for is done all the same, and nothing is logged."""
        data = request(b"POST /api/tasks HTTP/1.1", TASK, SIGNED)
        data = data.replace(b"TOKEN", self.hub.admin_token.encode())
        transport: Any = self.client.transport
        transport.write(data)
        transport.loseConnection()
        self.hub.settle()
        counted = self.hub.request("GET", "/api/tasks/stats").body
        self.assertEqual(counted["by_status"]["queued"], 1)
