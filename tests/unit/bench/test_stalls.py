"""The longest stall, as servers tell it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.bench import stalls
from agentcom.bench.stacks.turns import Told
from agentcom.bench.stalls import ask, stall
from agentcom.hub.turnlength import TurnLength

METRICS = """# TYPE agentcom_event_loop_turn_max_seconds gauge
agentcom_event_loop_turn_max_seconds{time="wall",window="5"} 0.0125
agentcom_event_loop_turn_max_seconds{time="cpu",window="5"} 0.01
agentcom_event_loop_turn_max_seconds{window="15",time="wall"} 0.2
agentcom_event_loop_turn_max_seconds{window="15",time="cpu"} 1e-2
agentcom_event_loop_turn_max_seconds{time="wall",window="60"} 3
agentcom_event_loop_turn_max_seconds{time="cpu",window="60"} 3
"""


class StallTests(SynchronousTestCase):
    def test_shortest_window(self) -> None:
        """The shortest window that holds the measured time is read, in milliseconds."""
        for seconds, wall in ((4, 12.5), (5, 12.5), (5.1, 200.0), (60, 3000.0)):
            found = stall(METRICS, seconds)
            assert found is not None
            self.assertEqual(found["wall"], wall, seconds)

    def test_unknown(self) -> None:
        """An older hub, a longer run, and a server that does not answer tell nothing."""
        self.assertIsNone(stall("agentcom_up 1\n", 4))
        self.assertIsNone(stall(METRICS, 61))
        self.assertIsNone(stall(METRICS.replace('"cpu"', '"other"'), 4))
        self.assertIsNone(ask("", 4))
        self.assertIsNone(ask("http://127.0.0.1:1/metrics", 4))

    def test_longer(self) -> None:
        """Of two the longer one counts, and one that is known before one that is not."""
        short = {"wall": 7.0, "cpu": 6.0, "window_s": 15.0}
        long = {"wall": 9.0, "cpu": 2.0, "window_s": 15.0}
        self.assertEqual((stalls.longer(short, long), stalls.longer(long, short)), (long, long))
        self.assertEqual((stalls.longer(None, short), stalls.longer(short, None)), (short, short))
        self.assertIsNone(stalls.longer(None, None))

    def test_told(self) -> None:
        """It is said in milliseconds, and where it was too short to be known, or is not."""
        self.assertIn("9.0 ms (2.0", stalls.told({"wall": 9.0, "cpu": 2.0, "window_s": 5.0}))
        self.assertIn("under 5 ms", stalls.told({"wall": 0.0, "cpu": 0.0, "window_s": 5.0}))
        self.assertIn("not known", stalls.told(None))

    def test_bare_servers(self) -> None:
        """What the bare servers tell is read in the same way."""
        turns = TurnLength(lambda: 100.0)
        turns.took(0.0301, lambda: 0.02)
        # A request of which nothing is asked.
        text = Told(turns).render_GET(None)  # type: ignore[arg-type]  # it is not looked at
        self.assertEqual(stall(text.decode(), 3), {"wall": 30.1, "cpu": 20.0, "window_s": 5})
