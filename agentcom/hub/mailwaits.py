"""Those who wait for a message to come into a mailbox."""

from __future__ import annotations

from itertools import islice

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

AT_A_TIME = 32
"""Waits that end in one turn of the reactor: each of them reads the store."""


class MailWaits:
    """Ends waits when there may be something to read, or nothing will come."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waits: dict[str, set[Deferred[None]]] = {}
        self._due: dict[str, None] = {}
        self._stopped = False

    def wait(self, agent_id: str) -> Deferred[None]:
        """Fires, once, when to look again; :meth:`end` it in any case."""
        done: Deferred[None] = Deferred()
        if self._stopped:
            done.callback(None)
        else:
            self._waits.setdefault(agent_id, set()).add(done)
        return done

    @property
    def stopped(self) -> bool:
        """Whether nothing is waited for any more."""
        return self._stopped

    def one(self, agent_id: str) -> None:
        """A message came for an agent."""
        for done in self._waits.pop(agent_id, ()):
            done.callback(None)

    def all(self) -> None:
        """A message came for everybody."""
        if self._waits:
            turning = bool(self._due)
            self._due.update(dict.fromkeys(self._waits))
            if not turning:
                self._turn()

    def stop(self) -> None:
        """The hub stops: nobody waits any longer."""
        self._stopped = True
        for agent_id in list(self._waits):
            self.one(agent_id)

    def _turn(self) -> None:
        for agent_id in list(islice(self._due, AT_A_TIME)):
            del self._due[agent_id]
            self.one(agent_id)
        if self._due:
            self._clock.callLater(0, self._turn)

    def end(self, agent_id: str, done: Deferred[None]) -> None:
        """Nobody waits for this any longer; it fires now."""
        waits = self._waits.get(agent_id)
        if waits is not None:
            waits.discard(done)
            if not waits:
                del self._waits[agent_id]
        if not done.called:
            done.callback(None)
