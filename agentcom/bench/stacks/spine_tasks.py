"""What the spine does to tasks: make them, hand them round, write down what agents report.

It has no state in memory but the sockets: it believes what it is told, writes it, and says so after
the commit. The rows, events and frames are the hub's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

import msgspec

from agentcom.bench.stacks.batch import Batches, Change, Row

EMPTY = "{}"
encode = msgspec.json.Encoder().encode

Send = Callable[[bytes], None]


class Asked(msgspec.Struct):
    """One task that somebody asks for; the body of a push, and of POST /api/tasks."""

    description: str
    agent_id: str | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


class AskedMany(msgspec.Struct):
    """The body of POST /api/tasks/batch."""

    tasks: list[Asked]


class Frame(msgspec.Struct):
    """Any frame from an agent: one Struct for all is what a decoder without checks needs."""

    type: str
    agent_id: str = ""
    task_id: str = ""
    generation: int = 1
    slots: int = 1
    ref: int = 0
    description: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")
    to: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")


class Assign(msgspec.Struct, tag="task_assign"):
    """The frame that hands a task to its agent, with the fields that the hub sends."""

    task_id: str
    description: str
    metadata: msgspec.Raw
    assigned_at: int
    submitted_at: int
    submitted_by: str
    generation: int = 1
    attempt: int = 1
    priority: str = "normal"


class Ack(msgspec.Struct, tag="task_ack"):
    """The answer to a report, sent after its commit."""

    task_id: str
    status: str


class Submitted(msgspec.Struct, tag="task_submitted"):
    """The answer to a submission over WebSocket."""

    ref: int
    task_id: str


def random_id() -> str:
    return "task-" + secrets.token_hex(8)


class Tasks:
    """Every task goes through here; `connected` is the map from agent id to open socket."""

    def __init__(self, batches: Batches, new_id: Callable[[], str]) -> None:
        self.connected: dict[str, Send] = {}
        self._new_id = new_id
        self._batches = batches
        self._taking: list[str] = []
        self._turn = 0

    def connect(self, agent_id: str, send: Send, slots: int) -> None:
        """Put a socket into the map; without slots it takes no work."""
        self.connected[agent_id] = send
        if slots:
            self._taking.append(agent_id)

    def add(
        self, asked: Sequence[Asked], by: str, said: Callable[[Sequence[str], int], None]
    ) -> None:
        """Make tasks in one change; once they are on disk, say so and hand them over.

        :param said: is told the ids of the tasks and when they were made.
        """
        now = time.time_ns() // 1_000_000
        submitted = f'{{"submitted_by":"{by}"}}'
        ids: list[str] = []
        rows: list[Row] = []
        events: list[Row] = []
        assigned: list[tuple[str, Assign]] = []
        for one in asked:
            task_id = self._new_id()
            agent_id = one.agent_id
            if agent_id is None:
                agent_id = self._taking[self._turn % len(self._taking)]
                self._turn += 1
            metadata = bytes(one.metadata).decode()
            ids.append(task_id)
            rows.append((task_id, "assigned", agent_id, one.description, metadata, by, now, now))
            events.append(("task_submitted", task_id, None, 0, now, submitted))
            events.append(("task_assigned", task_id, agent_id, 1, now, '{"attempt":1}'))
            frame = Assign(task_id, one.description, one.metadata, now, now, by)
            assigned.append((agent_id, frame))

        def committed() -> None:
            said(ids, now)
            for agent_id, frame in assigned:
                self.connected[agent_id](encode(frame))

        self._batches.add(Change(rows, None, events, committed))

    def report(self, agent_id: str, frame: Frame, send: Send) -> None:
        """Write what an agent says of its task, and acknowledge it once that is on disk."""
        if frame.type == "task_accepted":
            status, word, result, payload = "working", "accepted", None, EMPTY
        else:
            result = bytes(frame.result).decode()
            status, word, payload = "completed", "complete", '{"result":' + result + "}"
        now = time.time_ns() // 1_000_000
        task_id, generation = frame.task_id, frame.generation
        self._batches.add(
            Change(
                (),
                (status, generation, result, now, task_id),
                (("task_" + word, task_id, agent_id, generation, now, payload),),
                lambda: send(encode(Ack(task_id, word))),
            )
        )
