"""What is taken for a plain request, and what is left to HTTP."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.shortcuts.heads import MOST_HEAD, Plain, plain

HEAD = (
    b"POST /api/tasks?a=1?b HTTP/1.1\r\nHost: hub:4000\r\nX-One:  two \r\nContent-Length: 5\r\n\r\n"
)


heads = st.builds(
    lambda start, lines: b"\r\n".join([start, *lines, b"", b""]),
    st.sampled_from((b"POST /x HTTP/1.1", b"POST /x?y HTTP/1.1", b"GET /x HTTP/1.1", b"GET /x")),
    st.lists(
        st.sampled_from((b"Host: hub", b"A: b", b"Content-Length: 5", b"Content-Length: 55", b"")),
        max_size=4,
    ),
)


def told(found: Plain | None) -> object:
    """Everything that is known of a request."""
    if found is None:
        return None
    head = found.head
    return (
        (head.raw, head.method, head.target, head.path, head.query, head.headers, head.length),
        (found.method, found.path, found.headers, found.body, found.missing),
    )


class PlainTests(SynchronousTestCase):
    """One pass over the bytes."""

    def test_taken(self) -> None:
        """Method, path, query, headers and body are what they say."""
        found = plain(HEAD + b"hello")
        assert found is not None
        self.assertEqual(
            (found.method, found.path, found.head.query), (b"POST", b"/api/tasks", b"a=1?b")
        )
        self.assertEqual(
            found.headers, {b"host": b"hub:4000", b"x-one": b"two", b"content-length": b"5"}
        )
        self.assertEqual((found.body, found.missing), (b"hello", 0))

    @given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=5))
    def test_in_pieces(self, more: bytes, cuts: list[int]) -> None:
        """A body is put together of its pieces, and what follows it is over."""
        found = plain(HEAD)
        assert found is not None
        places = [0, *sorted(min(cut, len(more)) for cut in cuts), len(more)]
        over = b"".join(found.add(more[start:end]) for start, end in pairwise(places))
        self.assertEqual((found.body, over), (more[:5], more[5:]))
        self.assertEqual(found.missing, max(0, 5 - len(more)))

    def test_known_head(self) -> None:
        """A head that came before is not parsed again, and its body is the new one's."""
        first = plain(HEAD + b"hello")
        assert first is not None
        again = plain(HEAD + b"world", first.head)
        assert again is not None
        self.assertIs(again.head, first.head)
        self.assertEqual((again.body, again.missing), (b"world", 0))
        self.assertIsNone(plain(HEAD + b"world, and more", first.head))

    @given(heads, heads, st.binary(max_size=8))
    def test_any_head_before(self, before: bytes, data: bytes, body: bytes) -> None:
        """What came before changes nothing of what is found, or not found."""
        earlier = plain(before)
        self.assertEqual(
            told(plain(data + body, None if earlier is None else earlier.head)),
            told(plain(data + body)),
        )

    def test_left_to_http(self) -> None:
        """Whatever is not plain."""
        good = b"GET /x HTTP/1.1\r\nHost: hub\r\n\r\n"
        self.assertIsNotNone(plain(good))
        for what, data in {
            "a part of the head": good[:-1],
            "two requests": good + good,
            "another version": good.replace(b"1.1", b"1.0"),
            "another method": good.replace(b"GET", b"HEAD"),
            "no path": good.replace(b"/x", b"*"),
            "a whole URL": good.replace(b"/x", b"http://hub/x"),
            "a control character": good.replace(b"hub", b"h\0ub"),
            "a bare line feed": good.replace(b"hub", b"hub\nX: y"),
            "no host": good.replace(b"Host", b"Hose"),
            "a host that is none": good.replace(b"hub", b"h/ub"),
            "a folded line": good.replace(b"hub", b"hub\r\n more"),
            "a space before the colon": good.replace(b"Host:", b"Host :"),
            "a name twice": good.replace(b"\r\n\r\n", b"\r\nhost: hub\r\n\r\n"),
            "a long head": good.replace(b"\r\n\r\n", b"\r\nX: %b\r\n\r\n" % (b"x" * MOST_HEAD)),
            "an upgrade": good.replace(b"\r\n\r\n", b"\r\nUpgrade: x\r\n\r\n"),
            "a cookie": good.replace(b"\r\n\r\n", b"\r\nCookie: a=b\r\n\r\n"),
            "chunks": good.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "an end": good.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
            "no number": good.replace(b"\r\n\r\n", b"\r\nContent-Length: +1\r\n\r\n"),
            "a huge number": good.replace(b"\r\n\r\n", b"\r\nContent-Length: 11111111\r\n\r\n"),
        }.items():
            self.assertIsNone(plain(data), what)
