"""The calls of the HTTP API, each one method: :class:`HubClient`.

Answers are checked (``replies``) and every failure is a ``ClientError``
(``errors``).  Those of tasks are in ``tasks``, those that take agents out of
service in ``drains``, those on channels in ``channels``, those on
mailboxes in ``mail``, the live events in ``stream``.
:func:`connect` makes a client that uses a real reactor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import Agent
from twisted.web.iweb import IResponse

from agentcom.client import replies
from agentcom.client.backoff import Backoff
from agentcom.client.channels import ChannelCalls
from agentcom.client.drains import DrainCalls
from agentcom.client.mail import MailCalls
from agentcom.client.stream import EventStream, Watcher
from agentcom.client.tasks import TaskCalls
from agentcom.client.transport import Transport
from agentcom.client.urls import HubURL

NO_TOKEN = "token_not_found"
NO_AGENT = "agent_not_found"


class HubClient(TaskCalls, DrainCalls, ChannelCalls, MailCalls):
    """One hub, spoken to with one token.

    :param http: does the requests; ``treq.testing`` has one for tests.
    :param clock: times the answers.
    """

    def __init__(
        self, url: HubURL, token: str | None, http: HTTPClient, clock: IReactorTime
    ) -> None:
        super().__init__(Transport(url, token, http, clock))
        self.clock = clock
        self._streams: list[EventStream] = []

    async def agents(self) -> replies.Agents:
        """The agents that are connected."""
        return await self._transport.call("GET", ("api", "agents"), replies.Agents)

    async def agent(self, agent_id: str) -> replies.AgentShown:
        """One agent, also one that is away, and how it lives."""
        path = ("api", "agents", agent_id)
        return await self._transport.call("GET", path, replies.AgentShown, missing=NO_AGENT)

    async def create_token(
        self,
        agent_id: str,
        *,
        scopes: Sequence[str] | None = None,
        expires_in_s: float | None = None,
    ) -> replies.TokenCreated:
        """A new token for an agent; it is shown this once."""
        body: dict[str, Any] = {"agent_id": agent_id}
        if scopes:
            body["scopes"] = list(scopes)
        if expires_in_s is not None:
            body["expires_in_s"] = expires_in_s
        return await self._transport.call(
            "POST", ("admin", "tokens"), replies.TokenCreated, body=body
        )

    async def tokens(self) -> replies.Tokens:
        """All tokens, by their first characters."""
        return await self._transport.call("GET", ("admin", "tokens"), replies.Tokens)

    async def revoke(self, agent_id: str) -> replies.Revoked:
        """Revoke all tokens of an agent; its live connection is closed."""
        path = ("admin", "tokens", agent_id)
        return await self._transport.call("DELETE", path, replies.Revoked, missing=NO_TOKEN)

    async def send_message(
        self,
        payload: Mapping[str, Any],
        *,
        to: str | None = None,
        message_type: str | None = None,
        reply_to: str | None = None,
    ) -> replies.Sent:
        """Send a message; without ``to`` everybody gets it."""
        optional = {"to": to, "type": message_type, "reply_to": reply_to}
        body = {"payload": payload, **{k: v for k, v in optional.items() if v is not None}}
        return await self._transport.call("POST", ("api", "message"), replies.Sent, body=body)

    def events(
        self,
        watcher: Watcher,
        *,
        topics: Sequence[str] = (),
        after: str | None = None,
        task_id: str | None = None,
    ) -> EventStream:
        """A live stream of events that resumes by itself; await its ``run()``.

        :param after: a cursor, ``0`` for the oldest kept, ``None`` for from now.
        :param task_id: only events of this task.
        """

        def open_stream(cursor: str | None) -> Deferred[IResponse]:
            params = {"topics": ",".join(topics) or None, "after": cursor, "task_id": task_id}
            return Deferred.fromCoroutine(self._transport.open(("api", "events"), params))

        backoff = Backoff(SystemRandom().random, initial_s=0.5, max_s=10.0)
        stream = EventStream(open_stream, self.clock, backoff, watcher, after)
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        """Stop all streams: what breaks from now on is no loss."""
        while self._streams:
            self._streams.pop().stop()


def connect(reactor: Any, url: HubURL, token: str | None) -> HubClient:
    """A client over real connections.

    :param reactor: a running Twisted reactor.
    """
    agent: Any = Agent
    return HubClient(url, token, HTTPClient(agent(reactor, connectTimeout=10.0)), reactor)
