"""Channels over HTTP: make, list, subscribe, publish, read back."""

from __future__ import annotations

from msgspec import Struct
from twisted.internet.defer import Deferred

from agentcom.core.message import Message
from agentcom.core.tokens import ADMIN, AGENT
from agentcom.errors import (
    AgentComError,
    AgentNotFound,
    ChannelExists,
    ChannelNotFound,
    Forbidden,
    RateLimited,
    TooManyChannels,
)
from agentcom.http.route import Answer, Call, Handler, Query, Route, number
from agentcom.http.shown import CURSOR_MOST
from agentcom.hub.channels import Channels
from agentcom.hub.hub import Hub
from agentcom.wire.answers.messages import (
    ChannelCreated,
    ChannelHistory,
    ChannelList,
    ChannelWithSubscribers,
    PublishedMessage,
    SubscribedChannel,
    SubscriptionList,
    UnsubscribedChannel,
)
from agentcom.wire.channels import (
    HISTORY,
    HISTORY_MOST,
    CreateChannel,
    Publish,
    Subscriber,
    stored,
)

SUBSCRIBERS_SHOWN = 1_000
"""Subscribers that are shown with their channel; ``subscriber_count`` has them all."""

CHANNEL = "/api/channels/<channel>"


class ChannelRoutes:
    """What agents, and people, do with channels."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        return [
            _route("GET", "/api/channels", "list_channels", self.list, {200: ChannelList}),
            _route(
                "POST",
                "/api/channels",
                "create_channel",
                self.create,
                {201: ChannelCreated},
                CreateChannel,
                {"name": "builds", "description": "what was built"},
                refuses=(ChannelExists, TooManyChannels),
            ),
            _route(
                "GET",
                CHANNEL,
                "get_channel",
                self.get,
                {200: ChannelWithSubscribers},
                refuses=(ChannelNotFound,),
            ),
            _route(
                "POST",
                f"{CHANNEL}/subscribe",
                "subscribe",
                self.subscribe,
                {200: SubscribedChannel},
                Subscriber,
                {},
                refuses=(ChannelNotFound, AgentNotFound, TooManyChannels, Forbidden),
            ),
            _route(
                "POST",
                f"{CHANNEL}/unsubscribe",
                "unsubscribe",
                self.unsubscribe,
                {200: UnsubscribedChannel},
                Subscriber,
                {},
                refuses=(ChannelNotFound, AgentNotFound, Forbidden),
            ),
            _route(
                "POST",
                f"{CHANNEL}/publish",
                "publish",
                self.publish,
                {200: PublishedMessage},
                Publish,
                {"payload": {"text": "version 3 is built"}},
                refuses=(ChannelNotFound, RateLimited),
            ),
            _route(
                "GET",
                f"{CHANNEL}/history",
                "channel_history",
                self.history,
                {200: ChannelHistory},
                query=(
                    number("since", "Only messages after this ``seq``.", 0, 0, CURSOR_MOST),
                    number("limit", "How many to give at most.", HISTORY, 1, HISTORY_MOST),
                ),
                query_token=True,
                refuses=(ChannelNotFound, RateLimited),
            ),
            _route(
                "GET",
                "/api/agents/<agent_id>/subscriptions",
                "subscriptions",
                self.subscriptions,
                {200: SubscriptionList},
            ),
        ]

    @property
    def _channels(self) -> Channels:
        return self._hub.messages.channels

    def list(self, call: Call) -> Answer:
        """All channels."""
        return Answer(200, {"channels": self._channels.directory.everything()})

    def get(self, call: Call) -> Answer:
        """One channel, with its subscribers."""
        directory = self._channels.directory
        channel = directory.named(call.args["channel"])
        subscribers = directory.subscribers(channel.name)[:SUBSCRIBERS_SHOWN]
        return Answer(200, {**directory.shown(channel), "subscribers": subscribers})

    async def create(self, call: Call) -> Answer:
        """Make a channel."""
        body: CreateChannel = call.body
        made = await self._channels.create(body.name, body.description or "", call.caller)
        return Answer(201, {"status": "created", "channel": made.name})

    async def subscribe(self, call: Call) -> Answer:
        """Let an agent hear what is published, on the connection that it has now, too."""
        agent_id = self._whose(call)
        done: Deferred[tuple[str, bool]] = Deferred()
        self._channels.subscribe(
            call.args["channel"], agent_id, lambda channel, before: done.callback((channel, before))
        )
        channel, before = await done
        answer = {"status": "subscribed", "channel": channel, "agent_id": agent_id}
        if before:
            answer["note"] = "already_subscribed"
        return Answer(200, answer)

    async def unsubscribe(self, call: Call) -> Answer:
        """End a subscription."""
        agent_id = self._whose(call)
        done: Deferred[str] = Deferred()
        self._channels.unsubscribe(call.args["channel"], agent_id, done.callback)
        channel = await done
        return Answer(200, {"status": "unsubscribed", "channel": channel, "agent_id": agent_id})

    async def publish(self, call: Call) -> Answer:
        """Publish as the token's agent."""
        body: Publish = call.body
        done: Deferred[Message] = Deferred()
        self._channels.publish(
            call.caller,
            call.args["channel"],
            body.message_type or body.type,
            body.payload,
            body.reply_to,
            done.callback,
        )
        made = await done
        answer = {"status": "published", "channel": made.channel, "seq": made.seq, "id": made.id}
        return Answer(200, answer)

    async def history(self, call: Call) -> Answer:
        """What was published after ``since``, oldest first."""
        since = call.number("since", 0, 0, CURSOR_MOST)
        limit = call.number("limit", HISTORY, 1, HISTORY_MOST)
        name, reading = self._channels.history(call.caller, call.args["channel"], since, limit)
        page = await reading
        messages = page.messages
        answer = {
            "channel": name,
            "messages": stored(messages),
            "count": len(messages),
            "last_seq": messages[-1].seq if messages else since,
            "more": page.next is not None,
        }
        return Answer(200, answer)

    def subscriptions(self, call: Call) -> Answer:
        """The channels that an agent subscribes."""
        agent_id = call.args["agent_id"]
        return Answer(200, {"agent_id": agent_id, "subscriptions": self._channels.of(agent_id)})

    def _whose(self, call: Call) -> str:
        """The agent that a subscription is of: the caller, or for an admin anybody.

        :raises Forbidden: it is of another one.
        :raises AgentNotFound: it is of nobody that there ever was.
        """
        agent_id: str | None = call.body.agent_id
        if agent_id is None or agent_id == call.caller:
            return call.caller
        if call.token is None or not call.token.allows(ADMIN):
            raise Forbidden(ADMIN)
        if not self._hub.auth.knows(agent_id):
            raise AgentNotFound(agent_id=agent_id)
        return agent_id


def _route(
    method: str,
    path: str,
    name: str,
    handler: Handler,
    answers: dict[int, type[Struct] | str],
    body: type[Struct] | None = None,
    example: dict[str, object] | None = None,
    query: tuple[Query, ...] = (),
    query_token: bool = False,
    refuses: tuple[type[AgentComError], ...] = (),
) -> Route:
    return Route(
        method=method,
        path=path,
        name=name,
        scope=AGENT,
        body=body,
        body_optional=body is Subscriber,
        query=query,
        query_token=query_token,
        answers=answers,
        refuses=refuses,
        example=example,
        handler=handler,
    )
