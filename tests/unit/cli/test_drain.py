"""``drain``, ``resume`` and ``disconnect``: what they ask, show, and wait for."""

from __future__ import annotations

import json
import sys
from io import StringIO
from typing import Any

from agentcom.cli.drained import Wait
from tests.unit.cli.fakes import CommandTestCase
from tests.unit.client.fakes import start

AGENT = "/api/agents/a/drain"
HUB = "/api/admin/drain"


def state(running: int, **fields: Any) -> dict[str, Any]:
    """An agent that is drained and has so many tasks."""
    usual = {"status": "draining", "running": running, "drained": not running, "agent_id": "a"}
    return {**usual, "by": "admin", "note": None, "since": 1, "deadline": None, **fields}


class Terminal(StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self) -> bool:
        return True


class DrainTestCase(CommandTestCase):
    """A hub that answers the first drain, and looks at it, one after the other."""

    def answers(self, path: str, *states: Any) -> None:
        """The answer to the drain, then one for each look; the last one stays."""
        looks = list(states[1:])

        def look(_: Any) -> Any:
            found = looks.pop(0) if len(looks) > 1 else looks[0]
            return found if isinstance(found, tuple) else (200, found)

        self.hub.answers[f"POST {path}"] = 200, states[0]
        self.hub.answers[f"GET {path}"] = look

    def pass_time(self, *seconds: float) -> None:
        """While the command runs, time passes in these steps."""
        self.runtime.script = [lambda s=s: self.hub.clock.advance(s) for s in seconds]

    def asked(self) -> list[str]:
        return [request for request, _ in self.hub.requests]


class DrainTests(DrainTestCase):
    """``agentcom drain`` without ``--wait``."""

    def test_agent(self) -> None:
        """Deadline and note are sent; what still runs is told in a line."""
        self.answers(AGENT, state(2, deadline=1_700_000_000_000))
        told = self.output_of("drain", "a", "--deadline", "1m30s", "--note", "new kernel")
        self.assertEqual(self.hub.requests[0][1], {"deadline_s": 90.0, "note": "new kernel"})
        self.assertTrue(told.startswith("a is draining: 2 tasks still run, until 2023-11-1"), told)
        self.answers(AGENT, state(1))
        self.assertEqual(self.output_of("drain", "a"), "a is draining: 1 task still runs\n")
        self.assertEqual(self.hub.requests[-1][1], {})

    def test_idle_agent(self) -> None:
        """Where nothing runs, that is what is said."""
        self.answers(AGENT, state(0))
        self.assertEqual(self.output_of("drain", "a"), "a is drained: nothing runs there\n")

    def test_hub(self) -> None:
        """--all is the whole hub."""
        self.answers(HUB, state(3))
        told = self.output_of("drain", "--all", "--note", "n", "--deadline", "5")
        self.assertEqual(self.hub.requests, [(f"POST {HUB}", {"note": "n", "deadline_s": 5.0})])
        self.assertEqual(told, "the hub is draining: 3 tasks still run\n")

    def test_json(self) -> None:
        """--json is the hub's answer, further fields included."""
        self.answers(AGENT, state(2, new=1))
        self.assertEqual(json.loads(self.output_of("drain", "a", "--json")), state(2, new=1))

    def test_wrong_usage(self) -> None:
        """What makes no sense is a usage error, and no hub is asked."""
        for arguments in (
            ("drain",),
            ("drain", "a", "--all"),
            ("drain", ""),
            ("drain", "a", "--timeout", "5"),
            ("drain", "a", "--deadline", "0"),
            ("drain", "a", "--deadline", "soon"),
            ("drain", "a", "--note", " "),
            ("drain", "--list", "a"),
            ("drain", "--list", "--all"),
            ("drain", "--list", "--wait"),
            ("drain", "--list", "--note", "n"),
            ("resume",),
            ("resume", "a", "--all"),
            ("disconnect",),
            ("disconnect", "a", "--retry-after", "2d"),
        ):
            self.error_of(*arguments, code=2)
        self.assertEqual(self.hub.requests, [])

    def test_refused(self) -> None:
        """An agent that the hub does not know is a sentence that helps."""
        self.hub.default = 404, {"error": "agent_not_found", "agent_id": "a"}
        self.assertIn("agentcom agents", self.error_of("drain", "a"))

    def test_list(self) -> None:
        """--list shows the hub, where it is drained, and each agent, and changes nothing."""
        agent = state(2, by="kim", note="new\nkernel", deadline=1_700_000_000_000)
        self.hub.answers[f"GET {HUB}"] = 200, state(5, note="stop", agents=[agent])
        rows = [line.split("\t") for line in self.output_of("drain", "--list").splitlines()]
        self.assertEqual([row[0] for row in rows], ["AGENT", "(the hub)", "a"])
        self.assertEqual((rows[2][1], rows[2][2], rows[2][5]), ("2", "kim", "new kernel"))
        self.assertEqual(self.asked(), [f"GET {HUB}"])

    def test_empty_list(self) -> None:
        """Where nothing is drained, a sentence says so."""
        told = state(5, status="serving", drained=False, agents=[])
        self.hub.answers[f"GET {HUB}"] = 200, told
        self.assertEqual(self.output_of("drain", "--list"), "nothing is drained\n")
        self.assertEqual(json.loads(self.output_of("drain", "--list", "--json")), told)


class WaitTests(DrainTestCase):
    """``--wait``."""

    def test_until_nothing_runs(self) -> None:
        """It looks each second, tells each change once, and ends with 0."""
        self.answers(AGENT, state(3), state(3), state(1), state(0))
        self.pass_time(1, 1, 1)
        result = self.invoke("drain", "a", "--wait")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(result.stdout, "a is drained: nothing runs there\n")
        lines = ["a is draining: 3 tasks still run", "a is draining: 1 task still runs"]
        self.assertEqual(result.stderr.splitlines(), lines)
        self.assertEqual(len(self.asked()), 4)

    def test_nothing_runs(self) -> None:
        """Where nothing runs it ends at once, without a look."""
        self.answers(AGENT, state(0))
        self.output_of("drain", "a", "--wait")
        self.assertEqual(len(self.asked()), 1)

    def test_timeout(self) -> None:
        """When the timeout passes it ends with 1, and says that the drain goes on."""
        self.answers(AGENT, state(2), state(2))
        self.pass_time(1, 1, 0.5)
        result = self.invoke("drain", "a", "--wait", "--timeout", "2.5")
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertIn("after 2.5 s 2 tasks still run; it stays drained", result.stderr)

    def test_drained_in_the_last_moment(self) -> None:
        """A last look at the end of the timeout counts."""
        self.answers(AGENT, state(2), state(2), state(0))
        self.pass_time(1, 0.5)
        result = self.invoke("drain", "a", "--wait", "--timeout", "1.5")
        self.assertEqual(result.exit_code, 0, result.output)

    def test_resumed_meanwhile(self) -> None:
        """A drain that somebody ends is waited for no longer."""
        self.answers(AGENT, state(2), state(2, status="serving"))
        self.pass_time(1)
        result = self.invoke("drain", "a", "--wait")
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertIn("a drains no more: somebody resumed it", result.stderr)

    def test_hub_started_again(self) -> None:
        """A hub that was started again is waited for no longer: that ended its drain."""
        self.answers(HUB, state(2), state(0, status="serving", drained=False))
        self.pass_time(1)
        result = self.invoke("drain", "--all", "--wait")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("or the hub was started again", result.stderr)

    def test_deadline_of_the_hub(self) -> None:
        """A hub whose deadline passed is waited for no longer: nothing is taken back there."""
        self.answers(HUB, state(2), state(2, deadline_passed=True))
        self.pass_time(1)
        result = self.invoke("drain", "--all", "--wait")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("the deadline has passed and 2 tasks still run", result.stderr)

    def test_hub_is_away(self) -> None:
        """A hub that does not answer for a while is waited for, and that is said once."""
        failing = 503, {"error": "stopping"}
        self.answers(AGENT, state(1), failing, failing, state(0))
        self.pass_time(1, 1, 1)
        result = self.invoke("drain", "a", "--wait")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(result.stderr.count("waiting for it"), 1)

    def test_refused_look(self) -> None:
        """A look that is refused for good ends it."""
        self.answers(AGENT, state(1), (403, {"error": "forbidden", "required_scope": "admin"}))
        self.pass_time(1)
        result = self.invoke("drain", "a", "--wait")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("lacks the scope 'admin'", result.stderr)

    def test_json(self) -> None:
        """With --json the end is the only thing on standard output."""
        self.answers(AGENT, state(1), state(0, new=1))
        self.pass_time(1)
        result = self.invoke("drain", "a", "--wait", "--json")
        self.assertEqual(json.loads(result.stdout), state(0, new=1))

    def test_interrupted(self) -> None:
        """Ctrl-C ends the waiting and not the drain, and says so."""
        self.answers(AGENT, state(1), state(1))
        result = self.invoke("drain", "a", "--wait")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("it stays drained", result.stderr)

    def test_terminal(self) -> None:
        """On a terminal the newest line takes the place of the one before."""
        self.answers(AGENT, state(2), state(1), state(0))
        terminal = Terminal()
        self.patch(sys, "stderr", terminal)
        self.patch(sys, "stdout", StringIO())
        code = start(Wait(self.hub.client(), "a", True).until_drained(state(2), None))
        for _ in range(2):
            self.hub.clock.advance(1)
            self.hub.flush()
        self.assertEqual(self.successResultOf(code), 0)
        erased = "\r\x1b[K"
        self.assertEqual(
            terminal.getvalue(),
            f"{erased}a is draining: 2 tasks still run"
            f"{erased}a is draining: 1 task still runs{erased}",
        )


class ResumeTests(CommandTestCase):
    def test_agent(self) -> None:
        """An agent is given work again."""
        reply = {"status": "resumed", "agent_id": "a"}
        self.hub.answers["POST /api/agents/a/resume"] = 200, reply
        self.assertEqual(self.output_of("resume", "a"), "a is given work again\n")
        self.assertEqual(json.loads(self.output_of("resume", "a", "--json")), reply)

    def test_hub(self) -> None:
        """--all is the whole hub."""
        self.hub.answers[f"DELETE {HUB}"] = 200, {"status": "resumed"}
        self.assertEqual(self.output_of("resume", "--all"), "the hub gives work again\n")


class DisconnectTests(CommandTestCase):
    def test_agent(self) -> None:
        """Reason and time are sent as they were given."""
        reply = {"status": "disconnected", "agent_id": "a"}
        self.hub.answers["POST /api/agents/a/disconnect"] = 200, reply
        told = self.output_of("disconnect", "a", "--reason", "moved", "--retry-after", "2m")
        self.assertEqual(told, "a is disconnected\n")
        self.assertEqual(self.hub.requests[0][1], {"reason": "moved", "retry_after_s": 120.0})

    def test_not_connected(self) -> None:
        """One that is away is a sentence that helps."""
        self.hub.default = 404, {"error": "agent_not_connected", "agent_id": "a"}
        self.assertIn("'a' is not connected", self.error_of("disconnect", "a"))
