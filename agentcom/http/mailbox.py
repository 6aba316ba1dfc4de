"""An agent's mailbox over HTTP: read it, wait for what comes, acknowledge."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from agentcom.core.tokens import AGENT
from agentcom.http.route import Answer, Call, Route
from agentcom.http.shown import CURSOR_MOST, PAGE, PAGE_MOST
from agentcom.hub.hub import Hub
from agentcom.wire.messages import AckMailbox, all_shown

MAILBOX = "/api/mailbox/<agent_id>"

WAIT_MOST_S = 60
"""Seconds that a look may wait for a message."""


class MailboxRoutes:
    """The mailboxes; each agent has its own, an administrator all."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

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
                handler=self.read,
            ),
            Route(
                method="POST",
                path=f"{MAILBOX}/ack",
                name="ack_mailbox",
                scope=AGENT,
                own="agent_id",
                body=AckMailbox,
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
        found = await mail.await_some(agent_id, since, limit, wait_s, _left(call.request))
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


def _left(request: Request) -> Deferred[None]:
    """Fires when the client is gone, or has its answer."""
    return request.notifyFinish().addBoth(lambda _: None)
