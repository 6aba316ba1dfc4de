"""``kill -9`` at any moment: a message that was answered is there.

The moments come from a seed that is printed; ``AGENTCOM_TEST_SEED`` repeats a
run, ``AGENTCOM_TEST_KILLS`` makes it longer.
"""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Any

from tests.integration.clients import Agent, Http
from tests.integration.processes import ProcessTestCase

KILLS = min(int(os.environ.get("AGENTCOM_TEST_KILLS", "8")), 50)
LOAD_S = 0.3
"""Seconds of load between two kills at the most."""


class Sender(threading.Thread):
    """Sends direct messages and broadcasts until its line breaks.

    :ivar answered: the numbers of those that the hub said were sent.
    """

    def __init__(self, agent: Agent, first: int) -> None:
        super().__init__(daemon=True)
        self._agent = agent
        self._number = first
        self.answered: list[int] = []

    def run(self) -> None:
        """Until the hub is gone."""
        try:
            while True:
                number = self._number = self._number + 1
                to = {} if number % 3 == 0 else {"to": "reader"}
                self._agent.say("message", payload={"n": number}, ref=number, **to)
                self._agent.next("message_sent", ref=number)
                self.answered.append(number)
                # Its own broadcasts.
                self._agent.frames.clear()
        except Exception:
            # The hub was killed, in the midst of anything.
            return


class KilledTests(ProcessTestCase):
    """The hub is killed while messages are sent to an agent that is away."""

    timeout = 120

    def test_nothing_answered_is_lost(self) -> None:
        """What was answered waits in the mailbox, in order and once, whenever the hub died."""
        seed = int(os.environ.get("AGENTCOM_TEST_SEED", random.randrange(10**9)))
        print(f"AGENTCOM_TEST_SEED={seed}", flush=True)
        moments = random.Random(seed)
        answered: list[int] = []
        hub = self.hub("--message-rate", "unlimited", "--mailbox-size", "100000")
        hub.token("reader")
        for life in range(KILLS):
            sender = Sender(self.agent(hub, "sender"), life * 1_000_000)
            sender.start()
            time.sleep(moments.uniform(0.02, LOAD_S))
            hub.kill()
            sender.join(10.0)
            answered += sender.answered
            hub = self.hub("--message-rate", "unlimited", "--mailbox-size", "100000")
            with hub.http() as client:
                found = self.waiting(client)
            seqs = [message["seq"] for message in found]
            self.assertEqual(seqs, sorted(set(seqs)))
            numbers = [message["payload"]["n"] for message in found]
            self.assertEqual(numbers, sorted(set(numbers)))
            self.assertLessEqual(set(answered), set(numbers))
        self.assertGreater(len(answered), KILLS)

    def waiting(self, client: Http) -> list[dict[str, Any]]:
        """The whole mailbox."""
        found: list[dict[str, Any]] = []
        since = 0
        while True:
            page = client.ok("GET", f"/api/mailbox/reader?limit=1000&since={since}")
            if not page["messages"]:
                return found
            found += page["messages"]
            since = page["last_seq"]
