"""Messages over HTTP: send one, look up what was said, and threads."""

from __future__ import annotations

from msgspec import Struct
from twisted.internet.defer import Deferred

from agentcom.core.tokens import ADMIN, AGENT
from agentcom.errors import MessageNotFound, RateLimited
from agentcom.http.filters import CURSOR, LIMIT, PLACE
from agentcom.http.route import Answer, Call, Handler, Query, Route, number, text
from agentcom.http.shown import CURSOR_MOST, PAGE, PAGE_MOST
from agentcom.hub.history import Thread
from agentcom.hub.hub import Hub
from agentcom.hub.messaging import Sent
from agentcom.store.interface import MessageFilter
from agentcom.wire.answers.messages import (
    MessageList,
    MessageSent,
    RepliesShown,
    RootShown,
    ThreadShown,
)
from agentcom.wire.codec import encode
from agentcom.wire.http import PostMessage
from agentcom.wire.messages import all_shown, shown

THREAD = "/api/threads/<message_id>"

FILTERS = (
    text("from", "Only messages of this sender."),
    text("to", "Only messages to this agent."),
    text("channel", "Only messages of this channel."),
    number("start_time", "Only messages since then, Unix milliseconds.", None, 0, CURSOR_MOST),
    number("end_time", "Only messages until then, Unix milliseconds.", None, 0, CURSOR_MOST),
    CURSOR,
    LIMIT,
)


class MessageRoutes:
    """What agents say, and what was said."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        return [
            Route(
                method="POST",
                path="/api/message",
                name="send_message",
                scope=AGENT,
                body=PostMessage,
                required=("payload",),
                example={"to": "builder-1", "payload": {"text": "how far are you?"}},
                answers={200: MessageSent},
                refuses=(RateLimited,),
                handler=self.send,
            ),
            _reading("/api/messages", "list_messages", self.list, MessageList, FILTERS),
            _reading(THREAD, "get_thread", self.thread, ThreadShown, PLACE),
            _reading(f"{THREAD}/root", "thread_root", self.root, RootShown),
            _reading(f"{THREAD}/replies", "thread_replies", self.replies, RepliesShown, PLACE),
        ]

    async def send(self, call: Call) -> Answer:
        """Send a message as the token's agent; answered once it is on disk."""
        body: PostMessage = call.body
        done: Deferred[Sent] = Deferred()
        self._hub.messages.send(
            call.caller, body.to, body.type, encode(body.payload), body.reply_to, done.callback
        )
        sent = await done
        answer = {"status": "sent", "id": sent.id}
        if sent.note is not None:
            answer["note"] = sent.note
        return Answer(200, answer)

    async def list(self, call: Call) -> Answer:
        """What the caller may see, newest first, by filter."""
        wanted = MessageFilter(
            sender=call.query("from"),
            to=call.query("to"),
            channel=call.query("channel"),
            start_time=_time(call, "start_time"),
            end_time=_time(call, "end_time"),
            before=call.number("cursor", 0, 0, CURSOR_MOST) or None,
            limit=call.number("limit", PAGE, 1, PAGE_MOST),
        )
        page = await self._hub.messages.history.page(_reader(call), wanted)
        return Answer(200, {"messages": all_shown(page.messages), "cursor": _cursor(page.next)})

    async def thread(self, call: Call) -> Answer:
        """The whole thread that a message is in."""
        look = self._hub.messages.history.thread
        thread = await look(_reader(call), call.args["message_id"], *_place(call))
        return Answer(200, {"root": thread.root, **_shown(thread)})

    async def replies(self, call: Call) -> Answer:
        """Direct answers to a message."""
        message_id = call.args["message_id"]
        look = self._hub.messages.history.replies
        thread = await look(_reader(call), message_id, *_place(call))
        return Answer(200, {"message_id": message_id, "root": thread.root, **_shown(thread)})

    async def root(self, call: Call) -> Answer:
        """The first message of a thread."""
        root = await self._hub.messages.history.root(_reader(call), call.args["message_id"])
        return Answer(200, {"root": root.id, "message": shown(root)})


def _reading(
    path: str, name: str, handler: Handler, answer: type[Struct], query: tuple[Query, ...] = ()
) -> Route:
    return Route(
        method="GET",
        path=path,
        name=name,
        scope=AGENT,
        query_token=True,
        query=query,
        answers={200: answer},
        refuses=(MessageNotFound,) if path.startswith(THREAD) else (),
        handler=handler,
    )


def _reader(call: Call) -> str | None:
    """Who looks; ``None`` for one who may see all."""
    return None if call.token is not None and call.token.allows(ADMIN) else call.caller


def _time(call: Call, name: str) -> int | None:
    return None if call.query(name) is None else call.number(name, 0, 0, CURSOR_MOST)


def _place(call: Call) -> tuple[int, int]:
    after = call.number("cursor", 0, 0, CURSOR_MOST)
    return after, call.number("limit", PAGE_MOST, 1, PAGE_MOST)


def _cursor(place: int | None) -> str | None:
    return None if place is None else str(place)


def _shown(thread: Thread) -> dict[str, object]:
    messages = all_shown(thread.messages)
    return {"messages": messages, "count": len(messages), "cursor": _cursor(thread.next)}
