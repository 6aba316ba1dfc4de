"""What is tried again later: a journal that cannot be written, work that cannot begin."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from agentcom.sidecar.journal import Journal
from agentcom.sidecar.outbox import Outbox

AGAIN_S = 5.0
"""Seconds until the next try."""


class Mending:
    """Looks after the agent's own troubles.  While one lasts, no task is taken."""

    def __init__(self, journal: Journal, outbox: Outbox, clock: IReactorTime) -> None:
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._again: IDelayedCall | None = None

    @property
    def lasts(self) -> bool:
        """Whether there is trouble."""
        return self._again is not None

    def look(self, trouble: bool = False) -> None:
        """Try again later, if something waits to be written.

        :param trouble: or if something else went wrong.
        """
        if self._again is None and (trouble or self._journal.behind):
            self._again = self._clock.callLater(AGAIN_S, self._try)

    def _try(self) -> None:
        self._again = None
        self._journal.catch_up()
        self._outbox.sweep()
        self.look()
