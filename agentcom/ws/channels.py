"""What a connection may say of channels; :mod:`.session` takes its steps from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.message import Message
from agentcom.errors import AgentComError
from agentcom.hub.hub import Hub
from agentcom.hub.link import Link
from agentcom.store.interface import MessagePage
from agentcom.wire import channels, frames
from agentcom.wire.codec import encode
from agentcom.wire.frames import ref_of

ALREADY = "already_subscribed"

log = Logger()


class Speaker(Protocol):
    """A session, as far as channels need it."""

    @property
    def hub(self) -> Hub:
        """The hub that it speaks to."""

    @property
    def line(self) -> Link:
        """Its connection."""


def _subscribe(session: Speaker, frame: frames.ChannelSubscribe, _: bytes) -> None:
    line = session.line

    def done(channel: str, before: bool) -> None:
        note = ALREADY if before else None
        line.send(encode(channels.ChannelSubscribed(channel=channel, note=note, ref=ref_of(frame))))

    session.hub.messages.channels.subscribe(frame.channel, line.agent.agent_id, done)


def _unsubscribe(session: Speaker, frame: frames.ChannelUnsubscribe, _: bytes) -> None:
    line = session.line

    def done(channel: str) -> None:
        told = encode(channels.ChannelUnsubscribed(channel=channel, ref=ref_of(frame)))
        # Behind what was published before: after this word nothing comes.
        session.hub.presence.direct(told, line)

    session.hub.messages.channels.unsubscribe(frame.channel, line.agent.agent_id, done)


def _publish(session: Speaker, frame: frames.ChannelPublish, _: bytes) -> None:
    line = session.line

    def done(message: Message) -> None:
        told = channels.ChannelPublished(
            channel=message.channel or "", seq=message.seq, id=message.id, ref=ref_of(frame)
        )
        line.send(encode(told))

    session.hub.messages.channels.publish(
        line.agent.agent_id,
        frame.channel,
        frame.message_type,
        frame.payload,
        frame.reply_to,
        done,
    )


def _history(session: Speaker, frame: frames.ChannelHistory, _: bytes) -> None:
    line = session.line
    since = frame.since or 0
    limit = channels.HISTORY if frame.limit is None else frame.limit

    def done(page: MessagePage) -> None:
        messages = page.messages
        told = channels.ChannelHistoryReply(
            channel=channel,
            messages=channels.stored(messages),
            count=len(messages),
            last_seq=messages[-1].seq if messages else since,
            more=page.next is not None,
            ref=ref_of(frame),
        )
        line.send(encode(told))

    def failed(failure: Failure) -> None:
        log.failure("while reading a channel's history", failure)
        ref = {"ref": frame.ref} if bytes(frame.ref) else {}
        line.send(encode({"type": "error", **AgentComError().body(), **ref}))

    agent_id = line.agent.agent_id
    channel, reading = session.hub.messages.channels.history(
        agent_id, frame.channel, since, max(1, min(limit, channels.HISTORY_MOST))
    )
    reading.addCallback(done).addErrback(failed)


def _list(session: Speaker, frame: frames.ListChannels, _: bytes) -> None:
    found = session.hub.messages.channels.directory.everything()
    session.line.send(encode(frames.Channels(channels=found, ref=ref_of(frame))))


STEPS: dict[type, Callable[[Any, Any, bytes], None]] = {
    frames.ChannelSubscribe: _subscribe,
    frames.ChannelUnsubscribe: _unsubscribe,
    frames.ChannelPublish: _publish,
    frames.ChannelHistory: _history,
    frames.ListChannels: _list,
}
"""What is done with each frame of channels."""
