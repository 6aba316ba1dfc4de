"""Tests of labels, from the command line to the JSON of a submission."""

from __future__ import annotations

import click
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom.cli import words
from agentcom.cli.labels import label_tests
from agentcom.wire.tasks import LabelWants

OPTION = click.Option(["--label"])
CONTEXT = click.Context(click.Command("x"))


def read(*given: str) -> dict[str, object] | None:
    return label_tests(CONTEXT, OPTION, given)


class LabelTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Each form becomes the test that it looks like, and one that the hub takes."""
        for text, wanted in (
            ("os=linux", {"os": "linux"}),
            (" os = linux ", {"os": "linux"}),
            ("os=", {"os": ""}),
            ("os=a=b", {"os": "a=b"}),
            ("os=a!=b", {"os": "a!=b"}),
            ("os!=linux", {"os": {"!=": "linux"}}),
            ("os in linux, mac", {"os": {"in": ["linux", "mac"]}}),
            ("in in in", {"in": {"in": ["in"]}}),
            ("gpu", {"gpu": {"exists": True}}),
            ("!gpu", {"gpu": {"exists": False}}),
            ("a.b/c:d@e-1", {"a.b/c:d@e-1": {"exists": True}}),
        ):
            self.assertEqual(read(text), wanted, text)
            msgspec.convert(wanted, LabelWants)

    def test_nothing(self) -> None:
        """No tests are none, not an empty object."""
        self.assertIsNone(read())

    def test_merged(self) -> None:
        """Several tests of one label become one object; saying one twice changes nothing."""
        found = read("os=linux", "os!=mac", "os in a,b", "os", "os=linux", "arch=arm")
        self.assertEqual(
            found,
            {
                "os": {"=": "linux", "!=": "mac", "in": ["a", "b"], "exists": True},
                "arch": "arm",
            },
        )
        msgspec.convert(found, LabelWants)

    def test_nonsense(self) -> None:
        """What is no test is refused, and shown how one looks."""
        for text in (
            "=x", "!", "!a=b", "!a in b", "a b", "a in", "a notin b", "a==b", "a~=b",
            "a>=3", "a in(b)", "a,b",
        ):  # fmt: skip
            with self.assertRaises(click.BadParameter, msg=text) as caught:
                read(text)
            self.assertIn("os in linux,mac", str(caught.exception))

    def test_nothing_beside_a_comma(self) -> None:
        """A list with a hole in it is a slip of the hand."""
        for text in ("os in linux,", "os in ,linux", "os in a,,b"):
            with self.assertRaises(click.BadParameter) as caught:
                read(text)
            self.assertIn("nothing beside a comma", str(caught.exception))

    def test_contradictions(self) -> None:
        """Tests that no agent can pass, or that cannot be asked together, are refused."""
        for given, told in (
            (("os", "!os"), "have the label 'os' and not have it"),
            (("os=a", "os=b"), "'os in A,B' takes either"),
            (("os!=a", "os!=b"), "only one test with '!='"),
            (("os in a", "os in b"), "only one test with 'in'"),
        ):
            with self.assertRaises(click.BadParameter) as caught:
                read(*given)
            self.assertIn(told, str(caught.exception))

    def test_not_utf8(self) -> None:
        """Bytes that are no text, and no text at all, are refused."""
        for text in ("os=\udcff", "", " "):
            with self.assertRaises(click.BadParameter):
                read(text)


class WordsTests(SynchronousTestCase):
    def test_labels_in_words(self) -> None:
        """A task's labels are shown as they were typed."""
        given = ["os=linux", "os!=mac", "arch in a,b", "gpu", "!slow"]
        self.assertEqual(words.needs(["py"], read(*given)), ", ".join(["py", *given]))

    def test_rules_of_events(self) -> None:
        """So are the rules that an event has."""
        rules = [
            {"key": "os", "op": "=", "values": ["linux"]},
            {"key": "arch", "op": "in", "values": ["a", "b"]},
            {"key": "gpu", "op": "exists", "values": []},
            {"key": "slow", "op": "absent", "values": []},
        ]
        self.assertEqual(words.needs([], rules), "os=linux, arch in a,b, gpu, !slow")

    def test_unknown_forms(self) -> None:
        """What this version does not know is shown as it came."""
        self.assertEqual(words.needs(None, {"mem": {">": 5}}), "mem > 5")
        self.assertEqual(words.needs(None, [{"odd": 1}, 2]), '{"odd": 1}, 2')
        self.assertEqual(words.needs("x", "y"), "")

    def test_agent(self) -> None:
        """An agent is shown in words; what it does not say is left out."""
        info = {
            "agent_id": "bot",
            "name": "Bot",
            "status": "fine",
            "slots": 2,
            "capabilities": ["a", "b"],
            "labels": {"os": "linux"},
        }
        self.assertEqual(words.agent(info), "Bot, fine, 2 slots, can a, b, labels os=linux")
        self.assertEqual(words.agent({"agent_id": "bot", "name": "bot", "slots": 1}), "1 slot")
