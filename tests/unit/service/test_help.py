"""``twistd agentcom --help``: what a newcomer copies from it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.tap import EXAMPLES, Options


class HelpTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """The examples come last, one a line, and leave no pid file behind."""
        shown = str(Options())
        self.assertTrue(shown.endswith(EXAMPLES))
        self.assertIn("--data-dir", shown.removesuffix(EXAMPLES))
        first, *examples = EXAMPLES.splitlines()
        self.assertEqual(first, "Examples:")
        for example in examples:
            self.assertTrue(example.startswith("  twistd -n --pidfile= agentcom"), example)
