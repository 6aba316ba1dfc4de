"""The spine: Klein, Autobahn and the durable batch alone, as fast as they go together.

    python bench/spine.py PORT DATA_DIR      (port 0 takes a free one; the ready line tells which)

It answers the same requests and frames as the hub with the same rows on disk, but believes
everything: no authentication, no validation, no state machine, no timers, no watchers. What the hub
is slower than this is the price of its promises, and `run.py` puts a number on it. Stop it with
SIGTERM: how long its commits took is then in DATA_DIR/commits.json.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path
from typing import Any, cast

import msgspec
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from batch import Batches, Change, open_database
from klein import Klein
from measure import spread
from stack import QuietSite, like_the_hub, serve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

EMPTY = "{}"
encode = msgspec.json.Encoder().encode


class Push(msgspec.Struct):
    """The body of POST /api/admin/push-task."""

    agent_id: str
    description: str
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


class Frame(msgspec.Struct):
    """Any frame from an agent: one Struct for all is what a decoder without checks needs."""

    type: str
    agent_id: str = ""
    task_id: str = ""
    generation: int = 1
    result: msgspec.Raw = msgspec.Raw(b"null")


decode_push = msgspec.json.Decoder(Push).decode
decode_frame = msgspec.json.Decoder(Frame).decode


class Assign(msgspec.Struct, tag="task_assign"):
    """The frame that hands a task to its agent, with the fields that the hub sends."""

    task_id: str
    description: str
    metadata: msgspec.Raw
    assigned_at: int
    submitted_at: int
    generation: int = 1
    attempt: int = 1
    priority: str = "normal"
    submitted_by: str = "admin"


class Ack(msgspec.Struct, tag="task_ack"):
    """The answer to a report, sent after its commit."""

    task_id: str
    status: str


class AgentConnection(WebSocketServerProtocol):
    """One agent's socket; it puts itself into the factory's map when it identifies."""

    agent_id = ""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        frame = decode_frame(payload)
        if frame.type == "task_accepted":
            self._report(frame, "working", "accepted", None, EMPTY)
        elif frame.type == "task_complete":
            result = bytes(frame.result).decode()
            self._report(frame, "completed", "complete", result, '{"result":' + result + "}")
        elif frame.type == "identify":
            self.agent_id = frame.agent_id
            self.factory.agents[frame.agent_id] = self
            self.sendMessage(encode({"type": "identified", "agent_id": frame.agent_id}))

    def _report(
        self, frame: Frame, status: str, word: str, result: str | None, payload: str
    ) -> None:
        now = time.time_ns() // 1_000_000
        task_id = frame.task_id
        generation = frame.generation
        self.factory.batches.add(
            Change(
                None,
                (status, generation, result, now, task_id),
                (("task_" + word, task_id, self.agent_id, generation, now, payload),),
                lambda: self.sendMessage(encode(Ack(task_id, word))),
            )
        )


class AgentFactory(WebSocketServerFactory):
    """Autobahn's factory with the map from agent id to open socket."""

    protocol = AgentConnection

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        like_the_hub(self)
        self.batches = batches
        self.agents: dict[str, AgentConnection] = {}


def push_app(agents: AgentFactory, batches: Batches) -> Klein:
    """The one route: the task and its first two events join the batch, the rest comes after."""
    app = Klein()

    @app.route("/admin/push-task", methods=["POST"])
    def push(request: IRequest) -> Deferred[bytes]:
        body = decode_push(request.content.read())
        task_id = "task-" + secrets.token_hex(8)
        agent_id = body.agent_id
        now = time.time_ns() // 1_000_000
        answer: Deferred[bytes] = Deferred()

        def committed() -> None:
            request.setHeader(b"content-type", b"application/json")
            answer.callback(encode({"status": "pushed", "task_id": task_id, "agent_id": agent_id}))
            assign = Assign(task_id, body.description, body.metadata, now, now)
            agents.agents[agent_id].sendMessage(encode(assign))

        metadata = bytes(body.metadata).decode()
        batches.add(
            Change(
                (task_id, "assigned", agent_id, body.description, metadata, "admin", now, now),
                None,
                (
                    ("task_submitted", task_id, None, 0, now, '{"submitted_by":"admin"}'),
                    ("task_assigned", task_id, agent_id, 1, now, '{"attempt":1}'),
                ),
                committed,
            )
        )
        return answer

    return app


def site(agents: AgentFactory, batches: Batches) -> QuietSite:
    """One port for both: the route under /api, the agents under /ws."""
    root = Resource()
    root.putChild(b"api", push_app(agents, batches).resource())
    root.putChild(b"ws", WebSocketResource(agents))
    return QuietSite(root)


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
    agents = AgentFactory(batches)
    agents.startFactory()
    serve(reactor, site(agents, batches), options.port)
    batches.close()
    (options.data_dir / "commits.json").write_bytes(encode(commit_report(batches)))


if __name__ == "__main__":
    main()
