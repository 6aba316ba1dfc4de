"""What the bare servers answer to the hub's routes: read the body, repeat a constant."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

TASK_ID = "task-0123456789abcdef"

encode = msgspec.json.Encoder().encode


class Push(msgspec.Struct):
    """The only field of a push that its answer repeats."""

    agent_id: str


class One(msgspec.Struct):
    """A submission."""

    description: str


class Many(msgspec.Struct):
    """A batch of them."""

    tasks: list[One]


_decode_push = msgspec.json.Decoder(Push).decode
_decode_one = msgspec.json.Decoder(One).decode
_decode_many = msgspec.json.Decoder(Many).decode


def push(body: bytes) -> bytes:
    """The answer to ``POST /api/admin/push-task``."""
    agent_id = _decode_push(body).agent_id
    return encode({"status": "pushed", "task_id": TASK_ID, "agent_id": agent_id})


def one(body: bytes) -> bytes:
    """The answer to ``POST /api/tasks``."""
    _decode_one(body)
    told = {"status": "queued", "task_id": TASK_ID, "priority": "normal", "created_at": 0}
    return encode(told)


def many(body: bytes) -> bytes:
    """The answer to ``POST /api/tasks/batch``."""
    return encode({"task_ids": [TASK_ID] * len(_decode_many(body).tasks)})


POSTS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "/admin/push-task": (200, push),
    "/tasks": (201, one),
    "/tasks/batch": (201, many),
}
"""Status and answer by path, below ``/api``."""
