"""The way into the process that writes: what fits leaves at once, the rest as there is room.

Twisted's own writer of a process asks epoll for room first, and so sends in the next turn of
the reactor; with turns of some milliseconds everybody who waits for the disk waits for that.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

PIPE_BYTES = 1 << 20
"""How much the pipe takes at once, where the system lets it: the reactor fills it once a turn,
and a large batch would need hundreds of turns with the usual 64 KiB."""


class Pipe(FileDescriptor):
    """The near end of a pipe.

    :ivar far: the other end, to be given away and then closed here.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.far, self._near = os.pipe()
        os.set_blocking(self._near, False)
        with suppress(AttributeError, OSError):
            fcntl.fcntl(self._near, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.connected = 1

    def fileno(self) -> int:
        """The near end's number; -1 when it is closed."""
        return self._near

    def send(self, data: bytes) -> None:
        """Send all of it: now as far as it fits, if nothing waits from before."""
        if self.dataBuffer or self._tempDataBuffer:
            self.write(data)
            return
        sent = 0
        with suppress(OSError):
            # A pipe that is broken is found out by the reactor.
            sent = os.write(self._near, data)
        if sent < len(data):
            # Not by ``write``, which copies what may be many megabytes, twice.
            self.dataBuffer, self.offset = data, sent
            self.startWriting()  # type: ignore[no-untyped-call]  # untyped in Twisted

    def writeSomeData(self, data: bytes) -> int | Exception:
        """Called by the reactor when there is room."""
        try:
            return os.write(self._near, data)
        except OSError as e:
            return 0 if e.errno in (errno.EAGAIN, errno.EINTR) else ConnectionLost()

    def end(self) -> None:
        """Close it when all is sent; nothing more may be."""
        self.loseConnection()  # type: ignore[no-untyped-call]  # untyped in Twisted

    def connectionLost(self, reason: Failure) -> None:
        """All is sent that will be: close it."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # untyped in Twisted
        if self._near >= 0:
            os.close(self._near)
            self._near = -1
