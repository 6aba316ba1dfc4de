"""Looks over a data directory and its database, also while a hub runs on them.

It changes nothing.  Everything that is found is a :class:`Finding`: what is so,
and what to do about it where something is wrong.
"""

from __future__ import annotations

import fcntl
import os
import resource
import sqlite3
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from agentcom.core.ids import ADMIN_ID
from agentcom.datadir import free_bytes
from agentcom.store import invariants, migrate
from agentcom.store.backup import opened
from agentcom.store.restore import revisions

MIB = 1024 * 1024
LARGE_LOG = 1024 * MIB
"""Bytes of SQLite's log that want a look: something reads one old state for long."""

FEW_FILES = 4_096
"""Open files below which a hub has no room for many agents."""

MOST_NAMES = 1_000
"""Files of a data directory whose permissions are looked at."""

AHEAD_MS = 60_000
"""Milliseconds that the newest event may be ahead of the clock."""

OK, PROBLEM = "ok", "problem"

Look = Callable[[str], None]
"""Told of each look before it begins; some take long."""


class Finding(msgspec.Struct, frozen=True):
    """What one look has found.

    :ivar name: of the look.
    :ivar state: ``ok`` or ``problem``.
    :ivar told: what is so.
    :ivar todo: what to do about it; empty where all is well.
    """

    name: str
    state: str
    told: str
    todo: str = ""


def check(data_dir: Path, *, min_free: int, now: int, look: Look) -> Iterator[Finding]:
    """Look over all of it.

    :param min_free: bytes of free disk that the hub is told to keep.
    :param now: Unix milliseconds.
    """
    look("data directory")
    if not data_dir.is_dir():
        todo = "name the hub's --data-dir, or start the hub there once"
        yield _problem("data directory", f"there is no directory {data_dir}", todo)
        return
    yield from _private(data_dir)
    yield _lock(data_dir)
    yield _disk(data_dir, min_free)
    yield _open_files(data_dir)
    database = data_dir / "agentcom.db"
    if not database.is_file():
        todo = "start the hub once, or restore a backup with agentcom restore"
        yield _problem("database", f"there is no database {database}", todo)
        return
    yield from _leftovers(database)
    try:
        db = opened(database)
        try:
            yield from _database(db, database, now, look)
        finally:
            db.close()
    except sqlite3.Error as e:
        todo = "restore a backup with agentcom restore"
        yield _problem("database", f"{database} cannot be read: {e}", todo)


def holder(lock: Path) -> int | None:
    """The process that holds a lock of a hub, 0 where it says none; ``None`` where it is free."""
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # Shared, and for a moment: it keeps out neither a hub that runs nor another look.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.read(file, 32).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    else:
        return None
    finally:
        os.close(file)


def _private(data_dir: Path) -> Iterator[Finding]:
    wrong = False
    try:
        files = [path for path in islice(data_dir.iterdir(), MOST_NAMES) if path.is_file()]
    except OSError:
        # Told below: it is not this user's.
        files = []
    for path, most in ((data_dir, 0o700), *((path, 0o600) for path in sorted(files))):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        except OSError as e:
            todo = "run this as the user that the hub runs as"
            yield _problem("permissions", f"{path} cannot be looked at: {e.strerror}", todo)
            return
        mode = stat.S_IMODE(found.st_mode)
        if mode & ~most:
            wrong = True
            told = f"{path} has mode {mode:04o}: others can get at it"
            yield _problem("permissions", told, f"chmod {most:o} {path}")
        if found.st_uid != data_dir.stat().st_uid:
            wrong = True
            todo = f"chown it to the user that the hub runs as: {path}"
            yield _problem("permissions", f"{path} belongs to another user", todo)
    if os.geteuid() not in (0, data_dir.stat().st_uid):
        wrong = True
        todo = "run this as the user that the hub runs as"
        yield _problem("permissions", f"{data_dir} belongs to another user", todo)
    if not wrong:
        yield Finding("permissions", OK, f"{data_dir} is its owner's alone")


def _lock(data_dir: Path) -> Finding:
    pid = holder(data_dir / "lock")
    if pid is None:
        return Finding("hub", OK, "no hub runs on it")
    if pid and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
        told = f"the lock is held, but there is no process {pid} here"
        return _problem("hub", told, "look for the hub in another container on this directory")
    return Finding("hub", OK, f"a hub runs on it, process {pid}")


def _disk(data_dir: Path, min_free: int) -> Finding:
    free = free_bytes(data_dir)
    told = f"{free // MIB} MiB of disk are free"
    if free >= 2 * min_free:
        return Finding("disk", OK, told)
    when = "no new work is taken" if free < min_free else "soon no new work will be taken"
    todo = "make room, or keep tasks for a shorter time with --retain"
    return _problem("disk", f"{told}, --min-free is {min_free // MIB} MiB: {when}", todo)


def _open_files(data_dir: Path) -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    whose = "of this shell"
    pid = holder(data_dir / "lock")
    if pid:
        try:
            text = Path(f"/proc/{pid}/limits").read_text()
            (line,) = (x for x in text.splitlines() if x.startswith("Max open files"))
            hard, whose = int(line.split()[4]), "of the hub"
        except (OSError, ValueError):
            pass
    if 0 <= hard < FEW_FILES:
        told = f"open files: the hard limit {whose} is {hard}; each agent needs one"
        return _problem("open files", told, "raise it: LimitNOFILE= of systemd, or ulimit -Hn")
    return Finding("open files", OK, f"open files: the hard limit {whose} is {hard}")


def _leftovers(database: Path) -> Iterator[Finding]:
    half = database.with_name(database.name + ".restoring")
    try:
        # Not by the lock of the directory: a hub that runs has that, too.
        at_work = holder(half) is not None
    except OSError:
        # Another user's, as root's while it restores.
        at_work = True
    if database.stat().st_nlink > 1 and not at_work:
        told = f"{database} has a second name: a restore was interrupted"
        todo = f"delete the newest {database.name}.before-restore-* beside it"
        yield _problem("restore", told, todo)
    if half.exists() and not at_work:
        told = f"{half} is there: a restore was interrupted"
        yield _problem("restore", told, "delete it, or restore again")
    try:
        size = database.with_name(database.name + "-wal").stat().st_size
    except OSError:
        size = 0
    if size > LARGE_LOG:
        todo = "end what reads the database for long (a backup, a shell), then restart the hub"
        yield _problem("log", f"SQLite's log has {size // MIB} MiB", todo)
    else:
        yield Finding("log", OK, f"SQLite's log has {size // MIB} MiB")


def _database(db: sqlite3.Connection, path: Path, now: int, look: Look) -> Iterator[Finding]:
    # One state for all looks: a hub may be writing.
    db.execute("BEGIN")
    try:
        (revision,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.OperationalError, TypeError):
        yield _problem("schema", f"{path} is no database of a hub", "restore a backup")
        return
    if revision == migrate.HEAD:
        yield Finding("schema", OK, f"the schema is this version's, {revision}")
    elif revision in revisions():
        told = f"the schema is {revision}, this version's is {migrate.HEAD}"
        yield Finding("schema", OK, f"{told}: the next start brings it there")
    else:
        told = f"the schema is of a newer version, {revision}; this one knows {migrate.HEAD}"
        yield _problem("schema", told, "install the newer version")
        return
    yield from _integrity(db, look)
    yield from _rules(db, look)
    yield from _clock(db, now)
    yield from _admin(db, now)


def _integrity(db: sqlite3.Connection, look: Look) -> Iterator[Finding]:
    look("integrity (reads the whole database)")
    errors = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
    strays = db.execute("PRAGMA foreign_key_check").fetchmany(5)
    if errors != ["ok"] or strays:
        told = "; ".join(str(e).replace("\n", " ")[:120] for e in [*errors, *strays] if e != "ok")
        todo = "stop the hub and restore a backup with agentcom restore"
        yield _problem("integrity", f"the database is damaged: {told}", todo)
    else:
        yield Finding("integrity", OK, "the database is sound")


def _rules(db: sqlite3.Connection, look: Look) -> Iterator[Finding]:
    found = 0
    for broken in invariants.broken(db, lambda rule: look(rule.about)):
        found += 1
        more = "+" if broken.count == invariants.COUNTED else ""
        told = f"not so: {broken.rule.about} ({broken.count}{more}: {', '.join(broken.names)})"
        todo = "keep a copy (agentcom backup), report it, and restore a backup from before it"
        yield _problem("contents", told, todo)
    if not found:
        yield Finding("contents", OK, f"{len(invariants.RULES)} rules of tasks and messages hold")


def _clock(db: sqlite3.Connection, now: int) -> Iterator[Finding]:
    (newest,) = db.execute(
        "SELECT MAX(timestamp) FROM (SELECT timestamp FROM events ORDER BY seq DESC LIMIT 100)"
    ).fetchone()
    if newest is not None and newest > now + AHEAD_MS:
        told = f"the newest events are {(newest - now) // 1000} s ahead of this machine's clock"
        yield _problem("clock", told, "set the clock, and let it follow a time server")
    else:
        yield Finding("clock", OK, "the clock is not behind what is stored")


def _admin(db: sqlite3.Connection, now: int) -> Iterator[Finding]:
    good = db.execute(
        "SELECT 1 FROM tokens WHERE agent_id = ? AND revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > ?) LIMIT 1",
        (ADMIN_ID, now),
    ).fetchone()
    if good is None:
        told = "no admin token is good"
        yield _problem("tokens", told, "make one: agentcom token create --admin")
    else:
        yield Finding("tokens", OK, "there is a good admin token")


def _problem(name: str, told: str, todo: str) -> Finding:
    return Finding(name, PROBLEM, told, todo)
