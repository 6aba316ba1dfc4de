"""What was said: messages that are stored, and their threads.

Everybody sees what he sent or received, the channels that he subscribes, and
broadcasts; an administrator sees all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from agentcom.core.message import BROADCAST, Message
from agentcom.errors import MessageNotFound
from agentcom.store.interface import MessageFilter, MessagePage, Store

Channels = Callable[[str], Sequence[str]]
"""The names of the channels that an agent subscribes."""


class Thread(msgspec.Struct, frozen=True):
    """Part of a thread.

    :ivar root: the id of its first message, which may be unknown to the hub.
    :ivar next: the ``seq`` to go on after, ``None`` at the end.
    """

    root: str
    messages: list[Message]
    next: int | None


class History:
    """Looks at stored messages on somebody's behalf.

    A ``reader`` is an agent id, or ``None`` for one who may see all.
    """

    def __init__(self, store: Store, channels: Channels) -> None:
        self._store = store
        self._channels = channels

    async def page(self, reader: str | None, wanted: MessageFilter) -> MessagePage:
        """Messages, newest first.

        :param wanted: without the reader and its channels.
        """
        channels = () if reader is None else self._channels(reader)
        wanted = msgspec.structs.replace(wanted, reader=reader, channels=channels)
        return await self._store.messages.history(wanted)

    async def thread(self, reader: str | None, message_id: str, after: int, limit: int) -> Thread:
        """The whole thread that a message is in, oldest first.

        :raises MessageNotFound: no such message that the reader may see.
        """
        message = await self._message(reader, message_id)
        root = message.root or message.id
        return self._seen(reader, root, await self._store.messages.thread(root, after, limit))

    async def replies(self, reader: str | None, message_id: str, after: int, limit: int) -> Thread:
        """Direct answers to a message, oldest first.

        :raises MessageNotFound: no such message that the reader may see.
        """
        message = await self._message(reader, message_id)
        root = message.root or message.id
        page = await self._store.messages.replies(root, message.id, after, limit)
        return self._seen(reader, root, page)

    async def root(self, reader: str | None, message_id: str) -> Message:
        """The first message of the thread that a message is in.

        :raises MessageNotFound: none of the two that the reader may see.
        """
        message = await self._message(reader, message_id)
        return message if message.root is None else await self._message(reader, message.root)

    async def _message(self, reader: str | None, message_id: str) -> Message:
        message = await self._store.messages.get(message_id)
        if message is None or not self._may_see(reader, message):
            raise MessageNotFound(message_id=message_id)
        return message

    def _seen(self, reader: str | None, root: str, page: MessagePage) -> Thread:
        return Thread(root, [m for m in page.messages if self._may_see(reader, m)], page.next)

    def _may_see(self, reader: str | None, message: Message) -> bool:
        return (
            reader is None
            or reader in (message.sender, message.to)
            or message.kind == BROADCAST
            or (message.channel is not None and message.channel in self._channels(reader))
        )
