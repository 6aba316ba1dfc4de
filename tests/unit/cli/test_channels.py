"""``agentcom channels``: what it asks, and what it shows."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.cli.fakes import CommandTestCase

CREATED_AT = 1_700_000_000_000
CHANNEL = {
    "name": "builds",
    "description": "what broke",
    "subscriber_count": 2,
    "created_at": CREATED_AT,
    "created_by": "admin",
}


def entry(seq: int, payload: dict[str, Any], message_type: str = "chat") -> dict[str, Any]:
    """An entry of a history."""
    message = {
        "id": f"m{seq}",
        "from": "bob",
        "message_type": message_type,
        "payload": payload,
        "reply_to": None,
        "timestamp": CREATED_AT,
    }
    return {"seq": seq, "message": message, "stored_at": CREATED_AT}


class ChannelTests(CommandTestCase):
    """The commands that change or show channels."""

    def test_list(self) -> None:
        """The list has a line for each channel."""
        self.hub.answers["GET /api/channels"] = 200, {"channels": [CHANNEL]}
        lines = self.output_of("channels", "list").splitlines()
        self.assertEqual(lines[0], "CHANNEL\tSUBSCRIBERS\tCREATED\tDESCRIPTION")
        self.assertRegex(lines[1], r"\Abuilds\t2\t2023-11-1[45] .*\twhat broke\Z")

    def test_empty_list(self) -> None:
        """Where there are none, it says how one is made."""
        self.hub.answers["GET /api/channels"] = 200, {"channels": []}
        self.assertIn("channels create", self.output_of("channels", "list"))

    def test_create(self) -> None:
        """The name that is shown is the one under which it is stored."""
        reply = {"status": "created", "channel": "builds"}
        self.hub.answers["POST /api/channels"] = 201, reply
        told = self.output_of("channels", "create", "#Builds", "--description", "d")
        self.assertEqual(told, "there is a channel builds now\n")
        self.assertEqual(self.hub.requests[0][1], {"name": "#Builds", "description": "d"})

    def test_exists(self) -> None:
        """What the hub refuses is told in a sentence."""
        refusal = {"error": "channel_exists", "channel": "builds"}
        self.hub.answers["POST /api/channels"] = 409, refusal
        told = self.error_of("channels", "create", "builds")
        self.assertEqual(told, "Error: there is a channel 'builds' already\n")

    def test_info(self) -> None:
        """One channel is shown with its subscribers; those that are not shown are counted."""
        shown = {**CHANNEL, "subscribers": ["a\x1b[2J"]}
        self.hub.answers["GET /api/channels/builds"] = 200, shown
        told = self.output_of("channels", "info", "builds")
        self.assertIn("subscribers  2\n", told)
        self.assertIn("  and 1 more\n", told)
        self.assertNotIn("\x1b", told)

    def test_subscribe(self) -> None:
        """Subscribing says for whom, and whether it was so before."""
        path = "POST /api/channels/builds/subscribe"
        reply = {"status": "subscribed", "channel": "builds", "agent_id": "a"}
        self.hub.answers[path] = 200, reply
        told = self.output_of("channels", "subscribe", "builds", "--agent", "a")
        self.assertEqual(told, "a subscribes builds\n")
        self.assertEqual(self.hub.requests[0][1], {"agent_id": "a"})
        self.hub.answers[path] = 200, {**reply, "note": "already_subscribed"}
        told = self.output_of("channels", "subscribe", "builds")
        self.assertEqual(told, "a subscribes builds already\n")
        self.assertEqual(self.hub.requests[1][1], {})

    def test_unsubscribe(self) -> None:
        """Unsubscribing says for whom."""
        reply = {"status": "unsubscribed", "channel": "builds", "agent_id": "a"}
        self.hub.answers["POST /api/channels/builds/unsubscribe"] = 200, reply
        told = self.output_of("channels", "unsubscribe", "builds", "--agent", "a")
        self.assertEqual(told, "a does not subscribe builds any more\n")

    def test_publish(self) -> None:
        """A text is published as ``send`` sends it; the number is told."""
        reply = {"status": "published", "channel": "builds", "seq": 7, "id": "m7"}
        self.hub.answers["POST /api/channels/builds/publish"] = 200, reply
        told = self.output_of("channels", "publish", "builds", "hi", "--type", "t")
        self.assertEqual(told, "message m7 published to builds as number 7\n")
        self.assertEqual(self.hub.requests[0][1], {"payload": {"text": "hi"}, "message_type": "t"})

    def test_json(self) -> None:
        """--json is the hub's answer, further fields included."""
        for path, arguments, reply in (
            ("GET /api/channels", ["list"], {"channels": [], "new": 1}),
            ("GET /api/channels/c", ["info", "c"], {**CHANNEL, "new": 1}),
            ("POST /api/channels", ["create", "c"], {"status": "s", "channel": "c", "new": 1}),
        ):
            self.hub.answers[path] = 200, reply
            told = self.output_of("channels", *arguments, "--json")
            self.assertEqual(json.loads(told), reply)

    def test_unknown(self) -> None:
        """A channel that there is not is told of, with where to look."""
        refusal = {"error": "channel_not_found", "channel": "nope"}
        self.hub.answers["GET /api/channels/nope"] = 404, refusal
        told = self.error_of("channels", "info", "nope")
        self.assertIn("no channel 'nope'", told)
        self.assertIn("agentcom channels list", told)

    def test_too_fast(self) -> None:
        """Past the rate it says when to go on."""
        refusal = {"error": "rate_limited", "retry_after_ms": 120}
        self.hub.answers["POST /api/channels/c/publish"] = 429, refusal
        self.assertIn("try again in 120 ms", self.error_of("channels", "publish", "c", "hi"))


class HistoryTests(CommandTestCase):
    """``agentcom channels history``."""

    def pages(self, *pages: dict[str, Any]) -> None:
        """The answers to one request after the other."""
        left = list(pages)
        self.hub.answers["GET /api/channels/c/history"] = lambda _: (200, left.pop(0))

    def test_lines(self) -> None:
        """Each message is a line: its number, when, from whom, what."""
        messages = [
            entry(3, {"text": "hi\nthere"}),
            entry(5, {"text": "x", "n": 1}, "note"),
        ]
        self.pages({"channel": "c", "messages": messages, "last_seq": 5, "more": False})
        first, second = self.output_of("channels", "history", "c", "--since", "2").splitlines()
        self.assertRegex(first, r"\A3  2023-\S+ \S+  bob: hi there\Z")
        self.assertRegex(second, r'\A5  2023-\S+ \S+  bob \[note\]: {"text": "x", "n": 1}\Z')
        self.assertEqual(self.hub.requests[0][0], "GET /api/channels/c/history?since=2&limit=50")

    def test_pages(self) -> None:
        """It goes on from page to page until it has what was asked for, and tells of the rest."""
        self.pages(
            {"channel": "c", "messages": [entry(1, {})], "last_seq": 1, "more": True},
            {"channel": "c", "messages": [entry(2, {})], "last_seq": 2, "more": True},
        )
        told = json.loads(self.output_of("channels", "history", "c", "--limit", "2", "--json"))
        self.assertEqual([m["seq"] for m in told["messages"]], [1, 2])
        self.assertEqual((told["last_seq"], told["more"]), (2, True))
        self.assertEqual(
            [path for path, _ in self.hub.requests],
            [
                "GET /api/channels/c/history?since=0&limit=2",
                "GET /api/channels/c/history?since=1&limit=1",
            ],
        )

    def test_nothing(self) -> None:
        """A history without messages is told as such."""
        self.pages({"channel": "c", "messages": [], "last_seq": 0, "more": False})
        self.assertEqual(
            self.output_of("channels", "history", "c"), "nothing was published there\n"
        )
