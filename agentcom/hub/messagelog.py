"""Gives each message its place and its thread, and stores it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agentcom.core.ids import Ids
from agentcom.core.message import CHAT, Mailbox, Message
from agentcom.store.interface import Post, Store, Unit


class MessageLog:
    """All messages, in the order in which they were decided.

    :param now: Unix milliseconds.
    :param last_seq: the highest ``seq`` so far.
    :ivar committed: the ``seq`` up to which all messages are on disk.
    :ivar stored: messages that came to disk since the start.
    """

    def __init__(self, store: Store, ids: Ids, now: Callable[[], int], last_seq: int) -> None:
        self._store = store
        self._ids = ids
        self._now = now
        self._last_seq = last_seq
        self.committed = last_seq
        self.stored = 0
        # Those that the store does not show yet.
        self._waiting: dict[str, Message] = {}

    def compose(
        self,
        kind: str,
        sender: str,
        message_type: str | None,
        payload: bytes,
        reply_to: str | None,
        *,
        to: str | None = None,
        channel: str | None = None,
    ) -> Message:
        """A message with its ``seq``; it must be kept at once.

        :param payload: JSON, an object.
        """
        root = None if reply_to is None else self._thread(reply_to)
        self._last_seq += 1
        return Message(
            self._last_seq,
            self._ids.message(),
            kind,
            sender,
            to,
            channel,
            message_type or CHAT,
            payload,
            reply_to,
            root,
            self._now(),
        )

    def keep(
        self,
        message: Message,
        then: Callable[[Message], None],
        mail: Sequence[tuple[str, int]] = (),
        boxes: Mapping[str, Mailbox] | None = None,
    ) -> None:
        """Store a message, and what it changes of mailboxes.

        :param then: called with it after the commit.
        """
        self._waiting[message.id] = message

        def committed() -> None:
            self.committed = message.seq
            self.stored += 1
            del self._waiting[message.id]
            then(message)

        self._store.commit(Unit(post=Post((message,), mail, boxes or {}), then=committed))

    def write(
        self,
        kind: str,
        sender: str,
        message_type: str | None,
        payload: bytes,
        reply_to: str | None,
        *,
        channel: str | None = None,
        then: Callable[[Message], None],
    ) -> Message:
        """Compose and keep a message that waits in no mailbox."""
        message = self.compose(kind, sender, message_type, payload, reply_to, channel=channel)
        self.keep(message, then)
        return message

    def _thread(self, parent: str) -> str:
        """The id of the first message of a thread; an unknown parent begins one."""
        waiting = self._waiting.get(parent)
        if waiting is not None:
            return waiting.root or waiting.id
        return self._store.messages.root(parent) or parent
