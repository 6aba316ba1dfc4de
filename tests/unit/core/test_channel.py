"""How channels are named."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core.channel import normalised


class NameTests(SynchronousTestCase):
    """Names as people write them, and as they are stored."""

    def test_names(self) -> None:
        """The ``#`` goes, capitals become small, what is not ``a-z0-9-_`` goes."""
        for written, stored in (
            ("#Builds", "builds"),
            ("##a", "a"),
            ("a b/c.d", "abcd"),
            ("dev-ops_2", "dev-ops_2"),
            ("größe", "gre"),
            ("\u212a", "k"),
            ("#", ""),
            ("\u4f60\u597d", ""),
            ("a\n", "a"),
            ("\u0661", ""),
        ):
            self.assertEqual(normalised(written), stored, repr(written))

    @settings(deadline=None, max_examples=200)
    @given(st.text(max_size=80))
    def test_any_text(self, written: str) -> None:
        """A stored name is plain, no longer than its text by much, and its own stored name."""
        stored = normalised(written)
        self.assertRegex(stored, r"\A[a-z0-9_-]*\Z")
        self.assertEqual(normalised(stored), stored)
        self.assertEqual(normalised("#" + written), stored)
