"""Reading a mailbox and waiting for what comes into it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from agentcom.core.message import Message
from agentcom.errors import AgentNotFound
from agentcom.hub.mailboxes import Mailboxes
from agentcom.hub.mailwaits import MailWaits
from agentcom.store.interface import Post, Store, Unit


class Letters(msgspec.Struct, frozen=True):
    """What was found in a mailbox.

    :ivar last_seq: to go on after.
    :ivar dropped: how many messages went unread, ever.
    """

    messages: list[Message]
    last_seq: int
    dropped: int


class Mail:
    """What is read of mailboxes.

    :param knows: whether an agent id ever had a token.
    :param reach: the ``seq`` up to which an agent's mailbox can be shown.
    """

    def __init__(
        self,
        store: Store,
        mailboxes: Mailboxes,
        waits: MailWaits,
        clock: IReactorTime,
        knows: Callable[[str], bool],
        reach: Callable[[str], int],
    ) -> None:
        self._store = store
        self._mailboxes = mailboxes
        self._waits = waits
        self._clock = clock
        self._knows = knows
        self._reach = reach

    def check(self, agent_id: str) -> None:
        """Let nobody ask for the mailbox of nobody.

        :raises AgentNotFound: the agent id never had a token.
        """
        if not self._knows(agent_id):
            raise AgentNotFound(agent_id=agent_id)

    async def read(self, agent_id: str, since: int, limit: int) -> Letters:
        """What waits after a ``seq``, oldest first."""
        rows = self._mailboxes.settle(agent_id)
        if rows:
            self._store.commit(Unit(post=Post(boxes=rows)))
        seqs = self._mailboxes.waiting(agent_id, since, limit)
        reach = self._reach(agent_id)
        seqs = [seq for seq in seqs if seq <= reach]
        messages = await self._store.messages.each(seqs) if seqs else []
        last_seq = messages[-1].seq if messages else since
        return Letters(messages, last_seq, self._mailboxes.dropped_of(agent_id))

    async def await_some(
        self, agent_id: str, since: int, limit: int, wait_s: float, left: Deferred[None]
    ) -> Letters:
        """The same; where nothing waits, wait until something does.

        :param wait_s: seconds to wait at most.
        :param left: fires when nobody will read the answer.
        """
        if wait_s <= 0:
            return await self.read(agent_id, since, limit)
        over = False
        wait: Deferred[None] | None = None

        def end(_: object = None) -> None:
            nonlocal over
            over = True
            if wait is not None:
                self._waits.end(agent_id, wait)

        timer = self._clock.callLater(wait_s, end)
        left.addBoth(end)
        try:
            while True:
                # Before the look, or what comes meanwhile would be missed.
                wait = self._waits.wait(agent_id)
                found = await self.read(agent_id, since, limit)
                if found.messages or over or self._waits.stopped:
                    return found
                await wait
        finally:
            end()
            if timer.active():
                timer.cancel()
