"""Two kinds of client talk over one hub: the project's own, and ``websockets``.

The project's own are an Autobahn agent and ``HubClient``, both on the
reactor; the others share no code with the hub and block, in threads where
they wait for something that the reactor has to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from agentcom.client.hub import HubClient, connect
from agentcom.client.urls import HubURL
from agentcom.testing import FakeAgent
from tests.integration.clients import LIMIT_S, Agent
from tests.integration.processes import HubProcess, ProcessTestCase

Frame = dict[str, Any]

POLL_S = 0.01


class OwnAgent(FakeAgent):
    """The project's own agent, on the real reactor."""

    def tell(self, type: str, **fields: Any) -> None:
        """Send a frame."""
        self.sendMessage(json.dumps({"type": type, **fields}).encode())

    async def next(self, type: str, **fields: Any) -> Frame:
        """The next frame of a type and with these fields; it is taken out."""
        frames = self.frames

        def found() -> Frame | None:
            fit = (f for f in frames if f["type"] == type and fields.items() <= f.items())
            return next(fit, None)

        frame = await soon(found, f"{type} {fields}")
        frames.remove(frame)
        return dict(frame)


async def soon(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives, once it gives something."""
    for _ in range(int(LIMIT_S / POLL_S)):
        found = condition()
        if found:
            return found
        await deferLater(reactor, POLL_S)  # type: ignore[arg-type]  # the reactor is a module
    raise AssertionError(f"after {LIMIT_S:g} s: not yet {what}")


class TwoClientsTests(ProcessTestCase, TestCase):
    """A hub in a process, an agent of each kind, and a client of each kind."""

    def setUp(self) -> None:
        super().setUp()
        self.process = self.hub()
        self.tokens = {name: self.process.token(name) for name in ("own", "other")}

    def other(self, **fields: Any) -> Agent:
        """The agent that is ``websockets``."""
        return self.agent(self.process, "other", self.tokens["other"], **fields)

    def client(self) -> HubClient:
        """The project's client of the HTTP API."""
        return connect(reactor, HubURL.parse(self.process.url), self.tokens["own"])

    async def own(self, **fields: Any) -> OwnAgent:
        """The project's agent."""
        factory = WebSocketClientFactory("ws://localhost/ws")
        factory.protocol = OwnAgent
        factory.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0
        )
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.process.port)  # type: ignore[arg-type]  # the reactor is a module
        agent: Any = await endpoint.connect(factory)
        self.addCleanup(self.hang_up, agent)
        await agent.is_open
        agent.tell("identify", agent_id="own", token=self.tokens["own"], **fields)
        await agent.next("identified")
        made: OwnAgent = agent
        return made

    def hang_up(self, agent: Any) -> Deferred[Any]:
        """Close a connection, and wait until it is."""
        if agent.closed is None:
            agent.transport.abortConnection()
        return Deferred.fromCoroutine(soon(lambda: agent.closed is not None, "closed"))

    def again(self) -> None:
        """The hub is killed, and started again on what it left."""
        self.process.kill()
        self.process: HubProcess = self.hub()

    def run_through(self, story: Coroutine[Any, Any, None]) -> Deferred[None]:
        """Live the story, and leave the reactor clean."""

        async def whole() -> None:
            await story
            self.assert_clean_log(self.process)
            # Connections of requests that were answered are closed a turn later.
            await deferLater(reactor, 0.05)  # type: ignore[arg-type]  # the reactor is a module

        return Deferred.fromCoroutine(whole())

    def test_messages(self) -> Deferred[None]:
        """Messages go both ways, live, with their threads."""
        return self.run_through(self.messages())

    async def messages(self) -> None:
        own, other = await self.own(), self.other()
        own.tell("message", to="other", payload={"text": "question \u00e9"}, ref=1)
        sent = await own.next("message_sent", ref=1)
        asked = other.next("message", id=sent["id"])
        self.assertEqual(asked["from"], "own")
        self.assertEqual(asked["payload"], {"text": "question \u00e9"})
        other.say("message", to="own", payload={"text": "answer"}, reply_to=asked["id"])
        answer = await own.next("message")
        self.assertEqual((answer["from"], answer["reply_to"]), ("other", asked["id"]))
        self.assertGreater(answer["seq"], asked["seq"])
        http = self.http(self.process, self.tokens["other"])
        thread = http.ok("GET", f"/api/threads/{answer['id']}")
        self.assertEqual([m["id"] for m in thread["messages"]], [asked["id"], answer["id"]])
        await self.client().send_message({"text": "to all"})
        self.assertEqual(other.next("message")["payload"], {"text": "to all"})
        self.assertEqual((await own.next("message"))["payload"], {"text": "to all"})

    def test_mailbox(self) -> Deferred[None]:
        """What is sent to one that is away waits for it, over a kill, until it is acknowledged."""
        return self.run_through(self.mailbox())

    async def mailbox(self) -> None:
        client = self.client()
        for n in range(3):
            await client.send_message({"n": n}, to="other")
        self.again()
        await self.client().send_message({"n": 3})
        http = self.http(self.process, self.tokens["other"])
        box = http.ok("GET", "/api/mailbox/other")
        self.assertEqual([m["payload"] for m in box["messages"]], [{"n": n} for n in range(4)])
        seqs = [m["seq"] for m in box["messages"]]
        self.assertEqual(seqs, sorted(set(seqs)))
        self.assertEqual(
            http.ok("POST", "/api/mailbox/other/ack", {"seq": seqs[1]})["up_to"], seqs[1]
        )
        # The rest comes over the socket, to one that asks for it.
        other = self.other(mailbox=True)
        self.assertEqual([other.next("message")["seq"] for _ in range(2)], seqs[2:])
        other.say("message_ack", seq=seqs[3])
        other.next("message_acked", up_to=seqs[3])
        other.close()
        last = f"/api/mailbox/other?since={seqs[3]}&wait=30"
        waiting = deferToThread(http.ok, "GET", last)
        await deferLater(reactor, 0.2)  # type: ignore[arg-type]  # the reactor is a module
        self.assertFalse(waiting.called)
        await self.client().send_message({"n": 4}, to="other")
        found = await waiting
        self.assertEqual([m["payload"] for m in found["messages"]], [{"n": 4}])

    def test_channels(self) -> Deferred[None]:
        """What each kind publishes the other gets, once: live, or after a gap."""
        return self.run_through(self.channels())

    async def channels(self) -> None:
        client = self.client()
        self.assertEqual((await client.create_channel("#Both"))["channel"], "both")
        own, other = await self.own(), self.other()
        await client.subscribe("both")
        other.say("channel_subscribe", channel="#BOTH")
        other.next("channel_subscribed", channel="both")
        await own.next("channel_agent_joined", agent_id="other")
        other.say("channel_publish", channel="both", payload={"n": 0})
        first = other.next("channel_published")
        heard = await own.next("channel_message")
        self.assertEqual((heard["seq"], heard["from"]), (first["seq"], "other"))
        have = [first["seq"]]
        published = await client.publish("both", {"n": 1})
        self.assertEqual(other.next("channel_message")["payload"], {"n": 1})
        have.append(published["seq"])
        other.close()
        for n in range(2, 7):
            own.tell("channel_publish", channel="both", payload={"n": n}, ref=n)
            await own.next("channel_published", ref=n)
        await self.hang_up(own)
        self.again()
        # The subscriptions are there; what was missed is read page by page.
        other = self.other()
        more = True
        while more:
            other.say("channel_history", channel="both", since=have[-1], limit=2)
            page = other.next("channel_history")
            have += [entry["seq"] for entry in page["messages"]]
            more = page["more"]
        await self.client().publish("both", {"n": 7})
        live = other.next("channel_message")
        self.assertEqual(live["payload"], {"n": 7})
        have.append(live["seq"])
        whole = await self.client().channel_history("both")
        self.assertEqual([entry["seq"] for entry in whole["messages"]], have)
        self.assertEqual(
            [entry["message"]["payload"] for entry in whole["messages"]],
            [{"n": n} for n in range(8)],
        )
        self.assertEqual((await self.client().subscriptions("other"))["subscriptions"], ["both"])
