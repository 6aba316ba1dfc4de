"""The spine: Klein, Autobahn and the durable batch alone, as fast as they go together.

    python -m agentcom.bench.stacks.spine PORT DATA_DIR     (port 0 takes a free one; it says which)

It answers the same requests and frames as the hub with the same rows on disk, but believes
everything: no authentication, no validation, no state machine, no timers, no watchers. What the hub
is slower than this is the price of its promises, and `run.py` puts a number on it. Stop it with
SIGTERM: how long its commits took is then in DATA_DIR/commits.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from agentcom.bench.measure import spread
from agentcom.bench.stacks.batch import Batches, open_database
from agentcom.bench.stacks.quick import OrderedIds, QuickFrames, quick_site
from agentcom.bench.stacks.spine_messages import Messages
from agentcom.bench.stacks.spine_tasks import (
    Asked,
    AskedMany,
    Frame,
    Submitted,
    Tasks,
    encode,
    random_id,
)
from agentcom.bench.stacks.stack import QuietSite, like_the_hub, serve

ADMIN = "admin"
decode_asked = msgspec.json.Decoder(Asked).decode
decode_many = msgspec.json.Decoder(AskedMany).decode
decode_frame = msgspec.json.Decoder(Frame).decode


class AgentConnection(WebSocketServerProtocol):
    """One socket; it puts itself into the map when it identifies."""

    agent_id = ""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        frame = decode_frame(payload)
        tasks: Tasks = self.factory.tasks
        if frame.type == "task_submit":
            ref = frame.ref

            def said(ids: Sequence[str], now: int) -> None:
                self.say(encode(Submitted(ref, ids[0])))

            tasks.add((Asked(frame.description),), self.agent_id, said)
        elif frame.type == "identify":
            self.agent_id = frame.agent_id
            self.factory.connections[frame.agent_id] = self
            tasks.connect(frame.agent_id, self.sendMessage, frame.slots)
            self.say(encode({"type": "identified", "agent_id": frame.agent_id}))
        elif frame.type == "message":
            self.factory.messages.send(self, frame.to, frame.payload)
        elif frame.type == "ping":
            self.say(encode({"type": "pong", "timestamp": time.time_ns() // 1_000_000}))
        else:
            tasks.report(self.agent_id, frame, self.sendMessage)

    def say(self, frame: bytes) -> None:
        """Send a frame."""
        self.sendMessage(frame)  # type: ignore[no-untyped-call]  # Autobahn


class QuickConnection(QuickFrames, AgentConnection):  # type: ignore[misc]  # the mix is meant
    """The same with the hub's shortcuts through Autobahn."""


class AgentFactory(WebSocketServerFactory):
    """Autobahn's factory with tasks and messages beside it."""

    def __init__(self, batches: Batches, tasks: Tasks, quick: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Autobahn
        like_the_hub(self)
        self.protocol = QuickConnection if quick else AgentConnection
        self.tasks = tasks
        self.connections: dict[str, AgentConnection] = {}
        self.messages = Messages(batches, self.connections)


Answer = Callable[[Sequence[str], int], object]
Answered = Deferred[bytes]


def tasks_app(tasks: Tasks, sized: bool) -> Klein:
    """The routes: tasks join the batch, all else comes after.

    :param sized: say how long an answer is, as the hub does: it need not be sent in chunks then.
    """
    app = Klein()

    def submit(request: IRequest, code: int, asked: Sequence[Asked], answer: Answer) -> Answered:
        deferred: Answered = Deferred()

        def said(ids: Sequence[str], now: int) -> None:
            request.setResponseCode(code)
            request.setHeader(b"content-type", b"application/json")
            body = encode(answer(ids, now))
            if sized:
                request.setHeader(b"content-length", b"%d" % len(body))
            deferred.callback(body)

        tasks.add(asked, ADMIN, said)
        return deferred

    @app.route("/admin/push-task", methods=["POST"])
    def push(request: IRequest) -> Answered:
        body = decode_asked(request.content.read())
        said = {"status": "pushed", "task_id": "", "agent_id": body.agent_id}
        return submit(request, 200, (body,), lambda ids, now: {**said, "task_id": ids[0]})

    @app.route("/tasks", methods=["POST"])
    def one(request: IRequest) -> Answered:
        body = decode_asked(request.content.read())
        said = {"status": "queued", "task_id": "", "priority": "normal", "created_at": 0}
        return submit(
            request, 201, (body,), lambda ids, now: {**said, "task_id": ids[0], "created_at": now}
        )

    @app.route("/tasks/batch", methods=["POST"])
    def many(request: IRequest) -> Answered:
        body = decode_many(request.content.read())
        return submit(request, 201, body.tasks, lambda ids, now: {"task_ids": ids})

    return app


def site(agents: AgentFactory, tasks: Tasks, reactor: Any, quick: bool) -> QuietSite:
    """One port for all: the routes under /api, the agents under /ws, and /health."""
    health = Klein()

    @health.route("/", strict_slashes=False)
    def healthy(request: IRequest) -> bytes:
        request.setHeader(b"content-type", b"application/json")
        told = {"status": "ok", "service": "spine", "agents_connected": len(agents.connections)}
        return encode(told)

    root, app = Resource(), tasks_app(tasks, sized=quick)
    root.putChild(b"health", health.resource())
    root.putChild(b"api", app.resource())
    root.putChild(b"ws", WebSocketResource(agents))
    return quick_site(root, app, "/api", reactor) if quick else QuietSite(root)


def commit_report(batches: Batches) -> dict[str, Any]:
    """Sum up the commits of the whole run, in milliseconds."""
    commits = batches.commits
    return {
        "commits": len(commits),
        "changes_per_commit": round(sum(c.changes for c in commits) / max(1, len(commits)), 2),
        "commit_thread_ms": spread([c.thread_s for c in commits]),
        "commit_total_ms": spread([c.total_s for c in commits]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the spine on loopback.")
    parser.add_argument("port", type=int, help="0 for a free one")
    parser.add_argument("data_dir", type=Path, help="an empty directory on a real disk")
    parser.add_argument(
        "--switch-interval",
        type=float,
        metavar="MS",
        help="sys.setswitchinterval, for the experiment",
    )
    parser.add_argument(
        "--commit-inline",
        action="store_true",
        help="COMMIT on the reactor thread, for the experiment",
    )
    parser.add_argument(
        "--quick", action="store_true", help="the hub's shortcuts through the libraries"
    )
    parser.add_argument(
        "--ordered-ids",
        action="store_true",
        help="task ids that grow with time, likewise",
    )
    options = parser.parse_args()
    if options.switch_interval:
        sys.setswitchinterval(options.switch_interval / 1000)
    from twisted.internet import reactor

    batches = Batches(
        open_database(options.data_dir / "spine.db"),
        lambda work: reactor.callLater(0, work),
        cast(IReactorFromThreads, reactor).callFromThread,
        options.commit_inline,
    )
    tasks = Tasks(batches, OrderedIds() if options.ordered_ids else random_id)
    agents = AgentFactory(batches, tasks, options.quick)
    agents.startFactory()  # type: ignore[no-untyped-call]  # Autobahn
    quick = options.quick
    serve(reactor, site(agents, tasks, reactor, quick), options.port, quick)
    batches.close()
    (options.data_dir / "commits.json").write_bytes(encode(commit_report(batches)))


if __name__ == "__main__":
    main()
