"""The command as a whole: help, versions, lazy loading, usage errors."""

from __future__ import annotations

import subprocess
import sys

import click
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from agentcom import __version__
from agentcom.cli import main
from agentcom.cli.main import COMMANDS, cli
from tests.unit.cli.fakes import CommandTestCase


def all_commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The names of every command below one."""
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        found += all_commands(below, (*path, name))
    return found


class HelpTests(SynchronousTestCase):
    def test_lists_commands(self) -> None:
        """The help names every command with what it does."""
        shown = CliRunner().invoke(cli, ["--help"]).output
        for name, (_, told) in COMMANDS.items():
            self.assertIn(name, shown)
            self.assertIn(told, shown)

    def test_every_help_has_an_example(self) -> None:
        """The help of each command shows how it is used."""
        for path in all_commands(cli):
            shown = CliRunner().invoke(cli, [*path, "--help"])
            self.assertEqual(shown.exit_code, 0, path)
            self.assertIn(f"agentcom {' '.join(path)}", shown.output)
            self.assertIn("Example:", shown.output)

    def test_agents_are_open_to_all(self) -> None:
        """The help of the one command that asks for no token says so."""
        self.assertIn("no token is asked for", CliRunner().invoke(cli, ["agents", "-h"]).output)

    def test_version(self) -> None:
        """The version is the package's."""
        self.assertIn(__version__, CliRunner().invoke(cli, ["--version"]).output)

    def test_ctrl_c_at_once(self) -> None:
        """Ctrl-C while a command's module is imported ends it without a word."""

        def interrupted(module: str) -> None:
            raise KeyboardInterrupt

        self.patch(main, "import_module", interrupted)
        result = CliRunner().invoke(cli, ["agent", "--agent-id", "a", "--exec", "true"])
        self.assertEqual((result.exit_code, result.output), (130, ""))

    def test_unknown_command(self) -> None:
        """A command that does not exist is a usage error."""
        result = CliRunner().invoke(cli, ["fly"])
        self.assertEqual(result.exit_code, 2)
        self.assertIn("No such command 'fly'", result.output)

    def test_help_is_quick(self) -> None:
        """Asking for help loads neither Twisted nor msgspec nor rich."""
        program = (
            "import sys\n"
            "from click.testing import CliRunner\n"
            "from agentcom.cli.main import cli\n"
            "from agentcom.cli.main import COMMANDS\n"
            "for arguments in ([], *([name] for name in COMMANDS)):\n"
            "    assert CliRunner().invoke(cli, [*arguments, '--help']).exit_code == 0\n"
            "print([n for n in ('twisted', 'msgspec', 'rich') if n in sys.modules])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        self.assertEqual(done.stdout.strip(), "[]")


class UsageTests(CommandTestCase):
    def test_usage_errors(self) -> None:
        """What cannot be meant is a usage error and reaches no hub."""
        for arguments, told in (
            (("push", "bot"), "Missing argument 'TEXT'"),
            (("push", "bot", "x", "--metadata", "{"), "is not JSON"),
            (("push", "bot", "x", "--metadata", "[1]"), "no JSON object"),
            (("push", "bot", "x", "--timeout", "5"), "--timeout goes with --wait"),
            (("push", "bot", "x", "--wait", "--timeout", "0"), "'0' is too short"),
            (("push", "bot", "x", "--wait", "--timeout", "nan"), "'nan' is not a number"),
            (("push", "bot", "x", "--wait", "--timeout", "inf"), "'inf' is not a number"),
            (("push", "bot", "x", "--wait", "--timeout", "abc"), "'abc' is not a number"),
            (("push", "bot", "x", "--metadata", '{"n": NaN}'), "is not JSON"),
            (("push", "bot", "x", "--metadata", '{"n": -Infinity}'), "is not JSON"),
            (("push", "bot", "x", "--metadata", '{"n": "\\ud800"}'), "is not JSON"),
            (("push", "bot", "x", "--metadata", '{"n": 1e999}'), "beyond 2^53"),
            (("push", "bot", "x", "--metadata", '{"n": 9007199254740993}'), "beyond 2^53"),
            (("push", "bot", "x", "--metadata", '{"n": 1%s}' % ("0" * 5000)), "beyond 2^53"),
            (("push", "bot", ""), "it is empty"),
            (("push", "", "x"), "it is empty"),
            (("push", "bot", "\udcff"), "it is not UTF-8"),
            (("push", "bot", "x", "--idempotency-key", ""), "it is empty"),
            (("send", "bot", "\udcff"), "it is not UTF-8"),
            (("tasks", "--limit", "x"), "'x' is not a whole number"),
            (("token", "create", "bot", "--expires-in", "nan"), "'nan' is not a number"),
            (("token", "create", "bot", "--expires-in", "1e30"), "is longer than 1e+10 seconds"),
            (("token", "create", "bad id!"), "cannot be an agent's id"),
            (("token", "create", "broadcast"), "'broadcast' is reserved"),
            (("watch", "--topics", "foo"), "'foo' is not one of tasks, presence"),
            (("watch", "--topics", ""), "'' is not one of"),
            (("watch", "--after", "abc"), "EPOCH:NUMBER"),
            (("watch", "--after", "-1"), "EPOCH:NUMBER"),
            (("watch", "--after", "ep:x"), "EPOCH:NUMBER"),
            (("watch", "--after", ""), "EPOCH:NUMBER"),
            (("agent", "--agent-id", "", "--exec", "true"), "it is empty"),
            (("agent", "--agent-id", "a", "--exec", "true", "--slots", "x"), "not a whole number"),
            (("tasks", "--status", "lost"), "'lost' is not one of"),
            (("tasks", "--limit", "0"), "x>=1"),
            (("tasks", "--priority", "soon"), "'soon' is not one of"),
            (("submit",), "Missing argument 'TEXT'"),
            (("submit", ""), "it is empty"),
            (("submit", "x", "--timeout", "5"), "--timeout goes with --wait"),
            (("submit", "x", "--wait", "--timeout", "soon"), "'soon' is not a number of seconds"),
            (("submit", "x", "--batch", "-"), "goes with neither TEXT nor --wait"),
            (("submit", "--wait", "--batch", "-"), "goes with neither TEXT nor --wait"),
            (("submit", "--batch", "/no/such/file"), "No such file"),
            (("submit", "x", "--label", "os==linux"), "is no test of a label"),
            (("submit", "x", "--capability", ""), "it is empty"),
            (("submit", "x", "--priority", "soon"), "'soon' is not one of"),
            (("submit", "x", "--deadline", "600"), "is not a time like 10m"),
            (("submit", "x", "--max-attempts", "0"), "is not in the range"),
            (("submit", "x", "--hold", "-1"), "'-1' is too short"),
            (("submit", "x", "--queue-timeout", "0"), "'0' is too short"),
            (("submit", "x", "--backoff-factor", "0.5"), "is not in the range"),
            (("submit", "x", "--backoff-factor", "2x"), "'2x' is not a number"),
            (("submit", "x", "--on-disconnect", "cry"), "'cry' is not one of"),
            (
                ("submit", "x", "--idempotency-key", "k", "--not-before", "10m"),
                "the same --idempotency-key would mean another task",
            ),
            (("retry",), "name the dead letters by ID"),
            (("retry", "task-1", "--all"), "give IDs, or filters, or --all"),
            (("retry", "--all", "--agent", "a"), "give IDs, or filters, or --all"),
            (("delete",), "name the dead letters by ID"),
            (("delete", "--all"), "add --yes"),
            (("delete", "--error", "x"), "add --yes"),
            (("token", "create"), "name the AGENT"),
            (("token", "create", "bot", "--admin"), "--admin goes with --data-dir only"),
            (("token", "create", "bot", "--scope", "all"), "'all' is not one of"),
            (("agents", "--hub", "ftp://x"), "not a hub address"),
            (("agent", "--exec", "true"), "Missing option '--agent-id'"),
            (("agent", "--agent-id", "a", "--exec", "'"), "cannot be split"),
            (("agent", "--agent-id", "a", "--exec", ""), "name a command"),
            (("agent", "--agent-id", "a", "--exec", "no-such-command-here"), "there is no command"),
            (("agent", "--agent-id", "a", "--exec", "true", "--slots", "0"), "x<=10000"),
            (("agent", "--agent-id", "a", "--exec", "true", "--label", "x"), "not like os=linux"),
        ):
            self.assertIn(told, self.error_of(*arguments, code=2), arguments)
        self.assertEqual(self.hub.requests, [])


class SettingsTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hub.answers["GET /api/agents"] = 200, {"agents": []}
        self.environment["AGENTCOM_TOKEN"] = None

    def used(self, *arguments: str) -> tuple[str, str | None]:
        self.output_of(*arguments)
        return self.runtime.used[-1]

    def test_defaults(self) -> None:
        """Without a word it is the hub of this machine, without a token."""
        self.assertEqual(self.used("agents"), ("http://127.0.0.1:4000", None))

    def test_options_go_first(self) -> None:
        """Options win over the environment, those after the command over those before."""
        self.environment.update(AGENTCOM_HUB="http://env:1", AGENTCOM_TOKEN="env")
        self.assertEqual(self.used("agents"), ("http://env:1", "env"))
        self.assertEqual(
            self.used("--hub", "http://opt:1", "--token", "opt", "agents"), ("http://opt:1", "opt")
        )
        self.assertEqual(
            self.used("--hub", "http://opt:1", "agents", "--hub", "http://late:1"),
            ("http://late:1", "env"),
        )

    def test_admin_token_of_this_machine(self) -> None:
        """The admin token in the data directory serves a hub on this machine."""
        (self.home / "admin.token").write_text("local\n")
        self.assertEqual(self.used("agents")[1], "local")
        other = self.home / "other"
        other.mkdir()
        (other / "admin.token").write_text("other\n")
        self.assertEqual(self.used("agents", "--data-dir", str(other))[1], "other")

    def test_admin_token_stays_here(self) -> None:
        """It is never sent to another machine."""
        (self.home / "admin.token").write_text("local\n")
        self.assertEqual(self.used("agents", "--hub", "http://hub.example")[1], None)

    def test_no_token(self) -> None:
        """A refusal for want of a token says how to give one."""
        self.hub.answers["GET /api/tasks"] = 401, {"error": "unauthorized", "hint": "h"}
        self.assertIn("no admin.token", self.error_of("tasks"))
        self.assertIn("--token", self.error_of("tasks", "--hub", "http://hub.example"))
        self.assertIn("does not know this token", self.error_of("tasks", "--token", "bad"))
