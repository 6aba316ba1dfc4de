"""The process's limit on open files: each connection is one."""

from __future__ import annotations

import fcntl
import os
import resource
from contextlib import suppress

from twisted.logger import Logger

KEPT = 128
"""Open files that are not connections: the store, logs, what libraries open."""

KEPT_SHARE = 0.05
KEPT_MOST = 512
"""The same for connections that are being refused, as a share and at the most."""

WIDE = 16_384
"""Open files for which the kernel's table of them has room from the start."""

TRIED = (1_048_576, 524_288, 65_536, 10_240)
"""Numbers to try where the hard limit is none that the system takes."""


def room(wanted: int | None, log: Logger) -> int:
    """Raise the limit, say so, and give how many connections it leaves room for.

    :param wanted: connections that were asked for, if any were.
    """
    before, now = raise_limit()
    widen(min(now, WIDE))
    if now > before:
        log.info("open files: limit raised from {before} to {now}", before=before, now=now)
    else:
        log.info("open files: at most {now}", now=now)
    most = max(1, now - KEPT - min(KEPT_MOST, int(now * KEPT_SHARE)))
    if wanted is not None and wanted > most:
        log.warn(
            "--max-connections {wanted} cannot be had with {now} open files: {most} it is; "
            "raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)",
            wanted=wanted,
            now=now,
            most=most,
        )
    return most


def raise_limit() -> tuple[int, int]:
    """Raise the soft limit to the hard one, as far as the system lets it.

    :returns: the soft limit before and now.
    """
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, *TRIED):
        if wanted == resource.RLIM_INFINITY or wanted <= before or _over(wanted, hard):
            continue
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            continue
        return before, wanted
    return before, before


def widen(files: int) -> None:
    """Make the kernel's table of open files so large, 8 bytes each, if it can be had.

    It doubles whenever a number is taken that it has no place for, and in a process with
    threads each doubling is a wait of 10 to 20 ms: a storm of agents met five of them.
    """
    with suppress(OSError):
        low = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.close(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, files - 1))
        finally:
            os.close(low)


def _over(wanted: int, hard: int) -> bool:
    return hard != resource.RLIM_INFINITY and wanted > hard
