"""Put a backup in the place of a hub's database, so that old and new are not confused.

What happened between the backup and now is unknown to the restored hub, but
not to agents and watchers.  So the log gets a new epoch, and numbers that were
given out in that time are jumped over: an attempt that began after the backup
can never be taken for one of the restored hub (docs/architecture.rst,
"A restore jumps").
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from agentcom.core.ids import MAX_INTEGER
from agentcom.datadir import DataDir, Lock
from agentcom.store import migrate
from agentcom.store.backup import (
    BackupError,
    Facts,
    Told,
    copy,
    exclusive,
    facts_of,
    sync_directory,
)

GENERATIONS = 1_000_000
"""Generations of a task that are jumped over at least: more than one task can have had since."""

MESSAGES = 10**12
"""Numbers of messages that are jumped over at least: years of the busiest hub."""

MESSAGES_A_MS = 1_000
"""More than any hub takes.  Numbers grow with the time at which they are jumped
to, or a second restore of one backup would jump to where the first did."""

MOST = MAX_INTEGER - MESSAGES
"""The highest number that may be jumped to: so many are left to be given out."""

KEPT_LOGS = ("-wal", "-journal")
LOG_FILES = (*KEPT_LOGS, "-shm")
"""What SQLite keeps beside a database; the last is made anew where it is missing."""

Step = Callable[[str], None]
"""Told of each step before it begins."""


class Given(msgspec.Struct, frozen=True):
    """The highest numbers that a database has given out; 0 where it is not known."""

    generation: int = 0
    message_seq: int = 0


class Restored(msgspec.Struct, frozen=True):
    """What a restore has done.

    :ivar facts: of the database that is there now.
    :ivar kept: where the database is that was there before; ``None`` if none was.
    :ivar held: tasks that agents had when the backup was made.
    """

    facts: Facts
    kept: Path | None
    held: int


def restore(
    backup: Path, data_dir: Path, *, epoch: str, stamp: str, now: int, told: Told, step: Step
) -> Restored:
    """Give a data directory the database of a backup.

    A process that is killed on the way leaves the database that was there, or
    the restored one.

    :param epoch: of the restored event log; a new one.
    :param stamp: names the database that was there: ``agentcom.db.before-restore-STAMP``.
    :param now: Unix milliseconds; numbers are given out from there on.
    :raises BackupError: it cannot be done; nothing has changed.
    :raises StartError: a hub runs there, or the directory cannot be written.
    """
    if not backup.is_file():
        raise BackupError(f"there is no file {backup}")
    # A link is followed, or the restored file would be put where it is.
    database = (data_dir / "agentcom.db").resolve()
    if database.exists() and backup.samefile(database):
        raise BackupError(f"{backup} is the hub's own database: name a backup")
    folder, lock = DataDir(data_dir), Lock(data_dir / "agentcom.db.lock")
    folder.acquire()
    try:
        lock.acquire()
        for name in ("lock", "agentcom.db.lock"):
            _give(data_dir / name, data_dir)
        return _restore(backup, database, epoch, stamp, now, told, step)
    except sqlite3.Error as e:
        raise BackupError(f"cannot restore {backup}: {e}") from e
    except OSError as e:
        raise BackupError(f"cannot restore to {data_dir}: {e.strerror or e}") from e
    finally:
        lock.release()
        folder.release()


def revisions() -> set[str]:
    """The revisions of the schema that this version knows."""
    found = (migrate.MIGRATIONS / "versions").glob("r*.py")
    return {path.name[1:].partition("_")[0] for path in found}


def given(database: Path) -> Given:
    """What a database that is to be replaced has given out, as far as it can be read.

    Nothing is changed, not even by what SQLite does when it opens or closes one.
    """
    try:
        if not database.stat().st_size:
            # SQLite would throw its log away.
            return Given()
        # It can make its index beside the log, but not move the log.
        db = sqlite3.connect(database.as_uri() + "?mode=ro", uri=True, isolation_level=None)
    except (OSError, sqlite3.Error):
        return Given()
    try:
        return Given(
            _number(db, "SELECT MAX(generation) FROM tasks"),
            _number(db, "SELECT message_seq FROM meta"),
        )
    finally:
        db.close()


def _number(db: sqlite3.Connection, query: str) -> int:
    try:
        row = db.execute(query).fetchone()
    except sqlite3.Error:
        return 0
    found = row[0] if row else None
    # What cannot have been given out is damage.
    return found if isinstance(found, int) and 0 <= found <= MAX_INTEGER else 0


def _restore(
    backup: Path, database: Path, epoch: str, stamp: str, now: int, told: Told, step: Step
) -> Restored:
    new = database.with_name(database.name + ".restoring")
    with exclusive(new) as file:
        try:
            step("copy")
            copy(backup, new, file, told)
            step("check")
            held, facts = _adjust(new, backup, database, epoch, now, step)
            _give(file, database.parent)
            os.fsync(file)
            kept = _keep(
                database, database.with_name(f"{database.name}.before-restore-{stamp}"), step
            )
            step("swap")
            new.replace(database)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    sync_directory(database.parent)
    step("done")
    return Restored(facts, kept, held)


def _adjust(
    new: Path, backup: Path, database: Path, epoch: str, now: int, step: Step
) -> tuple[int, Facts]:
    """Check the copy, and make it differ from what ran after the backup."""
    db = sqlite3.connect(new, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("PRAGMA synchronous=FULL")
        facts = facts_of(db, backup)
        if facts.revision not in revisions():
            raise BackupError(
                f"{backup} is of a newer version ({facts.revision}) than this one ({migrate.HEAD}):"
                " install the newer version"
            )
        found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise BackupError(f"{backup} is damaged ({found}): use an earlier backup")
        step("adjust")
        replaced = given(database)
        db.execute("BEGIN IMMEDIATE")
        held = jump(db, epoch, now, replaced)
        db.execute("COMMIT")
        return held, facts_of(db, new)
    finally:
        db.close()


def jump(db: sqlite3.Connection, epoch: str, now: int, replaced: Given) -> int:
    """Make what is numbered from now on differ from all that was after the backup.

    No hub gives a task a generation, or takes a thousand messages, each
    millisecond, so what any of them gave out is below the clock's number,
    however often this backup was restored.  What was replaced counts beside
    it, for clocks that were set back.

    :param now: Unix milliseconds.
    :param replaced: of the database that is to be replaced.
    :returns: how many tasks agents had.
    :raises BackupError: the numbers are used up.
    """
    least_generation = max(now, replaced.generation + 1)
    least_seq = max(now * MESSAGES_A_MS, replaced.message_seq)
    if max(least_generation, least_seq) > MOST:
        raise BackupError(
            "this machine's clock, or the database that is there, is so far ahead that"
            " numbers would be used up: set the clock, or move the database away"
        )
    db.execute("UPDATE meta SET epoch = ?", (epoch,))
    # Of whatever may be assigned again; a report that ended one stays known by its own.
    db.execute(
        "UPDATE tasks SET generation = MAX(generation + ?, ?)"
        " WHERE status IN ('queued', 'assigned', 'working', 'dead_letter')",
        (GENERATIONS, least_generation),
    )
    # That nobody was given it since its last agent had it, cannot be said any more.
    db.execute("UPDATE tasks SET agent_id = NULL WHERE status = 'queued'")
    columns = {row[1] for row in db.execute("PRAGMA table_info(meta)")}
    most = db.execute("SELECT MAX(generation) FROM tasks").fetchone()[0] or 0
    if "message_seq" in columns:
        db.execute("UPDATE meta SET message_seq = MAX(message_seq + ?, ?)", (MESSAGES, least_seq))
        most = max(most, db.execute("SELECT message_seq FROM meta").fetchone()[0])
    if most > MOST:
        raise BackupError("it was restored so often that its numbers are used up")
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sessions'").fetchone():
        # Whoever signed out since would be signed in again.
        db.execute("DELETE FROM sessions")
    held = db.execute("SELECT COUNT(*) FROM tasks WHERE status IN ('assigned', 'working')")
    return int(held.fetchone()[0])


def _keep(database: Path, kept: Path, step: Step) -> Path | None:
    """Give the database that is there a second name, and leave no log beside the first."""
    if not database.exists():
        for suffix in LOG_FILES:
            # Beside another database they would damage it.
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        return None
    step("fold")
    # Of a database that it cannot read, SQLite would throw the log away.
    beside = [suffix for suffix in KEPT_LOGS if database.with_name(database.name + suffix).exists()]
    for suffix in beside:
        _link(database.with_name(database.name + suffix), kept.with_name(kept.name + suffix))
    try:
        whole = _fold(database)
    except BackupError:
        for suffix in beside:
            kept.with_name(kept.name + suffix).unlink()
        raise
    step("keep")
    _link(database, kept)
    # Either the log is in the database, or it goes with it under the second name.
    for suffix in LOG_FILES:
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    if whole:
        for suffix in beside:
            kept.with_name(kept.name + suffix).unlink(missing_ok=True)
    sync_directory(database.parent)
    return kept


def _fold(database: Path) -> bool:
    """Bring what is only in the log into the database, so that it is one file.

    :returns: whether it is; one that is damaged stays as it is, with its log.
    :raises BackupError: another program uses it.
    """
    # Beside an empty database SQLite would throw the log away.
    if not database.stat().st_size:
        return False
    try:
        db = sqlite3.connect(database, isolation_level=None, timeout=2.0)
        try:
            db.execute("PRAGMA journal_mode=DELETE")
        finally:
            db.close()
    except sqlite3.OperationalError as e:
        if "locked" in str(e):
            raise BackupError(f"another program uses {database}: end it first") from None
        return False
    except sqlite3.DatabaseError:
        return False
    return not any(database.with_name(database.name + s).exists() for s in LOG_FILES)


def _give(file: int | Path, folder: Path) -> None:
    """Let what root made belong to the hub's user, as its directory does."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(file, owner.st_uid, owner.st_gid)


def _link(path: Path, name: Path) -> None:
    try:
        os.link(path, name)
    except FileExistsError:
        raise BackupError(f"{name} is there already: try again in a second") from None
    except OSError:
        # A file system without links: the copy must be whole before it counts.
        partial = name.with_name(name.name + ".partial")
        shutil.copyfile(path, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        with suppress(OSError):
            partial.chmod(0o600)
        partial.rename(name)
