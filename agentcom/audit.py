"""The audit log: who did what, from where, and what came of it.

For what changes who may do what, and what takes work from somebody: tokens,
sign-ins, drains, cancels, deletes; and for whoever was refused.  What is
submitted and reported has its own record in the event log.  No line has a
body or a token, and what strangers can cause cannot push out what others did.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from agentcom.core.session import SessionToken
from agentcom.errors import AgentComError, Forbidden, InvalidToken, TokenAgentMismatch
from agentcom.hub.revocation import SESSION_ENDED
from agentcom.wire.codec import encode

if TYPE_CHECKING:
    from twisted.web.server import Request

    from agentcom.http.routing import Asked
    from agentcom.hub.revocation import Ended

EVERYDAY = frozenset(
    (
        "push_task",
        "submit_task",
        "submit_batch",
        "send_message",
        "publish",
        "subscribe",
        "unsubscribe",
        "ack_mailbox",
    )
)
"""Routes that change something all the time: the event log and the history have it."""

DENIED = frozenset((401, 403, 429))

FAILED = 400
"""The least status of a request that did nothing."""

OF_SESSIONS = frozenset(("sign_in", "sign_out"))
"""Routes that whoever has a token can call as often as they like."""

OF_TOKENS = (InvalidToken, TokenAgentMismatch, Forbidden)

SAFE = frozenset(("GET", "HEAD"))

AT_ONCE = 100
EVERY_S = 1.0
"""Lines of one kind that may be written at once, and seconds after which one more may be."""

MANY_AT_ONCE = 1_000
MANY_EVERY_S = 0.1
"""The same for what one agent's good tokens do."""

TELL_EVERY_S = 10.0
"""Seconds between lines that count those which were not written."""

SHOWN = 200
"""Characters of one text."""

HIDDEN = "[hidden]"
_SECRET = re.compile(r"[0-9A-Fa-f]{64}")
"""What tokens look like: somebody may put one where an id goes."""


class Allowance:
    """How many lines of one kind are written, since anybody can cause them.

    :param more: the ``act`` of the line that counts the others.
    """

    def __init__(self, more: str, at_once: int = AT_ONCE, every_s: float = EVERY_S) -> None:
        self.more = more
        self.untold = 0
        self._every_s = every_s
        self._room_s = at_once * every_s
        self._full_at = self._tell_at = 0.0

    def take(self, now: float) -> bool:
        """Whether one more is written; if not, it is counted.

        :param now: seconds of a steady clock, here and below.
        """
        full_at = max(now, self._full_at) + self._every_s
        if full_at - now > self._room_s + self._every_s / 2:
            self.untold += 1
            return False
        self._full_at = full_at
        return True

    def is_new(self, now: float) -> bool:
        """Whether another one in its place would be the same."""
        return not self.untold and now >= max(self._full_at, self._tell_at)

    def count(self, now: float) -> int:
        """How many were not written, each told once; 0 while it is too early to say."""
        if not self.untold or now < self._tell_at:
            return 0
        self._tell_at = now + TELL_EVERY_S
        untold, self.untold = self.untold, 0
        return untold


class Audit:
    """Writes a line for each thing that was done.

    :param write: takes a line, without its end; never fails.
    :param now: Unix milliseconds.
    :param seconds: a steady clock.
    :param address: where a request comes from.
    """

    log = Logger()

    def __init__(
        self,
        write: Callable[[bytes], None],
        now: Callable[[], int],
        seconds: Callable[[], float],
        address: Callable[[Request], str],
    ) -> None:
        self._write = write
        self._now = now
        self._seconds = seconds
        self._address = address
        # Each has its own, so that one flood does not hide what others do.
        self._of_strangers = Allowance("denied_more")
        self._failed = Allowance("failed_more")
        self._without_token = Allowance("done_more")
        self._sessions = Allowance("sessions_more")
        self._known: dict[str, Allowance] = {}

    def answered(self, asked: Asked, status: int) -> None:
        """A request was answered; see :data:`.routing.Listener`."""
        route = asked.route
        denied = status in DENIED
        if not denied and (route.method in SAFE or route.name in EVERYDAY):
            return
        try:
            if self._allowance(asked, status).take(self._seconds()):
                self._tell_request(asked, status)
        except Exception:
            self.log.failure("while writing the audit log")

    def _allowance(self, asked: Asked, status: int) -> Allowance:
        """What limits the line of this request."""
        if status >= FAILED:
            return self._of_strangers if asked.token is None else self._failed
        if asked.route.name in OF_SESSIONS:
            return self._sessions
        if asked.token is None:
            return self._without_token
        agent_id = asked.token.agent_id
        known = self._known.get(agent_id)
        if known is None:
            known = Allowance("done_more", MANY_AT_ONCE, MANY_EVERY_S)
            self._known[agent_id] = known
        return known

    def _tell_request(self, asked: Asked, status: int) -> None:
        token = asked.token
        who: dict[str, object] = {}
        if token is not None:
            in_browser = isinstance(token, SessionToken)
            who["agent_id"] = token.agent_id
            who["token"] = "session" if in_browser else token.prefix
        target = {**asked.args, **(getattr(asked.request, "target", None) or {})}
        self._line(
            asked.route.name,
            status=status,
            **who,
            address=self._address(asked.request),
            method=asked.route.method,
            target={name: _short(value) for name, value in target.items()},
            request_id=_short(asked.request_id),
        )

    def identify_refused(self, address: str, agent_id: str, error: AgentComError) -> None:
        """An ``identify`` was refused; told where its token was not good for it.

        :param agent_id: the one that was claimed.
        """
        if isinstance(error, OF_TOKENS) and self._of_strangers.take(self._seconds()):
            target = {"agent_id": _short(agent_id)}
            self._line("identify", error=error.code, address=address, target=target)

    def ended(self, what: Ended) -> None:
        """Tokens or sessions are not good any more, and what they opened is closed."""
        if what.reason == SESSION_ENDED and not self._sessions.take(self._seconds()):
            return
        target = {} if what.agent_id is None else {"agent_id": _short(what.agent_id)}
        self._line(
            "ended",
            reason=what.reason,
            tokens=len(what.tokens),
            sessions=len(what.sessions),
            target=target,
        )

    def tick(self) -> None:
        """Tell how many lines were too many to be written."""
        now = self._seconds()
        for allowance in (
            self._of_strangers,
            self._failed,
            self._without_token,
            self._sessions,
        ):
            count = allowance.count(now)
            if count:
                self._line(allowance.more, count=count)
        for agent_id, allowance in list(self._known.items()):
            count = allowance.count(now)
            if count:
                self._line(allowance.more, agent_id=agent_id, count=count)
            elif allowance.is_new(now):
                del self._known[agent_id]

    def _line(self, act: str, **fields: object) -> None:
        self._write(encode({"time": self._now(), "act": act, **fields}))


def _short(value: Any) -> str:
    """A text of a peer's, cut, and fit for JSON; no token is in it."""
    text = _SECRET.sub(HIDDEN, str(value))
    return text[:SHOWN].encode("utf-8", "replace").decode()
