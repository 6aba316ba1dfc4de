"""Values of options: durations and times as people write them."""

from __future__ import annotations

import os
import time
from typing import Any

import click
from twisted.trial.unittest import SynchronousTestCase

from agentcom.cli.values import MOST_S, Moment, Seconds, moment, texts

OPTION = click.Option(["--when"])
CONTEXT = click.Context(click.Command("x"))


class SecondsTests(SynchronousTestCase):
    def convert(self, text: str, **kwargs: Any) -> float:
        return Seconds(MOST_S, **kwargs).convert(text, None, None)

    def test_units(self) -> None:
        """A duration is a number of seconds, or numbers with units."""
        for text, seconds in (
            ("90", 90.0),
            ("0.5", 0.5),
            ("500ms", 0.5),
            ("10m", 600.0),
            ("1h30m", 5_400.0),
            ("1.5h", 5_400.0),
            ("2d", 172_800.0),
            ("1w", 604_800.0),
        ):
            self.assertEqual(self.convert(text), seconds, text)

    def test_refused(self) -> None:
        """What is no duration, or out of bounds, is refused."""
        for text in ("", "abc", "10 m", "10x", "m", "-5s", "-5", "0", "0s", "nan", "1e400", "40y"):
            with self.assertRaises(click.BadParameter, msg=text):
                self.convert(text)
        for text in ("2000w", "1e10"):
            with self.assertRaises(click.BadParameter, msg=text):
                self.convert(text)

    def test_none(self) -> None:
        """No time at all is one where it means something."""
        self.assertEqual(self.convert("0", zero=True), 0.0)


class MomentTests(SynchronousTestCase):
    def read(self, text: str) -> Moment | None:
        return moment(CONTEXT, OPTION, text)

    def test_from_now(self) -> None:
        """A duration counts from when it is used."""
        read = self.read("1h30m")
        assert read is not None
        self.assertEqual(read.at(1_000.0), 1_000_000 + 5_400_000)

    def test_times(self) -> None:
        """A time is Unix milliseconds or ISO, in the reader's own zone unless it says one."""
        for text, ms in (
            ("1700000000000", 1_700_000_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-15 00:13:20+02:00", 1_700_000_000_000),
        ):
            read = self.read(text)
            assert read is not None
            self.assertEqual(read.at(5.0), ms, text)
        self.zone("UTC-3")
        read = self.read("2023-11-15T01:13:20")
        assert read is not None
        self.assertEqual(read.ms, 1_700_000_000_000)

    def zone(self, name: str) -> None:
        def use(zone: str | None) -> None:
            os.environ.pop("TZ", None)
            if zone is not None:
                os.environ["TZ"] = zone
            time.tzset()

        self.addCleanup(use, os.environ.get("TZ"))
        use(name)

    def test_refused(self) -> None:
        """What could be many times, or is none, is refused with examples."""
        for text in (
            "600",
            "1700000000",
            "20300101",
            "1" * 5_000,
            "9007199254740993",
            "tomorrow",
            "10:30",
            "-5m",
            "",
            "0001-01-01",
            "1960-01-01T00:00Z",
            "2000w",
        ):
            with self.assertRaises(click.BadParameter) as caught:
                self.read(text)
            self.assertIn("10m (from now)", str(caught.exception))

    def test_absent(self) -> None:
        """An option that was not given is no time."""
        self.assertIsNone(moment(CONTEXT, OPTION, None))


class TextsTests(SynchronousTestCase):
    def test_texts(self) -> None:
        """Each of several texts has something in it, in UTF-8."""
        self.assertEqual(texts(CONTEXT, OPTION, ("a", "b")), ["a", "b"])
        for bad in ("", "\udcff"):
            with self.assertRaises(click.BadParameter):
                texts(CONTEXT, OPTION, ("a", bad))
