"""An agent's mailbox over HTTP: read it, wait for what comes, acknowledge."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from agentcom.core.tokens import AGENT, Token
from agentcom.errors import AgentNotFound, Unauthorized
from agentcom.http.filters import LIMIT
from agentcom.http.route import Answer, Call, Route, number
from agentcom.http.shown import CURSOR_MOST, PAGE, PAGE_MOST
from agentcom.hub.hub import Hub
from agentcom.hub.revocation import Ended
from agentcom.wire.answers.messages import Acked, MailboxShown
from agentcom.wire.messages import AckMailbox, all_shown

MAILBOX = "/api/mailbox/<agent_id>"

WAIT_MOST_S = 60
"""Seconds that a look may wait for a message."""


class MailboxRoutes:
    """The mailboxes; each agent has its own, an administrator all."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waits: dict[Deferred[None], Token | None] = {}
        hub.revocation.listen(self._ended)

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        return [
            Route(
                method="GET",
                path=MAILBOX,
                name="read_mailbox",
                scope=AGENT,
                own="agent_id",
                query_token=True,
                query=(
                    number("since", "Only messages after this ``seq``.", 0, 0, CURSOR_MOST),
                    LIMIT,
                    number("wait", "Seconds to wait for a message.", 0, 0, WAIT_MOST_S),
                ),
                answers={200: MailboxShown},
                refuses=(AgentNotFound,),
                handler=self.read,
            ),
            Route(
                method="POST",
                path=f"{MAILBOX}/ack",
                name="ack_mailbox",
                scope=AGENT,
                own="agent_id",
                body=AckMailbox,
                example={"seq": 17},
                answers={200: Acked},
                refuses=(AgentNotFound,),
                handler=self.acknowledge,
            ),
        ]

    async def read(self, call: Call) -> Answer:
        """What waits after ``since``; where nothing does, wait for it ``wait`` seconds."""
        agent_id = call.args["agent_id"]
        since = call.number("since", 0, 0, CURSOR_MOST)
        limit = call.number("limit", PAGE, 1, PAGE_MOST)
        wait_s = call.number("wait", 0, 0, WAIT_MOST_S)
        mail = self._hub.messages.mail
        mail.check(agent_id)
        found = await mail.await_some(agent_id, since, limit, wait_s, self._left(call))
        if call.token is None or not self._hub.auth.still_good(call.token):
            raise Unauthorized
        messages = all_shown(found.messages)
        answer = {
            "agent_id": agent_id,
            "messages": messages,
            "last_seq": found.last_seq,
            "count": len(messages),
            "dropped": found.dropped,
        }
        return Answer(200, answer)

    async def acknowledge(self, call: Call) -> Answer:
        """All up to and including a ``seq`` need not be kept."""
        agent_id = call.args["agent_id"]
        self._hub.check_running()
        self._hub.messages.mail.check(agent_id)
        done: Deferred[int] = Deferred()
        self._hub.messages.messaging.acknowledge(agent_id, call.body.seq, done.callback)
        return Answer(200, {"status": "acked", "up_to": await done})

    def _left(self, call: Call) -> Deferred[None]:
        """Fires when the client is gone, has its answer, or may not have it any more."""
        left: Deferred[None] = Deferred()
        self._waits[left] = call.token
        call.request.notifyFinish().addBoth(lambda _: self._fire(left))
        return left

    def _ended(self, what: Ended) -> None:
        for left, token in list(self._waits.items()):
            if token is not None and what.ends(token):
                self._fire(left)

    def _fire(self, left: Deferred[None]) -> None:
        if left in self._waits:
            del self._waits[left]
            left.callback(None)
