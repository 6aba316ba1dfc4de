"""The settings of an agent: a TOML file for the service, arguments for ``Agent``.

Each setting has one check, which both use.  The file is checked as a whole
before anything is opened; whatever is wrong is one sentence that names the
file, the setting and what to do.
"""

from __future__ import annotations

import difflib
import math
import shlex
import shutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentcom.client.urls import HubURL
from agentcom.core.ids import RESERVED_AGENT_IDS
from agentcom.errors import StartError

MOST_SLOTS = 10_000
MOST_TEXT = 256
"""Characters of a name, a capability, a label and its value, as the hub takes them."""

MOST_ID = 128
MOST_CAPABILITIES = 1_000
MOST_LABELS = 256
MOST_DRAIN_S = 7 * 86_400.0
SHOWN = 80


@dataclass(frozen=True)
class AgentSettings:
    """What the file of an agent says; ``None`` where it says nothing.

    :ivar hub: ``None`` for ``$AGENTCOM_HUB``, or this machine.
    :ivar command: what is run for each task; ``None`` with :attr:`python`.
    :ivar python: a module and the name of the ``Agent`` in it.
    :ivar state_dir: ``None`` for the usual place in :attr:`data_dir`.
    :ivar data_dir: the hub's, on its own machine; ``None`` for the usual one.
    :ivar drain_limit_s: seconds that running work may take after the first signal.
    :ivar folder: where the file is; what it names is relative to that.
    """

    folder: Path
    hub: HubURL | None
    agent_id: str | None
    command: tuple[str, ...] | None
    python: tuple[str, str] | None
    token_file: Path | None
    slots: int | None
    capabilities: tuple[str, ...] | None
    labels: Mapping[str, str] | None
    name: str | None
    data_dir: Path | None
    state_dir: Path | None
    drain_limit_s: float


def read_settings(path: Path) -> AgentSettings:
    """The settings in a file.

    :raises StartError: it cannot be read, or something in it cannot be.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as e:
        raise StartError(f"cannot read {path}: {e.strerror}") from None
    except UnicodeDecodeError:
        raise StartError(f"{path} is not UTF-8") from None
    return parse_settings(text, path)


def parse_settings(text: str, path: Path) -> AgentSettings:
    """The same of a text that stands at ``path``.

    :raises StartError: something in it cannot be.
    """
    try:
        given = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as e:
        raise StartError(f"{path} is not TOML: {e}") from None
    found: dict[str, Any] = {}
    for key, value in given.items():
        check = _CHECKS.get(key)
        if check is None:
            raise StartError(f"{path}: {_unknown(key)}")
        try:
            found[key] = check(key, value)
        except (TypeError, ValueError) as e:
            raise StartError(f"{path}: {e}") from None
    if ("exec" in found) == ("python" in found):
        what = "give one of exec and python, not both" if "exec" in found else _NOTHING_TO_RUN
        raise StartError(f"{path}: {what}")
    if "exec" in found and "agent_id" not in found:
        raise StartError(f"{path}: agent_id is missing; it says who the agent is")
    folder = path.absolute().parent

    def where(key: str) -> Path | None:
        # A daemon changes its directory later.
        return folder / Path(found[key]).expanduser() if key in found else None

    return AgentSettings(
        folder=folder,
        hub=found.get("hub"),
        agent_id=found.get("agent_id"),
        command=found.get("exec"),
        python=found.get("python"),
        token_file=where("token_file"),
        slots=found.get("slots"),
        capabilities=found.get("capabilities"),
        labels=found.get("labels"),
        name=found.get("name"),
        data_dir=where("data_dir"),
        state_dir=where("state_dir"),
        drain_limit_s=found.get("drain_limit_s", 0.0),
    )


def agent_id_of(key: str, value: object) -> str:
    """Who an agent is.

    :raises TypeError, ValueError: with a sentence that begins with ``key``,
        as all these checks do.
    """
    text = _text(key, value, MOST_ID)
    if text in RESERVED_AGENT_IDS:
        raise ValueError(f"{key} {text!r} is reserved; choose another one")
    return text


def slots_of(key: str, value: object) -> int:
    """How many tasks an agent works on at a time."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{key} must be a whole number, not {_shown(value)}")
    if not 1 <= value <= MOST_SLOTS:
        raise ValueError(f"{key} must be from 1 to {MOST_SLOTS}, not {_shown(value)}")
    return value


def capabilities_of(key: str, value: object) -> tuple[str, ...]:
    """What an agent can do."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f'{key} must be a list of texts like ["python"], not {_shown(value)}')
    if len(value) > MOST_CAPABILITIES:
        raise ValueError(f"{key} may have at most {MOST_CAPABILITIES} entries, not {len(value)}")
    return tuple(_text(f"each of {key}", entry) for entry in value)


def labels_of(key: str, value: object) -> dict[str, str]:
    """What an agent is like."""
    if not isinstance(value, Mapping):
        raise TypeError(f'{key} must be a table of texts like os = "linux", not {_shown(value)}')
    if len(value) > MOST_LABELS:
        raise ValueError(f"{key} may have at most {MOST_LABELS} entries, not {len(value)}")
    return {
        _text(f"each name in {key}", name): _text(f"{key}.{name}", label, least=0)
        for name, label in value.items()
    }


def name_of(key: str, value: object) -> str:
    """How an agent is shown to people."""
    return _text(key, value)


def hub_of(key: str, value: object) -> HubURL:
    """Where the hub is."""
    try:
        return HubURL.parse(_text(key, value, 2_000))
    except ValueError as e:
        raise ValueError(f"{key}: {e}") from None


def token_of(key: str, value: object) -> str:
    """An agent's token; the sentences do not show it."""
    if not isinstance(value, str):
        raise TypeError(f"{key} must be a text, not {type(value).__name__}")
    return _text(key, value.strip())


def drain_limit_of(key: str, value: object) -> float:
    """Seconds that running work may take after the first signal."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{key} must be a number of seconds, not {_shown(value)}")
    if not (math.isfinite(value) and 0 <= value <= MOST_DRAIN_S):
        raise ValueError(f"{key} must be from 0 to {MOST_DRAIN_S:.0f} seconds, not {value}")
    return float(value)


def _command(key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as e:
            raise ValueError(f"{key} cannot be split into words: {e}") from None
    elif isinstance(value, list) and all(isinstance(word, str) for word in value):
        words = value
    else:
        raise TypeError(f"{key} must be a text or a list of texts, not {_shown(value)}")
    if not words or not words[0]:
        raise ValueError(f"{key} is empty; name a command")
    if any("\0" in word for word in words):
        raise ValueError(f"{key} has a NUL character in it")
    if shutil.which(words[0]) is None:
        raise ValueError(f"{key}: there is no command {words[0]!r}")
    return tuple(words)


def _python(key: str, value: object) -> tuple[str, str]:
    module, colon, name = _text(key, value).partition(":")
    parts = [*module.split("."), name]
    if not colon or not all(part.isidentifier() for part in parts):
        raise ValueError(f"{key} must be like module:agent, not {_shown(value)}")
    return module, name


def _path(key: str, value: object) -> str:
    text = _text(key, value, 4_096)
    if "\0" in text:
        raise ValueError(f"{key} has a NUL character in it")
    return text


def _text(key: str, value: object, most: int = MOST_TEXT, least: int = 1) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{key} must be a text, not {_shown(value)}")
    if len(value.strip()) < least:
        raise ValueError(f"{key} is empty")
    if len(value) > most:
        raise ValueError(f"{key} may have at most {most} characters, not {len(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{key} is not UTF-8") from None
    return value


def _shown(value: object) -> str:
    told = repr(value)
    return told if len(told) <= SHOWN else f"{told[:SHOWN]}..."


def _unknown(key: str) -> str:
    if key == "token":
        return (
            "a token does not belong here; write it to a file that only its owner "
            "can read and name that as token_file"
        )
    near = difflib.get_close_matches(key, _CHECKS, 1)
    hint = f"did you mean {near[0]}?" if near else f"those that there are: {', '.join(_CHECKS)}"
    return f"there is no setting {_shown(key)}; {hint}"


_NOTHING_TO_RUN = 'say what to run: exec = "COMMAND" or python = "MODULE:NAME" (above all [tables])'
_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "hub": hub_of,
    "agent_id": agent_id_of,
    "token_file": _path,
    "exec": _command,
    "python": _python,
    "slots": slots_of,
    "capabilities": capabilities_of,
    "labels": labels_of,
    "name": name_of,
    "data_dir": _path,
    "state_dir": _path,
    "drain_limit_s": drain_limit_of,
}
