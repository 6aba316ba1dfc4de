"""History and threads: ``GET /api/messages`` and ``GET /api/threads/:id``."""

from typing import Any

from tests.contract.helpers import Frame, HubTests


class HistoryCase(HubTests):
    """Three agents that talk."""

    def setUp(self) -> None:
        super().setUp()
        self.agents = {name: self.hub.agent(name, presence="none") for name in "abc"}

    def say(self, sender: str, to: str | None, text: str, reply_to: str | None = None) -> str:
        answers = self.agents[sender].say(
            "message", to=to, payload={"text": text}, reply_to=reply_to
        )
        return str(next(f["id"] for f in answers if f["type"] == "message_sent"))

    def publish(self, sender: str, text: str) -> None:
        self.agents[sender].say("channel_publish", channel="dev", payload={"text": text})

    def channel(self) -> None:
        self.hub.request("POST", "/api/channels", {"name": "dev"})

    def get(self, path: str, reader: str = "", status: int = 200) -> Any:
        answer = self.hub.request("GET", path, token=self.hub.token(reader) if reader else "")
        self.assertEqual(answer.status, status, answer.body)
        return answer.body

    def texts(self, query: str = "", reader: str = "") -> list[str]:
        return texts(self.get(f"/api/messages{query}", reader)["messages"])


def texts(messages: list[Frame]) -> list[str]:
    """What messages say."""
    return [message["payload"]["text"] for message in messages]


class HistoryTests(HistoryCase):
    """What is listed, for whom."""

    def test_everything_for_an_administrator(self) -> None:
        """An administrator sees every message, newest first."""
        self.channel()
        self.say("a", "b", "direct")
        self.say("b", None, "to all")
        self.publish("c", "published")
        self.say("a", "nobody", "to nobody")
        self.assertEqual(self.texts(), ["to nobody", "published", "to all", "direct"])

    def test_what_an_agent_sees(self) -> None:
        """An agent sees what it sent or received, its channels and broadcasts, each once."""
        self.channel()
        self.say("a", "b", "1")
        self.say("b", "c", "2")
        self.say("c", None, "3")
        self.publish("c", "4")
        self.say("a", "a", "5")
        self.say("a", None, "6")
        self.assertEqual(self.texts(reader="a"), ["6", "5", "3", "1"])
        self.agents["a"].say("channel_subscribe", channel="dev")
        self.assertEqual(self.texts(reader="a"), ["6", "5", "4", "3", "1"])
        self.assertEqual(self.texts(reader="b"), ["6", "3", "2", "1"])

    def test_what_it_published(self) -> None:
        """An agent sees what it published, though it does not subscribe the channel."""
        self.channel()
        self.publish("a", "1")
        self.assertEqual(self.texts(reader="a"), ["1"])
        self.assertEqual(self.texts("?channel=dev", reader="a"), ["1"])
        self.assertEqual(self.texts("?channel=dev", reader="b"), [])

    def test_filters(self) -> None:
        """Filters narrow it down, and never show what one may not see."""
        self.channel()
        self.say("a", "b", "1")
        self.hub.advance(10)
        self.say("b", "a", "2")
        self.say("b", "c", "3")
        self.hub.advance(10)
        self.say("b", None, "4")
        self.publish("b", "5")
        at = 1_700_000_000_000
        for query, everything, seen in (
            ("from=b", ["5", "4", "3", "2"], ["4", "2"]),
            ("from=a", ["1"], ["1"]),
            ("to=b", ["1"], ["1"]),
            ("to=c", ["3"], []),
            ("to=broadcast", ["4"], ["4"]),
            ("channel=dev", ["5"], []),
            ("from=b&to=a", ["2"], ["2"]),
            ("from=a&to=a", [], []),
            (f"start_time={at + 10_000}", ["5", "4", "3", "2"], ["4", "2"]),
            (f"end_time={at + 10_000}", ["3", "2", "1"], ["2", "1"]),
            (f"start_time={at + 1}&end_time={at + 10_000}", ["3", "2"], ["2"]),
            ("from=nobody", [], []),
        ):
            self.assertEqual(self.texts(f"?{query}"), everything, query)
            self.assertEqual(self.texts(f"?{query}", reader="a"), seen, query)

    def test_pages(self) -> None:
        """Pages follow each other by cursor, whatever comes meanwhile."""
        for n in range(7):
            self.say("a", "b" if n % 2 else None, str(n))
        for reader in ("", "a", "b", "c"):
            whole = self.texts(reader=reader)
            found: list[str] = []
            page = self.get("/api/messages?limit=2", reader)
            while page["cursor"] is not None:
                found += texts(page["messages"])
                self.say("a", "b", "later")
                page = self.get(f"/api/messages?limit=2&cursor={page['cursor']}", reader)
            self.assertEqual(found + texts(page["messages"]), whole)

    def test_very_large_messages(self) -> None:
        """A page of large messages ends early and goes on by its cursor."""
        for n in range(12):
            self.say("a", "b", chr(97 + n) * 900_000)
        page = self.get("/api/messages?limit=100")
        self.assertLess(len(page["messages"]), 12)
        rest = self.get(f"/api/messages?limit=100&cursor={page['cursor']}")
        seqs = [message["seq"] for message in page["messages"] + rest["messages"]]
        self.assertEqual(seqs, sorted(seqs, reverse=True)[: len(seqs)])
        self.assertEqual(len(set(seqs)), len(seqs))

    def test_token_in_the_query(self) -> None:
        """Old clients give their token in the query."""
        self.say("a", "b", "1")
        answer = self.hub.request("GET", f"/api/messages?token={self.hub.token('b')}", token=None)
        self.assertEqual(texts(answer.body["messages"]), ["1"])


class ThreadTests(HistoryCase):
    """Messages that answer each other."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.say("a", "b", "root")
        self.first = self.say("b", "a", "first", self.root)
        self.deep = self.say("a", "b", "deep", self.first)
        self.second = self.say("b", "a", "second", self.root)

    def test_whole_tree(self) -> None:
        """The thread of any of its messages is the same: all of it, oldest first."""
        for message_id in (self.root, self.first, self.deep, self.second):
            thread = self.get(f"/api/threads/{message_id}")
            self.assert_fields(thread, root=self.root, count=4, cursor=None)
            self.assertEqual(texts(thread["messages"]), ["root", "first", "deep", "second"])

    def test_root(self) -> None:
        """The root of any message is the thread's first."""
        for message_id in (self.root, self.deep):
            body = self.get(f"/api/threads/{message_id}/root")
            self.assertEqual((body["root"], body["message"]["id"]), (self.root, self.root))

    def test_replies(self) -> None:
        """Replies are the direct answers only."""
        for message_id, expected in (
            (self.root, ["first", "second"]),
            (self.first, ["deep"]),
            (self.deep, []),
        ):
            body = self.get(f"/api/threads/{message_id}/replies")
            self.assertEqual(texts(body["messages"]), expected)

    def test_pages(self) -> None:
        """A long thread comes in pages."""
        first = self.get(f"/api/threads/{self.root}?limit=3")
        second = self.get(f"/api/threads/{self.root}?limit=3&cursor={first['cursor']}")
        self.assertEqual(
            texts(first["messages"] + second["messages"]), ["root", "first", "deep", "second"]
        )

    def test_after_a_restart(self) -> None:
        """Threads go on after a restart."""
        self.restart()
        a = self.hub.agent("a")
        a.say("message", to="b", payload={"text": "late"}, reply_to=self.deep)
        thread = self.get(f"/api/threads/{self.second}")
        self.assertEqual(texts(thread["messages"])[-1], "late")

    def test_an_answer_to_what_is_not_on_disk_yet(self) -> None:
        """A message may answer one that was sent a moment before."""
        hub = self.hub.hub
        told: list[Any] = []
        hub.messages.send("a", "b", None, b'{"text":"x"}', self.root, told.append)
        waiting = next(iter(hub.messages.log._waiting))
        hub.messages.send("b", "a", None, b'{"text":"y"}', waiting, told.append)
        self.hub.settle()
        thread = self.get(f"/api/threads/{self.root}")
        self.assertEqual(texts(thread["messages"])[-2:], ["x", "y"])

    def test_an_unknown_parent(self) -> None:
        """An answer to a message that nobody knows begins a thread under that id."""
        one = self.say("a", "b", "one", "feedfeedfeedfeed")
        self.say("b", "a", "two", one)
        thread = self.get(f"/api/threads/{one}")
        self.assertEqual(texts(thread["messages"]), ["one", "two"])
        self.assertEqual(thread["root"], "feedfeedfeedfeed")
        self.get("/api/threads/feedfeedfeedfeed", status=404)
        self.get(f"/api/threads/{one}/root", status=404)

    def test_who_may_see(self) -> None:
        """Of a thread everybody sees what he may see; of the rest nothing, not that it is there."""
        to_c = self.say("a", "c", "aside", self.first)
        self.assertEqual(texts(self.get(f"/api/threads/{to_c}", "c")["messages"]), ["aside"])
        self.assertEqual(
            texts(self.get(f"/api/threads/{self.root}", "b")["messages"]),
            ["root", "first", "deep", "second"],
        )
        for path in (self.root, f"{self.first}/replies", f"{to_c}/root"):
            body = self.get(f"/api/threads/{path}", "c", status=404)
            self.assertEqual(body["error"], "message_not_found")
