"""Hostile inputs as data: what is sent, step by step, and what each gets.

``docs/security.rst`` has the same names and answers; ``test_table.py`` sends
them all and compares both.  In bytes, ``@ADMIN@`` and ``@WORKER@`` stand for
tokens; a number is so many seconds in which nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.hostile.feeds import nested
from tests.integration.rawsocket import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame, handshake

Step = bytes | float
Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Attack:
    """One hostile input.

    :ivar gets: the answers in order, and what becomes of the line.
    :ivar frames: whether the answers after the handshake are frames.
    """

    name: str
    steps: Steps
    gets: str
    frames: bool = False


def head(*lines: str, start: str = "GET /health HTTP/1.1") -> bytes:
    """A request's head with a good Host."""
    return "\r\n".join([start, "Host: hub", *lines, "", ""]).encode("latin-1")


def bare_head(start: str, *lines: str) -> bytes:
    """A request's head as it is."""
    return "\r\n".join([start, *lines, "", ""]).encode("latin-1")


PUSH = "POST /api/admin/push-task HTTP/1.1"
ADMIN = "Authorization: Bearer @ADMIN@"
EVIL = b'{"agent_id":"good","description":"evil"}'
SMUGGLED = head(ADMIN, f"Content-Length: {len(EVIL)}", start=PUSH) + EVIL
"""Must never be run: it stands behind what may be taken for a body."""

MESSAGE = "POST /api/message HTTP/1.1"


def post(body: bytes, *lines: str, start: str = PUSH) -> bytes:
    """A request with a body, of an administrator."""
    return head(ADMIN, f"Content-Length: {len(body)}", *lines, start=start) + body


def get(path: str, *lines: str) -> bytes:
    """A request of an administrator."""
    return head(ADMIN, *lines, start=f"GET {path} HTTP/1.1")


def drip(data: bytes, every_s: float) -> Steps:
    """Bytes one at a time."""
    return tuple(part for byte in data for part in (bytes([byte]), every_s))


BAD = "400 bad_request; closed"
LATE = "408 request_timeout; closed"
OK = "200; open"
NOTHING_THERE = "404 not_found; open"

LINES = [
    Attack("a line that says nothing for 60 s", (62.0,), "closed"),
    Attack("random bytes without a line end", (b"\x00\xff\xfe" * 9, 12.0), LATE),
    Attack("a TLS hello on a plain port", (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 12.0), LATE),
    Attack("the banner of SSH", (b"SSH-2.0-OpenSSH_9.6\r\n",), BAD),
    Attack("the preface of HTTP/2", (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",), BAD),
    Attack("HTTP/0.9", (b"GET /\r\n",), BAD),
    Attack("HTTP/9.9", (head(start="GET / HTTP/9.9"),), BAD),
    Attack("two spaces in the request line", (head(start="GET  / HTTP/1.1"),), BAD),
    Attack("a tab in the request line", (head(start="GET\t/ HTTP/1.1"),), BAD),
    Attack("NUL in the path", (head(start="GET /\0 HTTP/1.1"),), BAD),
    Attack("a method that is no word", (head(start="G(T / HTTP/1.1"),), BAD),
    Attack("a request line of 20 KB", (b"GET /" + b"x" * 20_000,), "414 uri_too_long; closed"),
    Attack("line ends without CR", (b"GET /health HTTP/1.1\nHost: hub\n\n", 12.0), LATE),
    Attack("an absolute address", (head(start="GET http://evil/health HTTP/1.1"),), NOTHING_THERE),
    Attack("CONNECT", (head(start="CONNECT evil:443 HTTP/1.1"),), NOTHING_THERE),
    Attack("TRACE", (head(start="TRACE /health HTTP/1.1"),), "405 method_not_allowed; open"),
    Attack("OPTIONS *", (head(start="OPTIONS * HTTP/1.1"),), "200; open"),
    Attack(
        "a method there is not", (head(start="BREW / HTTP/1.1"),), "405 method_not_allowed; open"
    ),
]

HEADERS = [
    Attack("a header without a colon", (head("x"),), BAD),
    Attack("a header without a name", (head(": x"),), BAD),
    Attack("a space before the colon", (head("X : y"),), BAD),
    Attack("NUL in a header", (head("X: a\0b"),), BAD),
    Attack("a bare CR in a header", (head("X: a\rb"),), BAD),
    Attack("a bad header, then a good request", (head("x", "Y: z") + SMUGGLED,), BAD),
    Attack("a header of 20 KB", (head("X: " + "x" * 20_000),), "431 headers_too_large; closed"),
    Attack(
        "20 KB of headers",
        (head(*[f"X{n}: " + "x" * 500 for n in range(40)]),),
        "431 headers_too_large; closed",
    ),
    Attack("600 headers", (head(*["X: y"] * 600),), "431 headers_too_large; closed"),
    Attack("a cookie of 15 KB", (head("Cookie: " + "a=b; " * 3_000),), "200; open"),
    Attack("two Hosts", (head("Host: evil"),), "400 invalid_host; open"),
    Attack(
        "a Host that is no name",
        (bare_head("GET / HTTP/1.1", "Host: <x>"),),
        "400 invalid_host; open",
    ),
    Attack(
        "a Host that is not UTF-8",
        (bare_head("GET / HTTP/1.1", "Host: \xff"),),
        "400 invalid_host; open",
    ),
    *[
        Attack(f"a Host {what}", (bare_head("GET /health HTTP/1.1", f"Host: {host}"),), OK)
        for what, host in (
            ("of two dots", ".."),
            ("of dots in brackets", "[....]"),
            ("with two dots in it", "a..b"),
            ("of a dot and a port", ".:1"),
            ("of 64 letters", "a" * 64),
            ("that begins as Punycode", "xn--a"),
        )
    ],
    Attack("an upgrade to HTTP/2", (head("Connection: Upgrade", "Upgrade: h2c"),), "200; open"),
    Attack(
        "a forged X-Forwarded-For of 10 KB",
        (head("X-Forwarded-For: " + "1.2.3.4," * 1_250),),
        "200; open",
    ),
]

BODIES = [
    Attack(
        "two lengths that differ",
        (head("Content-Length: 5", "Content-Length: 6", start=MESSAGE) + SMUGGLED,),
        BAD,
    ),
    Attack(
        "two lengths that differ, and a header after them",
        (head("Content-Length: 0", "Content-Length: 6", "X: y", start=MESSAGE) + SMUGGLED,),
        BAD,
    ),
    Attack(
        "a length, and chunks",
        (head("Content-Length: 4", "Transfer-Encoding: chunked", start=MESSAGE) + SMUGGLED,),
        BAD,
    ),
    Attack(
        "chunks, and a length",
        (head("Transfer-Encoding: chunked", "Content-Length: 4", start=MESSAGE) + SMUGGLED,),
        BAD,
    ),
    Attack("a list of lengths", (head("Content-Length: 0, 0", start=MESSAGE) + SMUGGLED,), BAD),
    Attack("a length with a sign", (head("Content-Length: +0", start=MESSAGE) + SMUGGLED,), BAD),
    Attack("a length below zero", (head("Content-Length: -1", start=MESSAGE),), BAD),
    Attack("a length in hexadecimal", (head("Content-Length: 0x0", start=MESSAGE),), BAD),
    Attack(
        "a length of 5 000 digits", (head("Content-Length: " + "9" * 5_000, start=MESSAGE),), BAD
    ),
    Attack(
        "a length folded over two lines",
        (head("Content-Length: 0", "\t5", start=MESSAGE) + SMUGGLED,),
        BAD,
    ),
    Attack(
        "an encoding there is not",
        (head("Transfer-Encoding: xchunked", start=MESSAGE) + SMUGGLED,),
        BAD,
    ),
    Attack(
        "chunks within gzip",
        (head("Transfer-Encoding: gzip, chunked", start=MESSAGE) + SMUGGLED,),
        BAD,
    ),
    Attack(
        "an encoding behind a vertical tab",
        (head("Transfer-Encoding: \x0bchunked", start=MESSAGE) + SMUGGLED,),
        BAD,
    ),
    Attack(
        "a chunk whose size is no number",
        (head(ADMIN, "Transfer-Encoding: chunked", start=PUSH) + b"zz\r\n" + SMUGGLED,),
        BAD,
    ),
    Attack(
        "a chunk below zero",
        (head(ADMIN, "Transfer-Encoding: chunked", start=PUSH) + b"-1\r\n" + SMUGGLED,),
        BAD,
    ),
    Attack(
        "a chunk longer than its size",
        (
            head(ADMIN, "Transfer-Encoding: chunked", start=PUSH)
            + b"1\r\n{}\r\n0\r\n\r\n"
            + SMUGGLED,
        ),
        BAD,
    ),
    Attack(
        "a chunk of 2^64 bytes",
        (head(ADMIN, "Transfer-Encoding: chunked", start=PUSH) + b"f" * 16 + b"\r\n{", 40.0),
        LATE,
    ),
    Attack(
        "1 GiB announced",
        (head(ADMIN, "Content-Length: 1073741824", start=PUSH) + b"{", 2.0),
        "413 body_too_large; closed",
    ),
    Attack(
        "1 GiB announced, asking to go on",
        (head(ADMIN, "Content-Length: 1073741824", "Expect: 100-continue", start=PUSH), 2.0),
        "413 body_too_large; closed",
    ),
    Attack(
        "1 GiB announced by a stranger",
        (head("Content-Length: 1073741824", start=PUSH) + b"{", 2.0),
        "401 unauthorized; closed",
    ),
    Attack(
        "chunks of a stranger",
        (head("Transfer-Encoding: chunked", start=PUSH) + b"10000\r\n", 2.0),
        "401 unauthorized; closed",
    ),
    Attack(
        "chunks without end",
        (
            head(ADMIN, "Transfer-Encoding: chunked", start=PUSH),
            *[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 17,
            2.0,
        ),
        "413 body_too_large; closed",
    ),
    Attack(
        "1 MiB and a byte for a route without a body",
        (head("Transfer-Encoding: chunked") + b"100001\r\n" + b"x" * (2**20 + 1), 2.0),
        "413 body_too_large; closed",
    ),
]

TIMES = [
    Attack("a head that stops half-way", (b"GET /health HTTP/1.1\r\nHost: ", 12.0), LATE),
    Attack("a head at a byte a second", drip(head(), 1.0)[:26], LATE),
    Attack("a second head that stops", (head() + b"GET /he", 12.0), f"200, {LATE}"),
    Attack("a handshake that stops half-way", (b"GET /ws HTTP/1.1\r\nHost: ", 12.0), LATE),
    Attack("a handshake at a byte a second", drip(b"GET /ws HTTP/1.1\r\n", 1.0)[:26], LATE),
    Attack(
        "a body that stops half-way",
        (head(ADMIN, "Content-Length: 9", start=PUSH) + b"{", 33.0),
        LATE,
    ),
    Attack(
        "a body at a byte a second",
        (head(ADMIN, "Content-Length: 99", start=PUSH), *drip(b"{" + b" " * 40, 1.0)),
        LATE,
    ),
    Attack(
        "chunks at a byte a second",
        (head(ADMIN, "Transfer-Encoding: chunked", start=PUSH), *drip(b"1\r\n \r\n" * 6, 1.0)),
        LATE,
    ),
    Attack("nothing for 60 s after an answer", (head(), 62.0), "200; closed"),
]

PATHS = [
    Attack(f"the path {path}", (head(start=f"GET {path} HTTP/1.1"),), NOTHING_THERE)
    for path in (
        "/dashboard/../../etc/passwd",
        "/dashboard/%2e%2e/%2e%2e/etc/passwd",
        "/dashboard/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/health/",
        "/%00",
        "/%ff%fe",
        "/%zz",
    )
]
INVALID_QUERY = "422 validation_failed; open"
PATHS += [
    Attack(f"the query {query}", (get(f"/api/tasks?{query}"),), INVALID_QUERY)
    for query in (
        "limit=-1",
        "limit=1e3",
        "limit=99999999999999999999",
        "limit=%D9%A3",
        "cursor=%ff",
    )
]
PATHS += [
    Attack("500 parameters", (get("/api/tasks?" + "&".join(["a=b"] * 500)),), "200; open"),
]

INVALID = "400 invalid_json; open"
JSON = [
    Attack("a body that is no JSON", (post(b"agent_id=x"),), INVALID),
    Attack("JSON that stops", (post(b'{"agent_id":"x"'),), INVALID),
    Attack("10 000 arrays in each other", (post(nested(b"[", b"]")),), INVALID),
    Attack("10 000 objects in each other", (post(nested(b'{"a":', b"}")),), INVALID),
    Attack(
        "100 arrays in each other, in a field",
        (post(b'{"agent_id":"x","description":"x","payload":' + nested(b"[", b"]", 100) + b"}"),),
        INVALID,
    ),
    Attack("JSON that is not UTF-8", (post(b'{"agent_id":"\xff"}'),), INVALID),
    Attack("JSON in UTF-16", (post('{"agent_id":"x"}'.encode("utf-16")),), INVALID),
    Attack("half of a surrogate pair", (post(b'{"agent_id":"\\ud800"}'),), INVALID),
    Attack("NaN", (post(b'{"agent_id":NaN}'),), INVALID),
    Attack("an array in place of an object", (post(b"[1]"),), INVALID),
    Attack(
        "a number of 5 000 digits",
        (post(b'{"agent_id":"x","description":"x","deadline_s":' + b"9" * 5_000 + b"}"),),
        INVALID,
    ),
    Attack(
        "an agent id with markup",
        (post(b'{"agent_id":"<img onerror=x>"}', start="POST /admin/tokens HTTP/1.1"),),
        "422 validation_failed; open",
    ),
]

DENIED = "401 unauthorized; open"
TOKENS = [
    Attack("no token", (head(start="GET /api/tasks HTTP/1.1"),), DENIED),
    *[
        Attack(name, (head(f"Authorization: {value}", start="GET /api/tasks HTTP/1.1"),), DENIED)
        for name, value in (
            ("a token there is not", "Bearer nobody"),
            ("an empty token", "Bearer "),
            ("a token that is not ASCII", "Bearer \xff\xfe"),
            ("a token of 9 KB", "Bearer " + "x" * 9_000),
            ("a password in place of a token", "Basic YWRtaW46YWRtaW4="),
        )
    ],
    Attack(
        "a good token in the query of a route that takes none there",
        (head(start="GET /api/tasks?token=@ADMIN@ HTTP/1.1"),),
        DENIED,
    ),
    Attack(
        "an agent's token on an administrator's route",
        (head("Authorization: Bearer @WORKER@", start="GET /admin/tokens HTTP/1.1"),),
        "403 forbidden; open",
    ),
    Attack(
        "an agent that reads another one's mailbox",
        (head("Authorization: Bearer @WORKER@", start="GET /api/mailbox/good HTTP/1.1"),),
        "403 forbidden; open",
    ),
]

FOREIGN = "403 origin_not_allowed; open"
BROWSERS = [
    Attack(
        "a page of another site that reads", (get("/api/tasks", "Origin: https://evil"),), FOREIGN
    ),
    Attack("a page without an origin that reads", (get("/api/tasks", "Origin: null"),), FOREIGN),
    Attack(
        "a page of another site that pushes",
        (post(EVIL, "Origin: https://hub.evil", "Content-Type: text/plain"),),
        FOREIGN,
    ),
    Attack(
        "a form of another site that signs in",
        (
            head(
                "Content-Type: text/plain",
                "Content-Length: 19",
                start="POST /api/session HTTP/1.1",
            )
            + b'{"token":"1234567"}',
        ),
        FOREIGN,
    ),
    Attack(
        "a cookie that no sign-in gave",
        (head("Cookie: agentcom_session=" + "a" * 64, start="GET /api/tasks HTTP/1.1"),),
        DENIED,
    ),
    Attack(
        "a thousand cookies of a session",
        (head("Cookie: " + "agentcom_session=x;" * 800, start="GET /api/tasks HTTP/1.1"),),
        DENIED,
    ),
]


def shake(*lines: str, start: str = "GET /ws HTTP/1.1") -> bytes:
    """An opening handshake whose good headers are these."""
    return head("Upgrade: websocket", "Connection: Upgrade", *lines, start=start)


KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = "Sec-WebSocket-Version: 13"
UPGRADE = "426 upgrade_required; open"
HANDSHAKES = [
    Attack("a handshake without a key", (shake(VERSION),), UPGRADE),
    Attack("a handshake with a short key", (shake(VERSION, "Sec-WebSocket-Key: eA=="),), UPGRADE),
    Attack("a handshake with two keys", (shake(VERSION, KEY, KEY),), UPGRADE),
    Attack("a handshake of version 8", (shake("Sec-WebSocket-Version: 8", KEY),), UPGRADE),
    Attack(
        "a handshake by a page of another site",
        (shake(VERSION, KEY, "Origin: https://evil"),),
        FOREIGN,
    ),
    Attack("a handshake by POST", (shake(VERSION, KEY, start="POST /ws HTTP/1.1"),), UPGRADE),
    Attack("a page's GET of /ws", (head(start="GET /ws HTTP/1.1"),), UPGRADE),
]

IDENTIFY = frame(b'{"type":"identify","agent_id":"worker","token":"@WORKER@","presence":"none"}')


def said(name: str, gets: str, *steps: Step, identified: bool = False) -> Attack:
    """Frames after a good handshake."""
    opening: Steps = (handshake(4000), IDENTIFY) if identified else (handshake(4000),)
    return Attack(name, opening + steps, gets, frames=True)


BROKEN = "close 1002"


def _frames() -> Iterator[Attack]:
    yield said("a frame without a mask", BROKEN, frame(b"x", masked=False))
    yield said("a frame of an opcode there is not", BROKEN, frame(b"x", 3))
    yield said("a frame with a reserved bit", BROKEN, frame(b"x", reserved=4))
    yield said("a ping of 126 bytes", BROKEN, frame(b"x" * 126, PING))
    yield said("a ping in fragments", BROKEN, frame(b"x", PING, final=False))
    yield said("a fragment of nothing", BROKEN, frame(b"x", CONTINUATION))
    begun = frame(b"x", TEXT, final=False)
    yield said("a message within a message", BROKEN, begun + frame(b"y", TEXT))
    yield said("a close frame of one byte", BROKEN, frame(b"\x03", CLOSE))
    yield said("a close frame with the code 1005", BROKEN, frame(b"\x03\xed", CLOSE))
    yield said("text that is not UTF-8", "close 1007", frame(b"\xff"))
    yield said("64 KiB and a byte of a stranger", "close 1009", frame(b"x" * 65_537))
    yield said("2^63 bytes announced", "close 1009", frame(b"x", length=2**63 - 1))
    yield said(
        "1 MiB and a byte of an agent",
        "close 1009",
        frame(b"x" * (2**20 + 1)),
        identified=True,
    )
    yield said("a frame of bytes", "error invalid_json; open", frame(b"{}", BINARY))
    yield said("a frame that is no JSON", "error invalid_json; open", frame(b"hello"))
    deep = frame(b'{"type":"identify","x":' + nested(b"[", b"]") + b"}")
    yield said("a frame that is too deep", "error invalid_json; open", deep)
    yield said("a type there is not", "error unknown_message_type; open", frame(b'{"type":"sudo"}'))
    push = b'{"type":"task_submit","description":"x"}'
    yield said("work before identify", "error not_identified; open", frame(push))
    wrong = b'{"type":"identify","agent_id":"worker","token":"nobody"}'
    yield said("identify with a token there is not", "error invalid_token; open", frame(wrong))
    other = b'{"type":"identify","agent_id":"good","token":"@WORKER@"}'
    yield said("identify as another", "error token_agent_mismatch; open", frame(other))
    bad = ", ".join(["error invalid_json"] * 10)
    yield said("ten bad frames", f"{bad}, close 1008", frame(b"x") * 12)
    yield said("no identify for 10 s", "close 4008", 11.0)
    yield said("pings in place of identify", "close 4008", *(frame(b"", PING), 1.0) * 11)
    yield said(
        "a frame that stops half-way", BROKEN, frame(b"{", length=500), 42.0, identified=True
    )
    yield said(
        "a frame at a byte a second",
        BROKEN,
        *drip(frame(b"x" * 90), 1.0)[:100],
        identified=True,
    )
    yield said(
        "a frame at a byte every 20 s",
        BROKEN,
        *drip(frame(b"x" * 90)[:3], 20.0),
        identified=True,
    )
    yield said(
        "a large frame at a byte a second",
        BROKEN,
        *drip(frame(b"x" * 99, length=70_000), 1.0)[:140],
        identified=True,
    )
    yield said(
        "fragments without end",
        BROKEN,
        frame(b"", final=False),
        *(frame(b"", CONTINUATION, final=False), 1.0) * 42,
        identified=True,
    )


TABLE: dict[str, list[Attack]] = {
    "Request lines": LINES,
    "Headers": HEADERS,
    "Bodies": BODIES,
    "Time": TIMES,
    "Paths and queries": PATHS,
    "JSON": JSON,
    "Tokens": TOKENS,
    "Pages of other sites": BROWSERS,
    "Handshakes": HANDSHAKES,
    "Frames": list(_frames()),
}
