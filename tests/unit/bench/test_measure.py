"""The measuring tools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom.bench import given
from agentcom.bench.measure import (
    Drops,
    Shares,
    family,
    packet_drops,
    percentile,
    resident_mib,
    spread,
)
from agentcom.bench.storm import generator, judged

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0FA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0
   1: 0100007F:0FA0 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0
   2: 0100007F:0FA1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0
"""  # noqa: E501  # as the kernel writes it


class MeasureTests(SynchronousTestCase):
    def test_percentile(self) -> None:
        """A percentile is a value that was measured."""
        ordered = [float(n) for n in range(1, 101)]
        self.assertEqual((percentile(ordered, 0.5), percentile(ordered, 0.99)), (51.0, 100.0))
        self.assertEqual(spread([0.002, 0.001]), {"p50": 2.0, "p99": 2.0, "max": 2.0})
        self.assertIsNone(spread([]))

    def test_another_machine(self) -> None:
        """Of a process of another machine nothing is known, nor what others use beside it."""
        _, used = Shares(server=None, own=os.getpid()).used()
        self.assertIsNone(used["server"])
        self.assertIsNone(used["others"])
        self.assertIsNone(resident_mib(None))

    def test_family(self) -> None:
        """A process is measured with those that it started; the one that measures, alone."""
        child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
        with subprocess.Popen(
            [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as process:
            while len(family(process.pid)) < 2:
                self.assertIsNone(process.poll())
            first, second = family(process.pid)
            self.assertEqual(first, process.pid)
            alone = resident_mib(second)
            assert alone is not None
            both = resident_mib(process.pid)
            assert both is not None
            self.assertGreater(both, alone)
            self.assertEqual(family(os.getpid()), [os.getpid()])
            process.communicate(b"\n")

    def test_dropped(self) -> None:
        """What the kernel dropped is summed up over its processors, in its own notation."""
        table = Path(self.mktemp())
        table.write_text("00a1 0000000f 00\n00b2 00000001 00\n")
        self.assertEqual(packet_drops(table), 16)
        self.assertIsNone(packet_drops(Path("no such file")))
        self.assertEqual(set(Drops().found()), {"connections", "packets"})

    def test_generator(self) -> None:
        """The generator's limit is what it could do with all of a processor."""
        self.assertEqual(generator(1000, 2.0, 0.1), {"cpu": 0.1, "limit_per_s": 5000})
        self.assertEqual(generator(1000, 2.0, None), {"cpu": None, "limit_per_s": None})


class GivenTests(SynchronousTestCase):
    def test_who_listens(self) -> None:
        """Only the socket that listens on the port counts, not its connections."""
        table = Path(self.mktemp())
        table.write_text(TABLE)
        self.assertEqual(given._listening(table, 4000), ["4711"])
        self.assertEqual(given._listening(table, 4002), [])
        self.assertEqual(given._listening(Path("no such file"), 4000), [])

    def test_machine(self) -> None:
        """Loopback is this machine; a host that is not there is refused in words."""
        self.assertTrue(given.is_of_this_machine("127.0.0.1"))
        self.assertFalse(given.is_of_this_machine("192.0.2.1"))
        failure = self.assertRaises(given.ServerFailed, given.is_of_this_machine, "no host")
        self.assertIn("no host", str(failure))


class StormTests(SynchronousTestCase):
    def report(self, **changed: object) -> dict[str, object]:
        checks = {"errors": 0, "examples": []}
        tasks = {"submitted": 3, "completed": 3, "stored": {"completed": 3}, "unfinished": 0}
        return {
            "tasks": {**tasks, "errors": 0, "examples": []},
            "storm": {"missing": 0, "told": {}},
            "later": {"told": {"attempts": 10}, "examples": []},
            "health_kept": checks,
            "health_fresh": checks,
            **changed,
        }

    def test_nothing_lost(self) -> None:
        """A storm in which nothing was lost is no error."""
        found = judged(self.report())
        self.assertEqual((found["errors"], found["unfinished"]), (0, 0))

    def test_lost(self) -> None:
        """A task that is stored otherwise, a line that was dropped, an agent that never came."""
        tasks = {"submitted": 3, "completed": 3, "stored": {"completed": 2, "queued": 1}}
        lost = judged(self.report(tasks={**tasks, "unfinished": 0, "errors": 0, "examples": []}))
        self.assertEqual(lost["errors"], 1)
        told = {"attempts": 10, "no pong after identified": 2}
        dropped = judged(self.report(later={"told": told, "examples": []}))
        self.assertEqual(dropped["errors"], 2)
        missing = judged(self.report(storm={"missing": 4, "told": {}}))
        self.assertEqual(missing["unfinished"], 4)
