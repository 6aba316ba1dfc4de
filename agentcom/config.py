"""The hub's settings: checked once, frozen, passed on.

``tap.py`` turns command-line options into a :class:`Config`; everything else
is given what it needs of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agentcom.errors import StartError

DEFAULT_LISTEN = "tcp:4000:interface=127.0.0.1"
MIB = 1024 * 1024
LEAST_BUFFER = 64 * 1024
"""Bytes that a frame and the way out must have room for."""

MOST_FRAME = 1024 * MIB
MOST_BUFFER = 64 * 1024 * MIB

MOST_UNIDENTIFIED = 10_000
"""Connections without a name by default: as many agents may come back at once."""

UNIX = "unix"
"""Stands for the peers of unix sockets among trusted proxies."""

SHORTCUTS = ("frames", "polls", "requests", "writes")
"""Ways around slow parts of the libraries, by what they speed up; see :mod:`agentcom.shortcuts`."""

SHOWN = 80
"""Characters of a wrong value that its error repeats."""

_PAGE = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one hub.

    :ivar listen: Twisted server endpoint strings.
    :ivar database: the SQLite file.
    :ivar min_free: bytes of free disk under which no new work is taken.
    :ivar max_queued: tasks that may wait.
    :ivar retain_s: seconds that ended tasks are kept, ``None`` for ever.
    :ivar message_rate: messages a second of one agent, ``None`` for no limit.
    :ivar mailbox_size: messages that wait for one agent.
    :ivar mailbox_s: seconds that they wait, ``None`` for ever.
    :ivar retain_messages_s: seconds that messages are kept, ``None`` for ever.
    :ivar presence_limit: agents up to which ``presence: auto`` gets events.
    :ivar drain_s: seconds that a stop may take.
    :ivar send_buffer: bytes that may wait for an agent that reads slowly.
    :ivar ping_s: seconds between pings to a silent agent.
    :ivar silence_s: seconds of silence after which a connection is closed.
    :ivar max_connections: of all kinds; ``None`` for what open files allow.
    :ivar max_unidentified: WebSocket connections that have not identified;
        ``None`` for half of all, at most 10 000.
    :ivar public_url: what clients reach the hub by, without a path.
    :ivar allow_origins: origins of pages, beside the hub's own, that may call it.
    :ivar log_requests: whether each answer of a route is a line of the log.
    :ivar trusted_proxies: networks, and ``unix``, whose forwarding headers count.
    :ivar shortcuts: those of :data:`SHORTCUTS` that are taken.
    :ivar stall_log_ms: turns of the reactor that take so many milliseconds are logged with
        the place where it was; 0: none.  Needs the shortcut ``polls``.
    """

    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    data_dir: Path
    database: Path
    min_free: int = 256 * MIB
    max_queued: int = 2_000_000
    retain_s: float | None = 30 * 86_400.0
    message_rate: float | None = 50.0
    mailbox_size: int = 1_000
    mailbox_s: float | None = 7 * 86_400.0
    retain_messages_s: float | None = 7 * 86_400.0
    presence_limit: int = 200
    open_registration: bool = False
    drain_s: float = 10.0
    max_frame: int = MIB
    send_buffer: int = 8 * MIB
    ping_s: float = 20.0
    silence_s: float = 60.0
    max_connections: int | None = None
    max_unidentified: int | None = None
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    log_requests: bool = False
    allow_origins: tuple[str, ...] = ()
    shortcuts: frozenset[str] = frozenset(SHORTCUTS)
    stall_log_ms: float = 0.0


def connections_of(config: Config, most: int) -> tuple[int, int]:
    """How many connections there may be in all, and how many of nobody known.

    :param most: what the limit on open files allows.
    """
    in_all = min(config.max_connections or most, most)
    unidentified = config.max_unidentified or min(MOST_UNIDENTIFIED, max(1, in_all // 2))
    return in_all, min(unidentified, in_all)


def data_dir_of(option: str | None, environ: Mapping[str, str]) -> Path:
    """The data directory: the option, else ``$AGENTCOM_HOME``, else ``~/.agentcom``."""
    chosen = option or environ.get("AGENTCOM_HOME")
    return Path(chosen).absolute() if chosen else Path.home() / ".agentcom"


def database_of(url: str | None, data_dir: Path) -> Path:
    """The SQLite file that a database URL names.

    :raises StartError: the URL is not one that this version can use.
    """
    if not url:
        return data_dir / "agentcom.db"
    try:
        parts = urlsplit(url)
    except ValueError as e:
        raise StartError(f"--database is not a URL: {e}") from None
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path) < 2:
        raise StartError(
            f"--database {_without_password(url)}: use sqlite:////absolute/path or sqlite:///relative"
        )
    return Path(parts.path[1:]).absolute()


def public_url_of(text: str | None) -> str | None:
    """The address of ``--public-url``, in lower case and without a slash at its end.

    :raises StartError: it is not ``http[s]://name[:port]``.
    """
    if text is None:
        return None
    try:
        parts = urlsplit(text.rstrip("/").lower())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{name}" + ("" if port is None else f":{port}")
    # Put together again it must be the same: no path, no user, no query.
    if parts.scheme not in ("http", "https") or not _NAME.fullmatch(name) or url != parts.geturl():
        raise StartError(
            "--public-url must be https://name or https://name:port, without a path and a user"
        )
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return url.removesuffix(default)


def trusted_proxies_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The proxies of ``--trusted-proxy``.

    :raises StartError: one is neither an address, nor a network, nor ``unix``.
    """
    found = []
    for text in texts:
        try:
            found.append(UNIX if text == UNIX else str(ip_network(text, strict=False)))
        except ValueError:
            raise StartError(
                "--trusted-proxy must be an address such as 10.0.0.7, a network such as "
                f"10.0.0.0/8, or unix, not {text[:SHOWN]!r}"
            ) from None
    return tuple(found)


def origins_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The pages of ``--allow-origin``, as browsers name them.

    :raises StartError: one is not ``scheme://name[:port]``.
    """
    for text in texts:
        if not _PAGE.fullmatch(text.lower()):
            raise StartError(
                "--allow-origin must be what browsers send, such as https://tools.example or "
                f"http://localhost:3000, not {text[:SHOWN]!r}"
            )
    return tuple(text.lower() for text in texts)


def shortcuts_of(text: str) -> frozenset[str]:
    """The shortcuts of ``--shortcuts``: ``all``, ``none``, or names by comma.

    :raises StartError: there is none of that name.
    """
    if text == "all":
        return frozenset(SHORTCUTS)
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SHORTCUTS:
            raise StartError(
                f"--shortcuts must be all, none, or of {', '.join(SHORTCUTS)} by comma, "
                f"not {name[:SHOWN]!r}"
            )
    return frozenset(names)


def number(name: str, text: str, least: float, most: float, *, whole: bool = False) -> float:
    """An option's number.

    :raises StartError: it is none, or out of bounds.
    """
    try:
        value = float(int(text)) if whole else float(text)
    except (ValueError, OverflowError):
        kind = "a whole number" if whole else "a number"
        raise StartError(f"--{name} must be {kind}, not {text[:SHOWN]!r}") from None
    if not least <= value <= most:
        raise StartError(f"--{name} must be from {least:g} to {most:g}, not {text[:SHOWN]}")
    return value


def duration(name: str, text: str, least: float, most: float) -> float:
    """An option's time in seconds: ``90``, ``45s``, ``10m``, ``12h``, ``30d``.

    :raises StartError: it is none, or out of bounds.
    """
    factor = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}.get(text[-1:])
    try:
        value = float(text) if factor is None else float(text[:-1]) * factor
    except (ValueError, OverflowError):
        raise StartError(f"--{name} must be a time such as 30d, not {text[:SHOWN]!r}") from None
    if not least <= value <= most:
        raise StartError(
            f"--{name} must be from {least:g} s to {most / 86_400:g} d, not {text[:SHOWN]}"
        )
    return value


def size(name: str, text: str, least: int = 0, most: int = 2**53) -> int:
    """An option's number of bytes: ``1048576``, ``512KiB``, ``256MiB``, ``2GiB``.

    :raises StartError: it is none, or not from ``least`` to ``most``.
    """
    units = {"KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB, "": 1}
    for unit, factor in units.items():
        digits = text.removesuffix(unit).strip()
        if text.endswith(unit) and digits.isascii() and digits.isdigit() and len(digits) < 16:
            if not least <= int(digits) * factor <= most:
                raise StartError(f"--{name} must be from {least} to {most} bytes, not {text}")
            return int(digits) * factor
    raise StartError(f"--{name} must be a size such as 256MiB, not {text[:SHOWN]!r}")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
