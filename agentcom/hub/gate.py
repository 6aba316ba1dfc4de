"""Whether anything new is taken now, and why not.

A hub that is stopping, or whose store fails, takes no new work and says so;
reports it always takes.
"""

from __future__ import annotations

from agentcom.errors import HubStopping, StoreUnavailable
from agentcom.store.interface import Store


class Gate:
    """Lets new work in, or refuses it.

    :ivar stopping: nothing that changes anything is taken any more.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.stopping = False

    def trouble(self) -> str | None:
        """Why nothing new can be taken now; ``None`` when all is well."""
        return "the hub is stopping" if self.stopping else self._store.trouble()

    def well(self) -> bool:
        """Whether nothing is wrong; a hub that drains is well."""
        return self.trouble() is None

    def check_running(self) -> None:
        """Refuse what changes anything while the hub drains.

        :raises HubStopping: it does.
        """
        if self.stopping:
            raise HubStopping("the hub is stopping: try again in some seconds")

    def check_open(self) -> None:
        """Let nothing new in when it could not be kept.

        :raises HubStopping: the hub drains.
        :raises StoreUnavailable: the store fails, or the disk is nearly full.
        """
        self.check_running()
        trouble = self._store.trouble()
        if trouble is not None:
            raise StoreUnavailable(f"{trouble}: nothing new is taken now, try again later")
