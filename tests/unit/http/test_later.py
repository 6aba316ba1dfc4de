"""An answer that comes by a call."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.http.route import Answer, Later

ANSWER = Answer(200, {})


class LaterTests(SynchronousTestCase):
    """It is heard once, whatever comes first."""

    def test_given_first(self) -> None:
        """An answer that is there already is told at once."""
        later, heard = Later(), list[Answer]()
        later.give(ANSWER)
        later.hear(heard.append)
        self.assertEqual(heard, [ANSWER])

    def test_given_later(self) -> None:
        """An answer that comes later is told then."""
        later, heard = Later(), list[Answer]()
        later.hear(heard.append)
        self.assertEqual(heard, [])
        later.give(ANSWER)
        self.assertEqual(heard, [ANSWER])
