"""Forgets messages that are old: first those that wait, then their history."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred

from agentcom.hub.mailboxes import Mailboxes
from agentcom.store.interface import OldMessages, Post, Store, Unit

MESSAGES = 100
"""Messages that one step forgets: some 3 ms of the reactor."""

BOXES = 256
"""Mailboxes that one step looks at."""


class MessageRetention:
    """Forgets messages that are old enough.

    :param now: Unix milliseconds.
    :param retain_s: seconds that messages are kept, ``None`` for ever; longer
        where they wait in a mailbox.
    :param mailbox_s: seconds that they may wait there, ``None`` for ever.
    :ivar forgotten: the ``seq`` up to which all was looked at.
    """

    def __init__(
        self,
        store: Store,
        mailboxes: Mailboxes,
        now: Callable[[], int],
        retain_s: float | None,
        mailbox_s: float | None,
    ) -> None:
        self._store = store
        self._mailboxes = mailboxes
        self._now = now
        self._retain_s = retain_s
        self._mailbox_s = mailbox_s

    async def round(
        self, may_write: Callable[[], bool], pause: Callable[[], Awaitable[None]]
    ) -> None:
        """Forget, a little at a time.

        :param may_write: whether the hub and its store are well.
        :param pause: lets others go first.
        """
        too_old = await self._older(self._mailbox_s)
        if too_old:
            agents = self._mailboxes.agents()
            for start in range(0, len(agents), BOXES):
                if not may_write():
                    return
                rows = self._mailboxes.expire(agents[start : start + BOXES], too_old)
                await self._commit(Post(boxes=rows))
                await pause()
        after, until = 0, await self._older(self._retain_s)
        while after < until and may_write():
            step = await self._store.messages.next_old(after, until, MESSAGES)
            # Younger broadcasts may wait for somebody who is away.
            await self._commit(Post(forgotten=OldMessages(after, step, too_old + 1)))
            after = step
            await pause()

    async def _older(self, kept_s: float | None) -> int:
        if kept_s is None:
            return 0
        return await self._store.messages.older(self._now() - int(kept_s * 1000))

    def _commit(self, post: Post) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._store.commit(Unit(post=post, then=lambda: done.callback(None)))
        return done
