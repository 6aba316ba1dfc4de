"""From the text of a frame to its Struct, or to the error that says what is wrong."""

from __future__ import annotations

from typing import Any, Union

import msgspec
from msgspec import Raw

from agentcom.errors import AgentComError, UnknownMessageType, ValidationFailed
from agentcom.wire import frames
from agentcom.wire.codec import decode, decode_object, decode_text, encode

TYPE_SHOWN = 64
"""Characters of an unknown ``type`` that its error repeats."""

_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(struct) for name, struct in frames.FROM_AGENT.items()
}
_ANY_FRAME: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    Union[frames.FRAME_TYPES]  # noqa: UP007  # made of a tuple
)


def read(data: bytes) -> Any:
    """Decode a frame.

    :param data: known to be UTF-8.
    :raises InvalidJSON: no JSON object.
    :raises UnknownMessageType: a ``type`` that there is not.
    :raises ValidationFailed: fields that are missing or wrong, all of them.
    """
    return decode_text(data, _ANY_FRAME) or _look_closer(data)


def with_ref(error: AgentComError, ref: object, **fields: object) -> AgentComError:
    """The error with the ``ref`` of the frame that it answers, if it had one."""
    if isinstance(ref, Raw) and bytes(ref):
        error.fields["ref"] = ref
    error.fields.update(fields)
    return error


def _look_closer(data: bytes) -> Any:
    value = decode_object(data)
    kind = value.get("type")
    ref = Raw(encode(value["ref"])) if "ref" in value else frames.NO_JSON
    if not isinstance(kind, str):
        what = "required" if kind is None else "wrong_type"
        told = {"field": "type", "error": what, "detail": "a frame has a type, a string"}
        raise with_ref(ValidationFailed([told]), ref, message_type=None)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise with_ref(UnknownMessageType(message_type=kind[:TYPE_SHOWN]), ref)
    try:
        return decode(data, decoder)
    except ValidationFailed as e:
        raise with_ref(e, ref, message_type=kind) from None
