"""Channels: what is published to one reaches its subscribers and stays readable.

All channels and subscriptions are in memory (:mod:`.directory`), so that
publishing looks nothing up; they are stored with what is decided, like
everything else.  WebSocket and HTTP both call this one object.  What a
subscriber misses while it is away it reads back (:meth:`Channels.history`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from agentcom.core.channel import Channel, Subscription, normalised
from agentcom.core.message import CHANNEL, Message
from agentcom.errors import ChannelExists, RateLimited, ValidationFailed
from agentcom.hub.directory import Directory
from agentcom.hub.link import Frame, Link, Roster
from agentcom.hub.messagelog import MessageLog
from agentcom.hub.presence import Presence
from agentcom.hub.ratelimit import RateLimits
from agentcom.store.interface import LoadedMessages, MessagePage, Post, Store, Unit
from agentcom.wire.channels import ChannelAgentJoined, channel_message
from agentcom.wire.codec import encode

CROWD = 200
"""Subscribers up to which each new one is told of: above that it would cost their square."""

READS = 16
"""Histories that are read for one agent at a time."""

READS_AGAIN_MS = 1_000
"""Milliseconds after which an agent with more than that should ask again."""


class Channels:
    """What is done with channels.

    :param now: Unix milliseconds.
    :param check_open: raises when nothing new can be kept.
    :ivar directory: the channels that there are.
    """

    def __init__(
        self,
        store: Store,
        log: MessageLog,
        rates: RateLimits,
        roster: Roster,
        presence: Presence,
        loaded: LoadedMessages,
        now: Callable[[], int],
        check_open: Callable[[], None],
    ) -> None:
        self._store = store
        self._log = log
        self._rates = rates
        self._roster = roster
        self._presence = presence
        self._now = now
        self._check_open = check_open
        self.directory = Directory(loaded.channels, loaded.subscriptions)
        self._reads: Counter[str] = Counter()

    def of(self, agent_id: str) -> list[str]:
        """The channels that an agent subscribes, oldest subscription first."""
        return self.directory.of(agent_id)

    async def create(self, name: str, description: str, by: str) -> Channel:
        """Make a channel; returns once it is on disk.

        :raises ValidationFailed: the name has no letter, digit, ``-`` or ``_``.
        :raises ChannelExists: there is one of that name.
        :raises TooManyChannels: no further one can be kept.
        """
        self._check_open()
        stored = normalised(name)
        if not stored:
            detail = "has none of a-z, 0-9, - and _, and the rest is dropped"
            told = {"field": "name", "error": "invalid_value", "detail": detail}
            raise ValidationFailed([told])
        if stored in self.directory:
            # The one that is there may not be on disk yet.
            await self._settled()
            raise ChannelExists(channel=stored)
        self.directory.check_room(description)
        channel = Channel(
            name=stored, description=description, created_by=by, created_at=self._now()
        )
        self.directory.add(channel)
        await self._settled(Post(channels=(channel,)))
        return channel

    def subscribe(self, name: str, agent_id: str, then: Callable[[str, bool], None]) -> None:
        """Let an agent hear what is published; it lasts until it is ended.

        :param then: called after the commit with the channel's name, and whether
            the agent subscribed it already.
        :raises ChannelNotFound: there is no such channel.
        :raises TooManyChannels: the agent subscribes too many.
        """
        self._check_open()
        directory = self.directory
        channel = directory.named(name).name
        if directory.subscribes(agent_id, channel):
            self._store.commit(Unit(then=lambda: then(channel, True)))
            return
        directory.check_subscribing(agent_id)
        others = directory.subscribers(channel) if directory.count(channel) < CROWD else []
        directory.join(channel, agent_id)
        frame = encode(ChannelAgentJoined(channel=channel, agent_id=agent_id))

        def committed() -> None:
            then(channel, False)
            self._tell(frame, others)

        subscription = Subscription(channel=channel, agent_id=agent_id, since=self._now())
        self._store.commit(Unit(post=Post(subscriptions=(subscription,)), then=committed))

    def unsubscribe(self, name: str, agent_id: str, then: Callable[[str], None]) -> None:
        """End a subscription, if there is one.

        :param then: called after the commit with the channel's name.
        :raises ChannelNotFound: there is no such channel.
        """
        self._check_open()
        channel = self.directory.named(name).name
        post = None
        if self.directory.subscribes(agent_id, channel):
            self.directory.leave(channel, agent_id)
            over = Subscription(channel=channel, agent_id=agent_id, since=None)
            post = Post(subscriptions=(over,))
        self._store.commit(Unit(post=post, then=lambda: then(channel)))

    def publish(
        self,
        sender: str,
        name: str,
        message_type: str | None,
        payload: dict[str, Any],
        reply_to: str | None,
        then: Callable[[Message], None],
    ) -> None:
        """Send a message to a channel's subscribers, but for its sender.

        Those that are connected when it is on disk get it; all can read it back.

        :param then: called after the commit.
        :raises ChannelNotFound: there is no such channel.
        :raises RateLimited: the sender has sent too much.
        """
        self._check_open()
        channel = self.directory.named(name).name
        self._rates.take(sender)
        # Those of now: who subscribes later is told so after this one is out.
        subscribers = self.directory.subscribers(channel)
        receivers = [agent_id for agent_id in subscribers if agent_id != sender]

        def committed(message: Message) -> None:
            self._tell(encode(channel_message(message)), receivers)
            then(message)

        self._log.write(
            CHANNEL,
            sender,
            message_type,
            encode(payload),
            reply_to,
            channel=channel,
            then=committed,
        )

    def history(
        self, reader: str, name: str, since: int, limit: int
    ) -> tuple[str, Deferred[MessagePage]]:
        """What was published to a channel after ``since``, oldest first.

        Less than ``limit`` comes where the messages are large; the page says
        whether there are more.

        :returns: the channel's name, and what will be read.
        :raises ChannelNotFound: there is no such channel.
        :raises RateLimited: too much is read for this agent already.
        """
        channel = self.directory.named(name).name
        if self._reads[reader] >= READS:
            raise RateLimited(READS_AGAIN_MS)
        self._reads[reader] += 1

        def done(result: Any) -> Any:
            self._reads[reader] -= 1
            if not self._reads[reader]:
                del self._reads[reader]
            return result

        return channel, self._store.messages.channel(channel, since, limit).addBoth(done)

    def _tell(self, frame: Frame, agent_ids: list[str]) -> None:
        """Send a frame to those of these that are connected now."""
        roster = self._roster
        links: list[Link] = [roster[agent_id] for agent_id in agent_ids if agent_id in roster]
        self._presence.broadcast(frame, links)

    def _settled(self, post: Post | None = None) -> Deferred[None]:
        """Fires when this, and all that was decided before it, is on disk."""
        done: Deferred[None] = Deferred()
        self._store.commit(Unit(post=post, then=lambda: done.callback(None)))
        return done
