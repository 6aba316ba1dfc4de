"""Keeps an agent connected: tries for ever, and knows when not to.

One coroutine, one session at a time.  What a session's ending means is
:func:`judge`, a pure function; how long to wait is the backoff's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from agentcom.client.backoff import Backoff
from agentcom.client.errors import ClientError, HubError
from agentcom.sidecar.session import FOR_GOOD, REPLACED, Ending, Session

REVOKED = 4003
TOKEN_EXPIRED = "token expired"
"""Close code of a token that is not good any more, and its reason where that is its age."""
REPLACED_WAIT_S = 30.0

TokenSource = Callable[[bool], Awaitable[str]]
OpenLine = Callable[[Session], Deferred[Any]]


class GiveUp(Exception):
    """Trying on is no use; the text says why and what to do."""


class Revoked(GiveUp):
    """The hub has thrown the agent out: nothing that it does counts any more."""


@dataclass(frozen=True)
class Again:
    """Try again.

    :ivar why: a sentence for the log.
    :ivar at_least_s: to wait before the backoff's own delay.
    :ivar renew: whether to ask for a new token first.
    :ivar at_once: there is nothing to wait for.
    """

    why: str
    at_least_s: float = 0.0
    renew: bool = False
    at_once: bool = False


def judge(agent_id: str, ending: Ending, *, first: bool, renewable: bool) -> Again:
    """What comes after a session.

    :param first: no session was identified so far.
    :param renewable: another token can be had and was not just tried.
    :raises GiveUp: nothing does; :class:`Revoked` among them.
    """
    # Nobody decided that this agent shall stop: its time was over.
    expired = ending.code == REVOKED and ending.reason == TOKEN_EXPIRED
    if ending.code == REVOKED and not expired:
        raise Revoked(
            f"the token of {agent_id} was revoked; make a new one with "
            f"`agentcom token create {agent_id}` and start the agent with it"
        )
    if expired:
        problem = f"the token of {agent_id} has expired"
    elif ending.refused == "token_agent_mismatch":
        problem = f"the token belongs to another agent than {agent_id}"
    elif ending.refused == "forbidden":
        raise GiveUp(
            f"the token of {agent_id} lacks the scope `agent`; make one that has it with "
            f"`agentcom token create {agent_id}`"
        )
    elif ending.refused in FOR_GOOD:
        raise GiveUp(f"the hub refuses what agent {agent_id} says of itself: {ending.problem}")
    elif ending.refused is not None:
        problem = f"the hub does not know the token of {agent_id} (or it has expired)"
    elif ending.code == REPLACED:
        return Again(
            f"another agent has connected as {agent_id}; if that is not meant, give one "
            "of them another --agent-id",
            REPLACED_WAIT_S if ending.retry_after_s is None else ending.retry_after_s,
        )
    else:
        detail = f" ({ending.reason or ending.code})" if ending.reason or ending.code else ""
        what = "the line to the hub is lost" if ending.identified else "the hub took no line"
        return Again(f"{what}{detail}", ending.retry_after_s or 0.0)
    if renewable:
        return Again(f"{problem}; getting a token anew", renew=True, at_once=True)
    if first:
        raise GiveUp(f"{problem}; make one with `agentcom token create {agent_id}`")
    # It was good before, so the hub's data may be on its way back.
    return Again(problem, ending.retry_after_s or 0.0)


class Connector:
    """Runs sessions one after the other.

    :param open_line: connects a session; what it returns fails with a sentence
        if it cannot.
    :param tokens: gives the token; called with whether the last one is bad.
    :param renewable: whether ``tokens`` can give another one.
    """

    log = Logger()

    def __init__(
        self,
        agent_id: str,
        new_session: Callable[[str], Session],
        open_line: OpenLine,
        tokens: TokenSource,
        renewable: bool,
        backoff: Backoff,
    ) -> None:
        self._agent_id = agent_id
        self._new_session = new_session
        self._open_line = open_line
        self._tokens = tokens
        self._renewable = renewable
        self._backoff = backoff
        self.session: Session | None = None
        self._stopped = False
        self._pause: tuple[Deferred[None], IDelayedCall] | None = None

    async def run(self, clock: IReactorTime) -> None:
        """Stay connected until :meth:`stop`.

        :raises GiveUp: the hub will not have this agent.
        :raises ClientError: the hub will make no first token.
        """
        first, renew = True, False
        while not self._stopped:
            again, ending = await self._once(renew, first)
            renew = again.renew
            if ending is not None and ending.identified:
                first = False
                if ending.stable:
                    self._backoff.reset()
            if not self._stopped:
                await self._rest(again, clock)

    def stop(self) -> None:
        """No further session; the present one is hung up."""
        self._stopped = True
        if self.session is not None:
            self.session.hang_up("the agent stops")
        self._wake()

    async def _once(self, renew: bool, first: bool) -> tuple[Again, Ending | None]:
        try:
            token = await self._tokens(renew)
        except ClientError as e:
            if first and isinstance(e, HubError) and not e.passing:
                raise
            # Known before, it goes on: the hub's data may be on its way back,
            # and what runs here must not be lost for it.
            return Again(str(e), renew=renew), None
        session = self.session = self._new_session(token)
        unreached: list[str] = []

        def failed(failure: Failure) -> None:
            unreached.append(failure.getErrorMessage())
            session.closed(None, unreached[0])

        if self._stopped:
            session.drop()
        else:
            self._open_line(session).addErrback(failed)
        ending = await session.ended
        self.session = None
        if self._stopped:
            return Again("stopped"), ending
        if unreached:
            return Again(unreached[0]), ending
        # A new token that is bad too is no reason for yet another one.
        renewable = self._renewable and not renew
        return judge(self._agent_id, ending, first=first, renewable=renewable), ending

    async def _rest(self, again: Again, clock: IReactorTime) -> None:
        delay = 0.0 if again.at_once else self._backoff.next_delay(again.at_least_s)
        self.log.warn("{why}; next try in {delay:.1f} s", why=again.why, delay=delay)
        pause: Deferred[None] = Deferred()
        self._pause = pause, clock.callLater(delay, self._wake)
        await pause

    def _wake(self) -> None:
        if self._pause is None:
            return
        pause, timer = self._pause
        self._pause = None
        if timer.active():
            timer.cancel()
        pause.callback(None)
