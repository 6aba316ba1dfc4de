"""Waits for conditions that somebody else makes true."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred


class Waiting:
    """Who waits for what; looks whenever it is told to."""

    def __init__(self) -> None:
        self._waiters: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fires when the condition holds, at once if it does; may be cancelled."""
        waiter: Deferred[None] = Deferred()
        self._waiters.append((condition, waiter))
        self.look()
        return waiter

    def look(self) -> None:
        """Something has changed."""
        ready = [entry for entry in self._waiters if entry[0]()]
        self._waiters = [entry for entry in self._waiters if entry not in ready]
        for _, waiter in ready:
            waiter.callback(None)
