"""What a connection may say of messages; :mod:`.session` takes its steps from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentcom.hub.messaging import Sent
from agentcom.wire import frames
from agentcom.wire.codec import encode
from agentcom.wire.frames import ref_of
from agentcom.ws.channels import Speaker


def _send(session: Speaker, frame: frames.SendMessage, _: bytes) -> None:
    line = session.line

    def sent(told: Sent) -> None:
        line.send(encode(frames.MessageSent(id=told.id, note=told.note, ref=ref_of(frame))))

    session.hub.messages.send(
        line.agent.agent_id,
        frame.to,
        frame.message_type,
        encode(frame.payload),
        frame.reply_to,
        sent,
    )


def _acknowledge(session: Speaker, frame: frames.MessageAck, _: bytes) -> None:
    line = session.line

    def acknowledged(up_to: int) -> None:
        line.send(encode(frames.MessageAcked(up_to=up_to, ref=ref_of(frame))))

    session.hub.messages.messaging.acknowledge(line.agent.agent_id, frame.seq, acknowledged)


STEPS: dict[type, Callable[[Any, Any, bytes], None]] = {
    frames.SendMessage: _send,
    frames.MessageAck: _acknowledge,
}
"""What is done with each frame of messages."""
