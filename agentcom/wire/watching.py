"""What the hub says of a watch; what asks for one is in :mod:`.frames`.

Each ``cursor`` stands after all that was sent before it.
"""

from __future__ import annotations

from agentcom.wire.frames import ToAgent


class Watching(ToAgent, frozen=True, kw_only=True, tag="watching"):
    """From here on."""

    cursor: str


class Unwatched(ToAgent, frozen=True, kw_only=True, tag="unwatched"):
    """No more comes.

    :ivar cursor: ``None`` where there was no watch.
    """

    cursor: str | None


class EventsGap(ToAgent, frozen=True, kw_only=True, tag="events_gap"):
    """Events before ``first`` are gone.

    :ivar first: the cursor of the first that is not missing.
    :ivar last: the newest that there is.
    """

    first: str
    last: str
    cursor: str


class WatchEnded(ToAgent, frozen=True, kw_only=True, tag="watch_ended"):
    """The hub has ended the watch.

    :ivar reason: one word.
    """

    reason: str
    cursor: str
