"""A copy of a database that is in use, made beside it, and only shown when it is whole.

SQLite's own backup reads one state of the database while a hub goes on
writing: the hub waits for nothing, its log only grows meanwhile.  The copy is
a single file, checked before it gets its name.  :mod:`.restore` is the way
back.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agentcom.datadir import free_bytes

PAGES = 256
"""Pages that are copied at a time, 1 MiB with SQLite's own size of a page."""

SYNC_EVERY = 16
"""Steps after which the copy is written through: a large heap of unwritten
pages would hold up the hub's own commits."""

SPARE = 64 * 1024 * 1024
"""Bytes of disk that a copy must leave free."""

Told = Callable[[int, int], None]
"""Hears of progress: bytes done, and bytes in all."""


class BackupError(Exception):
    """A backup or a restore cannot be made; says what to do, in one sentence."""


class Facts(msgspec.Struct, frozen=True):
    """What a database holds.

    :ivar size: of its file, in bytes.
    :ivar revision: of its schema.
    :ivar last_seq: the newest number of its event log.
    """

    size: int
    revision: str
    epoch: str
    last_seq: int
    tasks: int


def back_up(database: Path, target: Path, *, force: bool, told: Told) -> Facts:
    """Copy a database, also while a hub uses it.

    The copy is written to ``TARGET.partial`` and renamed when it is whole and
    on disk, with mode 0600.

    :param force: a file that is there already is replaced.
    :raises BackupError: it cannot be made; an earlier file is as it was.
    """
    if not database.is_file():
        raise BackupError(f"there is no database {database}: name the hub's --data-dir")
    check_target(database, target, force)
    partial = target.with_name(target.name + ".partial")
    try:
        with exclusive(partial) as file:
            try:
                copy(database, partial, file, told)
                facts = verified(partial)
                os.fsync(file)
                _show(partial, target, force)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        sync_directory(target.parent)
    except sqlite3.Error as e:
        raise BackupError(f"cannot back up {database}: {e}") from e
    except OSError as e:
        raise BackupError(f"cannot write {target}: {e.strerror or e}") from e
    return facts


def check_target(database: Path, target: Path, force: bool) -> None:
    """See that a backup may be written there.

    :raises BackupError: it may not.
    """
    if not target.parent.is_dir():
        raise BackupError(f"there is no directory {target.parent}: make it first")
    if target.is_dir():
        raise BackupError(f"{target} is a directory: name a file")
    if os.path.lexists(target):
        if not target.is_file():
            raise BackupError(f"{target} is no plain file: name another")
        if target.samefile(database):
            raise BackupError(f"{target} is the database itself: name another file")
        if not force:
            raise BackupError(f"{target} is there already: name another file, or give --force")


def copy(database: Path, partial: Path, file: int, told: Told) -> None:
    """Copy a database as it is now into a file that nobody else knows.

    :param file: open on ``partial``.
    :raises BackupError: it does not fit on the disk, or is no database.
    """
    source = opened(database)
    try:
        # From here on this connection sees one state.  Without it each commit of
        # the hub would make the copy begin anew.
        source.execute("BEGIN")
        source.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        page = int(source.execute("PRAGMA page_size").fetchone()[0])
        needed = int(source.execute("PRAGMA page_count").fetchone()[0]) * page
        free = free_bytes(partial.parent)
        if free < needed + SPARE:
            raise BackupError(
                f"{partial.parent} has {free} bytes free, the copy needs {needed + SPARE}:"
                " make room, or name another place"
            )
        _copy_pages(source, partial, file, page, told)
    except sqlite3.DatabaseError as e:
        raise BackupError(f"cannot read {database}: {e}") from e
    finally:
        source.close()


def opened(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing; other programs may write meanwhile."""
    # Not ``mode=ro``: to read a log of changes, SQLite makes its index beside it.
    address = path.absolute().as_uri() + "?mode=rw"
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA busy_timeout=5000")
    return connection


def verified(path: Path) -> Facts:
    """See that a copy is sound and make it one file.

    :raises BackupError: it is damaged, or no hub's database.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # As its original it would look for a log beside it.
        connection.execute("PRAGMA journal_mode=DELETE")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise BackupError(f"the database is damaged ({found}): run agentcom check")
        return facts_of(connection, path)
    finally:
        connection.close()


def facts_of(connection: sqlite3.Connection, path: Path) -> Facts:
    """What a database holds.

    :raises BackupError: it is no hub's.
    """
    try:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        epoch, last_seq = connection.execute("SELECT epoch, last_seq FROM meta").fetchone()
        (tasks,) = connection.execute("SELECT COUNT(*) FROM tasks").fetchone()
    except (sqlite3.DatabaseError, TypeError) as e:
        raise BackupError(f"{path} is no database of a hub: {e}") from None
    return Facts(path.stat().st_size, str(revision), str(epoch), int(last_seq), int(tasks))


@contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """A new, empty file that this process alone writes to; what was there is gone.

    :raises BackupError: another process is writing it.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupError(f"another process is writing {path}: wait for it") from None
        os.fchmod(file, 0o600)
        os.ftruncate(file, 0)
        for suffix in ("-journal", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        yield file
    finally:
        os.close(file)


def sync_directory(path: Path) -> None:
    """Bring to disk which files a directory has."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _copy_pages(
    source: sqlite3.Connection, partial: Path, file: int, page: int, told: Told
) -> None:
    target = sqlite3.connect(partial, isolation_level=None)
    steps = 0

    def step(_: int, remaining: int, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps % SYNC_EVERY == 0:
            os.fdatasync(file)
        told((total - remaining) * page, total * page)

    try:
        # What is half a copy after a crash is thrown away, so it needs no journal.
        target.execute("PRAGMA journal_mode=OFF")
        target.execute("PRAGMA synchronous=OFF")
        source.backup(target, pages=PAGES, progress=step)
    finally:
        target.close()


def _show(partial: Path, target: Path, force: bool) -> None:
    if force:
        partial.replace(target)
        return
    try:
        # Unlike a rename it replaces nothing that came meanwhile.
        os.link(partial, target)
    except FileExistsError:
        raise BackupError(f"{target} is there already: name another file") from None
    except OSError:
        partial.rename(target)
    else:
        partial.unlink()
