"""The limit on open files: raised as far as it goes, and said."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path
from typing import Any

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from agentcom import openfiles

FILES = resource.RLIMIT_NOFILE


class RaiseTests(SynchronousTestCase):
    """On a system that knows these limits."""

    def limited(self, soft: int, hard: int, most: int | None = None) -> list[int]:
        """A system with these limits, that takes ``most`` at the most; gives what was set."""
        taken: list[int] = []

        def setrlimit(which: int, limits: tuple[int, int]) -> None:
            self.assertEqual((which, limits[1]), (FILES, hard))
            if most is not None and limits[0] > most:
                raise ValueError("not allowed")
            taken.append(limits[0])

        self.patch(resource, "getrlimit", lambda which: (soft, hard))
        self.patch(resource, "setrlimit", setrlimit)
        return taken

    def room(self, wanted: int | None = None) -> tuple[int, list[str]]:
        said: list[str] = []

        def observer(event: dict[str, Any]) -> None:
            said.append(event["log_format"].format(**event))

        return openfiles.room(wanted, Logger(observer=observer)), said

    def test_to_the_hard_limit(self) -> None:
        """The soft limit is raised to the hard one, and the log says so."""
        taken = self.limited(1_024, 50_000)
        self.assertEqual(
            self.room(), (50_000 - 128 - 512, ["open files: limit raised from 1024 to 50000"])
        )
        self.assertEqual(taken, [50_000])

    def test_nothing_to_raise(self) -> None:
        """Where soft is hard nothing is set, and the log says what there is."""
        taken = self.limited(4_096, 4_096)
        self.assertEqual(self.room(), (4_096 - 128 - 204, ["open files: at most 4096"]))
        self.assertEqual(taken, [])

    def test_no_hard_limit(self) -> None:
        """Without a hard limit the highest number is taken that the system accepts."""
        taken = self.limited(256, resource.RLIM_INFINITY, most=10_240)
        self.assertEqual(self.room()[0], 10_240 - 128 - 512)
        self.assertEqual(taken, [10_240])

    def test_never_lowered(self) -> None:
        """A soft limit that is high already is left alone, whatever the system would take."""
        taken = self.limited(2_000_000, resource.RLIM_INFINITY)
        self.assertEqual(self.room()[0], 2_000_000 - 128 - 512)
        self.assertEqual(taken, [])

    def test_more_than_there_is(self) -> None:
        """More connections than open files: one warning that says what to do."""
        self.limited(1_024, 1_024)
        most, said = self.room(5_000)
        self.assertEqual(most, 1_024 - 128 - 51)
        self.assertIn("--max-connections 5000 cannot be had with 1024 open files", said[1])
        self.assertIn("LimitNOFILE", said[1])


class WidenTests(SynchronousTestCase):
    """The kernel's table of this very process."""

    if not Path("/proc/self/status").exists():
        skip = "needs /proc"

    def size(self) -> int:
        found = re.search(r"FDSize:\s*(\d+)", Path("/proc/self/status").read_text())
        assert found is not None
        return int(found[1])

    def test_room_from_the_start(self) -> None:
        """The table has room for so many files, and none is open that was not."""
        before = os.listdir("/proc/self/fd")
        wanted = min(2 * self.size(), resource.getrlimit(FILES)[0])
        openfiles.widen(wanted)
        self.assertGreaterEqual(self.size(), wanted)
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))

    def test_done_with_the_limit(self) -> None:
        """Whoever asks how many connections there may be has that done, within the limit."""
        asked: list[int] = []
        self.patch(openfiles, "widen", asked.append)
        self.patch(openfiles, "raise_limit", lambda: (256, 1_024))
        openfiles.room(None, Logger(observer=lambda event: None))
        self.patch(openfiles, "raise_limit", lambda: (256, 1_000_000))
        openfiles.room(None, Logger(observer=lambda event: None))
        self.assertEqual(asked, [1_024, openfiles.WIDE])

    def test_not_to_be_had(self) -> None:
        """More than may be open is no fault: the table grows later, as it would."""
        openfiles.widen(resource.getrlimit(FILES)[0] + 2)
