"""The file of an agent: each setting, and one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.urls import HubURL
from agentcom.errors import StartError
from agentcom.sidecar import settings
from agentcom.sidecar.settings import AgentSettings, parse_settings, read_settings

LEAST = 'agent_id = "a"\nexec = "true"\n'


class SettingsCase(SynchronousTestCase):
    def parse(self, text: str) -> AgentSettings:
        return parse_settings(text, Path("/etc/agent.toml"))


class GoodTests(SettingsCase):
    def test_defaults(self) -> None:
        """An id and a command are enough."""
        self.assertEqual(
            self.parse(LEAST),
            AgentSettings(
                folder=Path("/etc"),
                hub=None,
                agent_id="a",
                command=("true",),
                python=None,
                token_file=None,
                slots=None,
                capabilities=None,
                labels=None,
                name=None,
                data_dir=None,
                state_dir=None,
                drain_limit_s=0.0,
            ),
        )

    def test_each(self) -> None:
        """Each setting is taken; what is named is relative to the file."""
        given = self.parse(
            """
            hub = "https://hub.example"
            agent_id = "ci-1"
            exec = ["sh", "-c", "true"]
            token_file = "ci.token"
            slots = 4
            capabilities = ["python", "review"]
            name = "The build machine"
            data_dir = "/var/lib/agentcom"
            state_dir = "state"
            drain_limit_s = 30

            [labels]
            os = "linux"
            empty = ""
            """
        )
        self.assertEqual(
            given,
            AgentSettings(
                folder=Path("/etc"),
                hub=HubURL(True, "hub.example", 443),
                agent_id="ci-1",
                command=("sh", "-c", "true"),
                python=None,
                token_file=Path("/etc/ci.token"),
                slots=4,
                capabilities=("python", "review"),
                labels={"os": "linux", "empty": ""},
                name="The build machine",
                data_dir=Path("/var/lib/agentcom"),
                state_dir=Path("/etc/state"),
                drain_limit_s=30.0,
            ),
        )

    def test_command(self) -> None:
        """A command in one text is split into words as a shell would."""
        self.assertEqual(
            self.parse("agent_id = 'a'\nexec = \"sh -c 'a b'\"").command, ("sh", "-c", "a b")
        )

    def test_python(self) -> None:
        """With a module in place of a command the id may be left to its Agent."""
        given = self.parse('python = "some.module:agent"')
        self.assertEqual((given.python, given.agent_id), (("some.module", "agent"), None))

    def test_file(self) -> None:
        """The file is read where it is; its place is absolute, for a daemon moves."""
        path = Path(self.mktemp())
        path.write_text(LEAST + 'name = "\N{SNOWMAN}"\ntoken_file = "t"\n', "utf-8")
        given = read_settings(path)
        self.assertEqual(given.name, "\N{SNOWMAN}")
        self.assertEqual(given.token_file, path.absolute().parent / "t")


class BadTests(SettingsCase):
    def refused(self, text: str) -> str:
        sentence = str(self.assertRaises(StartError, self.parse, text))
        self.assertNotIn("\n", sentence)
        self.assertLess(len(sentence), 300)
        self.assertIn("/etc/agent.toml", sentence)
        return sentence

    def test_wrong_values(self) -> None:
        """A value of another type or out of its bounds is refused by its setting's name."""
        for key, values in {
            "hub": ("1", "''", "'ftp://x'", "'http://h:99999'"),
            "agent_id": ("1", "''", "' '", "'admin'", "'broadcast'", f"'{'x' * 129}'"),
            "exec": ("1", "''", "[]", "[1]", "['']", '"\'"', "'no-such-command-at-all x'"),
            "python": ("1", "'m'", "':a'", "'m:'", "'m:a.b'", "'a b:c'", "'m:a:b'"),
            "token_file": ("1", "''", '"\\u0000"'),
            "slots": ("0", "-1", "10001", "1.0", "true", "'2'"),
            "capabilities": ("'python'", "1", "['']", "[1]", f"['{'x' * 257}']"),
            "labels": ("'os=linux'", "['os']", "{os = 1}", "{'' = 'x'}"),
            "name": ("1", "''", f"'{'x' * 257}'"),
            "data_dir": ("1", "''"),
            "state_dir": ("1", "''"),
            "drain_limit_s": ("-1", "'30s'", "nan", "inf", "true", "1e9"),
        }.items():
            self.assertIn(key, settings._CHECKS)
            for value in values:
                self.assertIn(key, self.refused(f"{key} = {value}"), value)
        self.assertEqual(len(settings._CHECKS), 12, "a new setting needs its wrong values here")

    def test_unknown(self) -> None:
        """A setting that there is not is refused, with the one that was meant."""
        self.assertIn("did you mean slots?", self.refused(LEAST + "slot = 2"))
        self.assertIn("agent_id", self.refused(LEAST + "zzz = 2"))

    def test_token(self) -> None:
        """A token in the file is refused, not shown, and where it belongs is said."""
        sentence = self.refused(LEAST + "token = 'secret'")
        self.assertIn("token_file", sentence)
        self.assertNotIn("secret", sentence)

    def test_nothing_to_run(self) -> None:
        """One of exec and python is needed, and with exec an id."""
        self.assertIn("say what to run", self.refused("agent_id = 'a'"))
        self.assertIn("not both", self.refused(LEAST + "python = 'm:a'"))
        self.assertIn("agent_id is missing", self.refused("exec = 'true'"))

    def test_no_toml(self) -> None:
        """What is no TOML is refused with the place where it is wrong."""
        self.assertIn("line 2", self.refused("agent_id = 'a'\nexec true"))

    def test_no_file(self) -> None:
        """A file that cannot be read is named."""
        path = Path(self.mktemp())
        self.assertIn(str(path), str(self.assertRaises(StartError, read_settings, path)))
        path.write_bytes(b"\xff")
        self.assertIn("not UTF-8", str(self.assertRaises(StartError, read_settings, path)))


class CheckTests(SynchronousTestCase):
    """The same checks for arguments, which can be anything."""

    def test_many(self) -> None:
        """More than the hub takes are refused before it refuses the agent."""
        self.assertRaises(ValueError, settings.capabilities_of, "c", ["x"] * 1_001)
        many = {str(number): "" for number in range(257)}
        self.assertRaises(ValueError, settings.labels_of, "l", many)

    def test_hub_takes_the_most(self) -> None:
        """What the checks let pass at their limits, the hub takes."""
        import msgspec

        from agentcom.wire.frames import Identify

        identify: dict[str, Any] = {
            "type": "identify",
            "token": "t",
            "agent_id": settings.agent_id_of("a", "x" * settings.MOST_ID),
            "name": settings.name_of("n", "x" * settings.MOST_TEXT),
            "slots": settings.slots_of("s", settings.MOST_SLOTS),
            "capabilities": settings.capabilities_of(
                "c", ["x" * settings.MOST_TEXT] * settings.MOST_CAPABILITIES
            ),
            "labels": settings.labels_of(
                "l", {str(n): "x" * settings.MOST_TEXT for n in range(settings.MOST_LABELS)}
            ),
        }
        msgspec.json.decode(msgspec.json.encode(identify), type=Identify)

    def test_surrogates(self) -> None:
        """A text that no frame could carry is refused."""
        self.assertRaises(ValueError, settings.name_of, "name", "\ud800")

    def test_token(self) -> None:
        """A token is taken without the space around it, and never shown."""
        self.assertEqual(settings.token_of("token", " t\n"), "t")
        for wrong in (b"secret", 7, "secret" * 100, " "):
            try:
                settings.token_of("token", wrong)
            except (TypeError, ValueError) as e:
                self.assertNotIn("secret", str(e))
            else:
                self.fail(f"{wrong!r} was taken")
