"""The whole hub out of service, as before a stop: what runs ends, nothing more begins.

In memory only: it prepares the end of this process, and a hub that was
started again is meant to work.  Submissions are taken all the same, for they
are on disk and wait; a push is an order to begin now, so it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from agentcom.core import events
from agentcom.core.drain import Drain
from agentcom.core.events import Draft, payload
from agentcom.errors import HubDraining
from agentcom.hub.dispatch import Dispatch
from agentcom.hub.ledger import Ledger
from agentcom.store.interface import Store, Unit

Told = dict[str, Any]


class HubDrain:
    """Drains the hub, and ends that.

    :param check_open: raises when nothing new can be kept.
    :param now: Unix milliseconds.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        dispatch: Dispatch,
        check_open: Callable[[], None],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._dispatch = dispatch
        self._check_open = check_open
        self._now = now

    def begin(self, by: str, deadline_s: float | None, note: str | None) -> Deferred[Told]:
        """Assign nothing more; another word of it replaces deadline and note.

        :param by: the agent id of the operator's token.
        :param deadline_s: seconds after which the drain counts as late; what
            still runs then is left to its agents.
        :returns: :meth:`state` as it was decided, once the event is on disk.
        """
        now = self._now()
        before = self._dispatch.standstill
        drain = Drain(
            by=by,
            since=now if before is None else before.since,
            note=note,
            deadline=None if deadline_s is None else now + int(deadline_s * 1000),
        )
        self._dispatch.stand_still(drain)
        self.log.info("the hub is drained {words}", words=drain.words())
        answer = self.state()
        told = payload(by=by, note=note, deadline=drain.deadline)
        return self._log(events.HUB_DRAINING, told).addCallback(lambda _: answer)

    def end(self, by: str) -> Deferred[None]:
        """Assign again; nothing changes where the hub was not drained.

        :param by: the agent id of the operator's token.
        :returns: fires once the event is on disk.
        """
        if self._dispatch.standstill is None:
            return self._ledger.settled()
        self.log.info("the hub is resumed by {by}", by=by)
        done = self._log(events.HUB_RESUMED, payload(by=by))
        self._dispatch.stand_still(None)
        return done

    def state(self) -> Told:
        """Whether the hub drains, and how far it is."""
        drain = self._dispatch.standstill
        running = self._dispatch.holdings.total()
        told: Told = {
            "status": "serving" if drain is None else "draining",
            "running": running,
            "by": None,
            "note": None,
            "since": None,
            "deadline": None,
            "deadline_passed": False,
            "drained": drain is not None and not running,
        }
        if drain is not None:
            told.update(by=drain.by, note=drain.note, since=drain.since, deadline=drain.deadline)
            told["deadline_passed"] = drain.passed(self._now())
        return told

    def trouble(self) -> str | None:
        """Why nothing begins here, for ``/ready``; ``None`` where it does."""
        drain = self._dispatch.standstill
        if drain is None:
            return None
        return "draining" if drain.note is None else f"draining: {drain.note}"

    def check_push(self) -> None:
        """Refuse what is to begin at once.

        :raises HubDraining: the hub is drained.
        :raises HubStopping: the hub stops.
        :raises StoreUnavailable: the store fails, or the disk is nearly full.
        """
        self._check_open()
        drain = self._dispatch.standstill
        if drain is not None:
            raise HubDraining(
                f"the hub is drained {drain.words()}; submit the task to the queue instead,"
                " or push it again when the hub works again",
                note=drain.note,
                deadline=drain.deadline,
            )

    def _log(self, event: str, told: bytes) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        draft = Draft(events.PRESENCE, event, self._now(), payload=told)
        self._store.commit(Unit(drafts=(draft,), then=lambda: done.callback(None)))
        return done
