"""Brings what waits in a mailbox to its agent's connection.

At the tip a message is sent as it comes to disk; an agent that is behind is
sent what is stored, some at a time, as it acknowledges.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.core.message import Message
from agentcom.hub.link import Link

IN_FLIGHT = 100
"""Messages that may be sent and not yet acknowledged."""


class Courier:
    """One connection that takes its mailbox over the line.

    :param waiting: numbers of what waits after a ``seq`` and is on disk, oldest
        first, at most so many.
    :param each: reads messages.
    :param send: sends one to the connection.
    """

    log = Logger()

    def __init__(
        self,
        link: Link,
        waiting: Callable[[int, int], list[int]],
        each: Callable[[list[int]], Deferred[list[Message]]],
        send: Callable[[Message, Link], None],
    ) -> None:
        self.link = link
        self._waiting = waiting
        self._each = each
        self._send = send
        self._sent = 0
        self._unacknowledged: deque[int] = deque()
        # Nothing leaves before `identified` has.
        self._reading = True
        self._behind = True
        self._stopped = False

    def begin(self) -> None:
        """The connection knows that it is identified: send what waits."""
        self._reading = False
        self._go_on()

    def stop(self) -> None:
        """The connection is gone, or takes its mailbox no more."""
        self._stopped = True

    def offer(self, seq: int) -> bool:
        """A message has come to disk; gives whether it is to be sent now.

        Otherwise it is sent in its turn.
        """
        if seq <= self._sent:
            return False
        if self._behind or len(self._unacknowledged) >= IN_FLIGHT:
            self._behind = True
            # Where a look failed nothing else would begin the next one.
            self._go_on()
            return False
        self._sent = seq
        self._unacknowledged.append(seq)
        return True

    def acknowledged(self, up_to: int) -> None:
        """The agent has all up to and including a ``seq``."""
        flying = self._unacknowledged
        while flying and flying[0] <= up_to:
            flying.popleft()
        self._sent = max(self._sent, up_to)
        self._go_on()

    def _go_on(self) -> None:
        room = IN_FLIGHT - len(self._unacknowledged)
        if self._stopped or self._reading or not self._behind or room <= 0:
            return
        seqs = self._waiting(self._sent, room)
        if not seqs:
            self._behind = False
            return
        self._reading = True
        self._each(seqs).addCallback(self._read, seqs).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self._reading = False
        self.log.failure("while sending a mailbox", failure)

    def _read(self, messages: list[Message], seqs: list[int]) -> None:
        self._reading = False
        if self._stopped:
            return
        for message in messages:
            # Some may have been acknowledged meanwhile.
            if message.seq > self._sent:
                self._sent = message.seq
                self._unacknowledged.append(message.seq)
                self._send(message, self.link)
        if not messages:
            # Forgotten meanwhile.
            self._sent = max(self._sent, seqs[-1])
        self._go_on()
