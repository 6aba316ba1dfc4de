"""A plain request, taken out of the bytes in which it came.

Nearly every request comes with its head in one read and nothing unusual in
it.  Whatever is not so is not judged here: :func:`plain` says ``None``, and
HTTP's own parser sees the same bytes.
"""

from __future__ import annotations

import re

MOST_HEAD = 8 * 1024
"""Bytes of a head; HTTP's own limits judge a longer one."""

UNUSUAL = frozenset(
    (b"transfer-encoding", b"expect", b"upgrade", b"cookie", b"trailer", b"te", b"http2-settings")
)
"""Headers that are for HTTP's part to judge."""

_HEAD = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (/[!-~]*) HTTP/1\.1\r\n"
    rb"((?:[!#-'*+.0-9A-Z^-z|~-]+:[^\0\r\n]*\r\n){1,64})\r\n"
)
_HOST = re.compile(rb"[A-Za-z0-9._-]+(:\d{1,5})?\Z")


class Head:
    """The head of a plain request.

    :ivar raw: its bytes, with the empty line at their end.
    :ivar target: what follows the method, as it came.
    :ivar path: of the target, without the query.
    :ivar query: of the target, ``None`` where there is none.
    :ivar headers: values by name, in lower case.
    :ivar length: bytes of the body.
    :ivar fields: the headers in the form of whoever serves the request, once it has made it.
    """

    __slots__ = ("fields", "headers", "length", "method", "path", "query", "raw", "target")

    def __init__(
        self, raw: bytes, method: bytes, target: bytes, headers: dict[bytes, bytes], length: int
    ) -> None:
        self.raw = raw
        self.method = method
        self.target = target
        self.path, mark, query = target.partition(b"?")
        self.query = query if mark else None
        self.headers = headers
        self.length = length
        self.fields: dict[bytes, list[bytes]] | None = None


class Plain:
    """A request.

    :ivar head: its head; the next attributes are that one's.
    :ivar body: what has come of it.
    :ivar missing: bytes of it that have not come.
    """

    __slots__ = ("body", "head", "headers", "method", "missing", "path")

    def __init__(self, head: Head, body: bytes) -> None:
        self.head = head
        self.method = head.method
        self.path = head.path
        self.headers = head.headers
        self.body = body
        self.missing = head.length - len(body)

    def add(self, data: bytes) -> bytes:
        """Add to the body what came; gives what is over."""
        self.body += data[: self.missing]
        over = data[self.missing :]
        self.missing -= len(data) - len(over)
        return over


def plain_head(data: bytes) -> tuple[bytes, bytes, dict[bytes, bytes], int] | None:
    """Method, target, headers and length of the head that ``data`` begins with; ``None`` where
    it is not whole, says something twice, or names no host in the usual way."""
    found = _HEAD.match(data)
    if found is None or found.end() > MOST_HEAD:
        return None
    method, target, block = found.groups()
    lines = block.split(b"\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip(b" \t")
    # The last line is empty.  Fewer names than lines: one stands there twice.
    del headers[b""]
    if len(headers) != len(lines) - 1 or not _HOST.match(headers.get(b"host", b"")):
        return None
    return method, target, headers, found.end()


def plain(data: bytes, before: Head | None = None) -> Plain | None:
    """The request that ``data`` begins with; ``None`` where its head is not whole, or has
    anything unusual, or where more than this request is there.

    :param before: of an earlier request.  Who asks again nearly always says the same, byte
        for byte, and what is compared need not be parsed.
    """
    if before is not None and data.startswith(before.raw):
        head = before
    else:
        parsed = _head(data)
        if parsed is None:
            return None
        head = parsed
    body = data[len(head.raw) :]
    return Plain(head, body) if len(body) <= head.length else None


def _head(data: bytes) -> Head | None:
    found = plain_head(data)
    if found is None:
        return None
    method, target, headers, end = found
    if not UNUSUAL.isdisjoint(headers):
        return None
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 7:
        return None
    if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    return Head(data[:end], method, target, headers, int(length))
