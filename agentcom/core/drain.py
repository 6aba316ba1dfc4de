"""An operator's word that somebody is to be given nothing more."""

from __future__ import annotations

import msgspec


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """A drain of one agent, or of the whole hub.  Times are Unix milliseconds.

    :ivar by: the agent id of the operator's token.
    :ivar since: when it began; saying it anew does not change this.
    :ivar note: why, in the operator's words.
    :ivar deadline: until when what runs may go on, ``None`` for as long as it takes.
    :ivar drained_at: when the last task had ended, ``None`` while one runs.
    """

    by: str
    since: int
    note: str | None = None
    deadline: int | None = None
    drained_at: int | None = None

    def passed(self, now: int) -> bool:
        """Whether the deadline is over.

        :param now: Unix milliseconds.
        """
        return self.deadline is not None and self.deadline <= now

    def words(self) -> str:
        """Who drains it and why, as the end of a sentence in one line."""
        note = " ".join((self.note or "").split())
        return f"by {self.by}: {note}" if note else f"by {self.by}"
