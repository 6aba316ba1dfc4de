"""``agentcom inbox``: what it asks, and what it shows."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionRefusedError

from tests.unit.cli.fakes import CommandTestCase

PATH = "GET /api/mailbox/bot"


def letters(*seqs: int, **fields: Any) -> tuple[int, Any]:
    """A mailbox with these messages."""
    messages = [
        {
            "seq": seq,
            "id": f"m{seq}",
            "from": "bob",
            "to": "bot",
            "message_type": "chat",
            "payload": {"text": f"text {seq}"},
            "timestamp": 1_700_000_000_000,
            **fields,
        }
        for seq in seqs
    ]
    last = seqs[-1] if seqs else 0
    return 200, {"agent_id": "bot", "messages": messages, "last_seq": last, "dropped": 0}


class InboxTests(CommandTestCase):
    """The command on a fake hub."""

    def pages(self, *pages: Any) -> None:
        """What the hub answers to one look after the other; then it is down."""
        self.hub.down = None
        left = list(pages)

        def answer(_: Any) -> Any:
            if len(left) == 1:
                self.hub.down = ConnectionRefusedError()
            return left.pop(0)

        self.hub.answers[PATH] = answer

    def looks(self) -> list[str]:
        return [asked for asked, _ in self.hub.requests if asked.startswith("GET")]

    def test_all_of_it(self) -> None:
        """It shows page after page, each message once, in a line."""
        self.pages(letters(1, 2), letters(3), letters())
        lines = self.output_of("inbox", "bot").splitlines()
        self.assertEqual([line.split(": ")[1] for line in lines], ["text 1", "text 2", "text 3"])
        self.assertEqual(self.looks(), [PATH, f"{PATH}?since=2", f"{PATH}?since=3"])

    def test_nothing(self) -> None:
        """An empty mailbox is told in words, and as JSON with nothing."""
        self.pages(letters(), letters())
        self.assertEqual(self.output_of("inbox", "bot"), "nothing waits for bot\n")
        self.assertEqual(self.output_of("inbox", "bot", "--json"), "")

    def test_acknowledge(self) -> None:
        """With ``--ack`` what was shown is taken out."""
        self.pages(letters(4, 7), letters())
        self.hub.answers["POST /api/mailbox/bot/ack"] = 200, {"status": "acked", "up_to": 7}
        self.output_of("inbox", "bot", "--ack")
        self.assertIn(("POST /api/mailbox/bot/ack", {"seq": 7}), self.hub.requests)

    def test_json(self) -> None:
        """As JSON each message is a line, as the hub gave it."""
        self.pages(letters(1, to=None, payload={"a": [1]}, message_type="t"), letters())
        (told,) = self.output_of("inbox", "bot", "--json").splitlines()
        self.assertEqual(json.loads(told)["payload"], {"a": [1]})

    def test_clean(self) -> None:
        """What somebody wrote cannot move the cursor."""
        self.pages(letters(1, payload={"text": "a\x1b[2J\nb"}), letters())
        told = self.output_of("inbox", "bot")
        self.assertNotIn("\x1b", told)
        self.assertEqual(len(told.splitlines()), 1)

    def test_follow(self) -> None:
        """With ``--follow`` it waits for more, and goes on where it was when the hub is back."""
        self.pages(letters(1), letters(), letters(2))
        self.runtime.script = [
            lambda: self.hub.clock.pump([1.0] * 5),
            lambda: self.pages(letters(3)),
            lambda: self.hub.clock.advance(1),
        ]
        result = self.invoke("inbox", "bot", "--follow")
        self.assertEqual(
            [line.split(": ")[1] for line in result.stdout.splitlines()],
            ["text 1", "text 2", "text 3"],
        )
        self.assertIn(f"{PATH}?since=2&wait=20", self.looks())
        # Once each time that it is lost, not at each look.
        self.assertEqual(result.stderr.count("trying again"), 2, result.stderr)

    def test_no_such_agent(self) -> None:
        """An unknown agent is told, with ``--follow`` too."""
        self.hub.answers[PATH] = 404, {"error": "agent_not_found", "agent_id": "bot"}
        for more in ((), ("--follow",)):
            self.assertIn("no such agent", self.error_of("inbox", "bot", *more))
