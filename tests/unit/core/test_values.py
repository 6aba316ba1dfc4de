"""The small values of the core: ids, agents, events, tokens."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from agentcom.core import events
from agentcom.core.agent import Agent, Presence
from agentcom.core.events import Draft, numbered, payload
from agentcom.core.ids import TOGETHER, Ids, hash_token, valid_new_agent_id
from agentcom.core.tokens import ADMIN, DEFAULT_SCOPES, SCOPES, mint


class IdTests(SynchronousTestCase):
    """How ids look, and that each is new."""

    def setUp(self) -> None:
        self.ids = Ids(random.Random(1).randbytes)

    def test_forms(self) -> None:
        """Task ids are ``task-`` and 16 hex digits, message ids 16, tokens 64."""
        self.assertRegex(self.ids.task(), r"\Atask-[0-9a-f]{16}\Z")
        self.assertRegex(self.ids.message(), r"\A[0-9a-f]{16}\Z")
        self.assertRegex(self.ids.token(), r"\A[0-9a-f]{64}\Z")
        self.assertRegex(self.ids.epoch(), r"\A[0-9a-f]+\Z")

    def test_never_the_same(self) -> None:
        """No random byte is used for two ids, whichever kinds follow each other."""
        kinds: list[Callable[[], str]] = [self.ids.task, self.ids.message, self.ids.token]
        rng = random.Random(2)
        made = [rng.choice(kinds)().removeprefix("task-") for _ in range(5_000)]
        pieces = [m[i : i + 16] for m in made for i in range(0, len(m), 16)]
        self.assertEqual(len(set(pieces)), len(pieces))

    def test_beginnings(self) -> None:
        """Ids that are made one after the other begin alike, a thousand at a time, and there are
        thousands of such beginnings."""
        made = [self.ids.task()[:8] for _ in range(TOGETHER * 200)]
        groups = [made[n : n + TOGETHER] for n in range(0, len(made), TOGETHER)]
        self.assertTrue(all(len(set(group)) == 1 for group in groups))
        self.assertGreater(len({group[0] for group in groups}), 180)

    def test_replayed_from_a_seed(self) -> None:
        """The same random source gives the same ids."""
        first, second = (Ids(random.Random(7).randbytes) for _ in range(2))
        for _ in range(1_000):
            self.assertEqual(first.task(), second.task())

    def test_new_agent_ids(self) -> None:
        """New agent ids are 1 to 128 of the allowed characters, and not reserved."""
        for good in ("a", "A.b_c:d@e-9", "x" * 128, "Broadcast", "administrator"):
            self.assertTrue(valid_new_agent_id(good), good)
        for bad in ("", "x" * 129, "a b", "a/b", "a\n", "\u00e4", "a%", "broadcast", "admin"):
            self.assertFalse(valid_new_agent_id(bad), bad)

    def test_hash(self) -> None:
        """Of a token SHA-256 is kept; any text can be hashed, half a character too."""
        self.assertEqual(
            hash_token("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )
        self.assertEqual(len(hash_token("\ud800")), 64)


class TokenTests(SynchronousTestCase):
    """Scopes, expiry, and what is kept."""

    def make(
        self, scopes: tuple[str, ...] = DEFAULT_SCOPES, expires_at: int | None = None
    ) -> object:
        return mint(Ids(random.Random(1).randbytes), "w", scopes, 100, expires_at)[1]

    def test_secret_is_not_kept(self) -> None:
        """A stored token holds the hash and eight characters of its secret, no more."""
        secret, token = mint(Ids(random.Random(1).randbytes), "w", DEFAULT_SCOPES, 100)
        self.assertEqual((token.hash, token.prefix), (hash_token(secret), secret[:8]))
        self.assertNotIn(secret[:9], msgspec.json.encode(token).decode().replace(token.hash, ""))

    def test_scopes(self) -> None:
        """A token allows its scopes; ``admin`` allows everything; the default is two."""
        self.assertEqual(DEFAULT_SCOPES, ("agent", "submit"))
        for scope in SCOPES:
            _, token = mint(Ids(random.Random(1).randbytes), "w", (scope,), 0)
            for other in SCOPES:
                self.assertEqual(token.allows(other), other == scope or scope == ADMIN)

    def test_expiry(self) -> None:
        """A token is good until its last millisecond, and never once revoked."""
        _, token = mint(Ids(random.Random(1).randbytes), "w", DEFAULT_SCOPES, 100, 200)
        self.assertTrue(token.good(199))
        self.assertFalse(token.good(200))
        _, forever = mint(Ids(random.Random(1).randbytes), "w", DEFAULT_SCOPES, 100)
        self.assertTrue(forever.good(10**15))
        self.assertFalse(msgspec.structs.replace(forever, revoked_at=150).good(151))
        self.assertFalse(msgspec.structs.replace(forever, revoked_at=0).good(151))


class AgentTests(SynchronousTestCase):
    """AgentInfo."""

    def test_info(self) -> None:
        """AgentInfo has the five fields of version 1, then state, slots and running."""
        agent = Agent(
            agent_id="w",
            name="Worker",
            status="well",
            capabilities=("a", "b"),
            slots=3,
            connected_at=9,
            labels={"zone": "x"},
        )
        self.assertEqual(
            agent.info(running=0, draining=False, unresponsive=False),
            {
                "agent_id": "w",
                "name": "Worker",
                "status": "well",
                "capabilities": ["a", "b"],
                "connected_at": 9,
                "state": "idle",
                "slots": 3,
                "running": 0,
                "labels": {"zone": "x"},
            },
        )

    def test_state(self) -> None:
        """An agent is unresponsive, else draining, else busy with anything, else idle."""
        agent = Agent(agent_id="w", name="w", status="connected")
        for running, draining, unresponsive, state in (
            (0, False, False, "idle"),
            (2, False, False, "busy"),
            (0, True, False, "draining"),
            (2, True, False, "draining"),
            (0, False, True, "unresponsive"),
            (2, True, True, "unresponsive"),
        ):
            info = agent.info(running=running, draining=draining, unresponsive=unresponsive)
            self.assertEqual((info["state"], info["running"]), (state, running))
        self.assertEqual((agent.slots, agent.presence), (1, Presence.AUTO))


class EventTests(SynchronousTestCase):
    """Events on the wire."""

    def test_wire_form(self) -> None:
        """An event has the fields of the contract, its payload an object."""
        draft = Draft("tasks", "task_assigned", 5, "t", "w", 2, b'{"attempt":1}')
        self.assertEqual(
            json.loads(msgspec.json.encode(numbered(draft, 7))),
            {
                "seq": 7,
                "topic": "tasks",
                "event": "task_assigned",
                "task_id": "t",
                "agent_id": "w",
                "generation": 2,
                "timestamp": 5,
                "payload": {"attempt": 1},
            },
        )
        self.assertIsNone(numbered(draft, None).seq)

    def test_payload_leaves_out_null(self) -> None:
        """Fields that are not there are left out; false and 0 stay."""
        self.assertEqual(payload(a=None, b=0, c=False, d=""), b'{"b":0,"c":false,"d":""}')

    def test_names(self) -> None:
        """The names of the events are the contract's, and one for what is deleted."""
        names = {v for k, v in vars(events).items() if k.startswith("TASK_")}
        self.assertEqual(
            {name.removeprefix("task_") for name in names},
            set(
                "submitted assigned accepted progress complete failed rejected recovering requeued"
                " cancelled dead_letter expired deleted".split()
            ),
        )
        self.assertEqual(
            (events.AGENT_JOINED, events.AGENT_LEFT, events.STATUS_CHANGED, events.HUB_STARTED),
            ("agent_joined", "agent_left", "status_changed", "hub_started"),
        )
        self.assertEqual(events.TOPICS, ("tasks", "presence"))
