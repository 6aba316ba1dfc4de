"""A watch whose beginning takes time: the store's reads are the test's own."""

from __future__ import annotations

from agentcom.hub import watching
from tests.unit.http.support import HttpCase


class BeginningTests(HttpCase):
    """What happens between ``watch`` and ``watching``."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher = self.hub.agent("eye")
        self.watchers = self.hub.parts.factory.watchers
        self.reads.holding = True
        self.watcher.say("watch", after="1", ref="first")

    def release(self) -> None:
        self.reads.release()
        self.hub.settle()

    def test_asked_again(self) -> None:
        """The last one that was asked for is the one that begins."""
        self.watcher.say("watch", after="0", ref="second")
        self.release()
        self.assertEqual([told["ref"] for told in self.watcher.of("watching")], ["second"])
        self.assertEqual(self.watchers.open_streams(), {"ws": 1})

    def test_unwatch(self) -> None:
        """One that was taken back does not begin."""
        self.assertEqual(self.watcher.say("unwatch")[0]["cursor"], None)
        self.release()
        self.assertEqual(self.watcher.of("watching"), [])
        self.assertEqual(self.watchers.open_streams(), {})

    def test_line_is_lost(self) -> None:
        """One whose line is gone does not begin."""
        self.watcher.vanish()
        self.release()
        self.assertEqual(self.watchers.open_streams(), {})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_no_room_any_more(self) -> None:
        """One that finds no room at its beginning is told so."""
        self.patch(watching, "WATCHERS", 0)
        self.release()
        (told,) = self.watcher.of("error")
        self.assertEqual((told["error"], told["ref"]), ("too_many_watchers", "first"))
