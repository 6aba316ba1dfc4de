"""The calls on mailboxes and what was said; ``HubClient`` in ``hub`` has them all."""

from __future__ import annotations

from agentcom.client import replies
from agentcom.client.transport import Transport

NO_AGENT = "agent_not_found"
NO_MESSAGE = "message_not_found"


class MailCalls:
    """Reading mailboxes, history and threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def mailbox(
        self, agent_id: str, *, since: int = 0, limit: int | None = None, wait_s: int | None = None
    ) -> replies.Letters:
        """What waits for an agent after ``since``, oldest first.

        :param wait_s: seconds to wait where nothing does, at most 20: a client
            waits no longer for any answer than some seconds more.
        """
        return await self._transport.call(
            "GET",
            ("api", "mailbox", agent_id),
            replies.Letters,
            params={"since": since or None, "limit": limit, "wait": wait_s},
            missing=NO_AGENT,
        )

    async def ack_mailbox(self, agent_id: str, seq: int) -> replies.Acked:
        """Everything up to and including ``seq`` need not be kept."""
        return await self._transport.call(
            "POST",
            ("api", "mailbox", agent_id, "ack"),
            replies.Acked,
            body={"seq": seq},
            missing=NO_AGENT,
        )

    async def messages(
        self,
        *,
        sender: str | None = None,
        to: str | None = None,
        channel: str | None = None,
        start_time: int | None = None,
        end_time: int | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> replies.Messages:
        """What was said, newest first; times are Unix milliseconds."""
        return await self._transport.call(
            "GET",
            ("api", "messages"),
            replies.Messages,
            params={
                "from": sender,
                "to": to,
                "channel": channel,
                "start_time": start_time,
                "end_time": end_time,
                "cursor": cursor,
                "limit": limit,
            },
        )

    async def thread(self, message_id: str, *, cursor: str | None = None) -> replies.Thread:
        """The whole thread that a message is in, oldest first."""
        return await self._transport.call(
            "GET",
            ("api", "threads", message_id),
            replies.Thread,
            params={"cursor": cursor},
            missing=NO_MESSAGE,
        )
