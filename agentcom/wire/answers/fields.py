"""Kinds of fields that several answers have, with an example of each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

TaskRef = Annotated[str, Meta(examples=["task-5bb1ca85a1d32ec9"])]
AgentRef = Annotated[str, Meta(examples=["builder-1"])]
MessageRef = Annotated[str, Meta(examples=["9d1c03f2ab77e610"])]
ChannelRef = Annotated[str, Meta(examples=["builds"])]
Secret = Annotated[
    str, Meta(examples=["9bac20f0c1de4b7fa1d7e5b43c02d8896f10a4e2b7c95d3386fe51a07c42b9d1"])
]
Millis = Annotated[int, Meta(description="Unix milliseconds", examples=[1795352090345])]
Seconds = Annotated[float, Meta(description="seconds", examples=[30.0])]
Count = Annotated[int, Meta(ge=0, examples=[1])]
Words = Annotated[str, Meta(examples=["say hello"])]
ListCursor = Annotated[str, Meta(description="for the next page", examples=["4711"])]
EventCursor = Annotated[
    str, Meta(description="a place in the event log", examples=["851106ff:4711"])
]
