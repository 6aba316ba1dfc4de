"""``twistd agentcom``'s options: each of them, and one sentence for each mistake."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agentcom import __version__
from agentcom.config import Config
from agentcom.tap import Options


class OptionsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.home = Path(self.mktemp()).absolute()
        self.patch(__import__("os"), "environ", {"HOME": str(self.home), "PATH": "/usr/bin"})

    def parse(self, *args: str) -> Config:
        options = Options()
        options.parseOptions(list(args))
        assert options.config is not None
        return options.config


class GoodOptionsTests(OptionsCase):
    """What the options say."""

    def test_defaults(self) -> None:
        """Without options the hub listens on the loopback interface and lives in the home."""
        config = self.parse()
        self.assertEqual(config.listen, ("tcp:4000:interface=127.0.0.1",))
        self.assertEqual(config.data_dir, self.home / ".agentcom")
        self.assertEqual(config.database, self.home / ".agentcom" / "agentcom.db")
        self.assertEqual(
            (config.min_free, config.presence_limit, config.drain_s), (256 * 2**20, 200, 10.0)
        )
        self.assertEqual((config.max_frame, config.send_buffer), (2**20, 8 * 2**20))
        self.assertEqual((config.ping_s, config.silence_s), (20.0, 60.0))
        self.assertIs(config.open_registration, False)
        self.assertEqual(Config(data_dir=config.data_dir, database=config.database), config)

    def test_each_option(self) -> None:
        """Each option is taken."""
        config = self.parse(
            "--listen=tcp:5000",
            "--listen=unix:/run/hub",
            "--data-dir=/data/hub",
            "--database=sqlite:////other/hub.db",
            "--min-free=2GiB",
            "--presence-limit=0",
            "--drain-limit=2.5",
            "--max-frame=65536",
            "--send-buffer=512KiB",
            "--ping-interval=5",
            "--silence-limit=15",
            "--open-registration",
        )
        self.assertEqual(
            config,
            Config(
                listen=("tcp:5000", "unix:/run/hub"),
                data_dir=Path("/data/hub"),
                database=Path("/other/hub.db"),
                min_free=2 * 2**30,
                presence_limit=0,
                drain_s=2.5,
                max_frame=65_536,
                send_buffer=512 * 2**10,
                ping_s=5.0,
                silence_s=15.0,
                open_registration=True,
            ),
        )

    def test_public_url(self) -> None:
        """The public address is an origin, written as browsers write it."""
        for text, meant in {
            "https://hub.example": "https://hub.example",
            "HTTPS://Hub.Example/": "https://hub.example",
            "https://hub.example:443": "https://hub.example",
            "http://hub:80/": "http://hub",
            "http://10.0.0.7:4000": "http://10.0.0.7:4000",
            "https://[2001:DB8::1]:8443": "https://[2001:db8::1]:8443",
        }.items():
            self.assertEqual(self.parse(f"--public-url={text}").public_url, meant)
        self.assertIs(self.parse().public_url, None)

    def test_allowed_origins(self) -> None:
        """Origins of others are named as browsers do, in any case."""
        config = self.parse(
            "--allow-origin=https://Tools.example",
            "--allow-origin=http://localhost:3000",
            "--allow-origin=http://[::1]:3000",
            "--allow-origin=chrome-extension://abc",
        )
        self.assertEqual(
            config.allow_origins,
            (
                "https://tools.example",
                "http://localhost:3000",
                "http://[::1]:3000",
                "chrome-extension://abc",
            ),
        )
        self.assertEqual(self.parse().allow_origins, ())

    def test_trusted_proxies(self) -> None:
        """Proxies are addresses, networks and unix sockets, as often as one likes."""
        config = self.parse(
            "--trusted-proxy=10.0.0.7", "--trusted-proxy=fd00::7/8", "--trusted-proxy=unix"
        )
        self.assertEqual(config.trusted_proxies, ("10.0.0.7/32", "fd00::/8", "unix"))
        self.assertEqual(self.parse().trusted_proxies, ())

    def test_files_of_endpoints(self) -> None:
        """What an endpoint names is looked at when it is opened, not before."""
        listen = "ssl:4443:privateKey=/nowhere/key.pem"
        self.assertEqual(self.parse(f"--listen={listen}").listen, (listen,))

    def test_data_dir(self) -> None:
        """The option comes before ``$AGENTCOM_HOME``, and that before the home."""
        environ = __import__("os").environ
        environ["AGENTCOM_HOME"] = "/from/environment"
        self.assertEqual(self.parse().data_dir, Path("/from/environment"))
        self.assertEqual(self.parse("--data-dir=/from/option").data_dir, Path("/from/option"))
        environ["AGENTCOM_HOME"] = ""
        self.assertEqual(self.parse().data_dir, self.home / ".agentcom")

    def test_relative_paths(self) -> None:
        """Relative paths are those of now: a daemon changes its directory later."""
        config = self.parse("--data-dir=here", "--database=sqlite:///there.db")
        self.assertEqual(config.data_dir, Path.cwd() / "here")
        self.assertEqual(config.database, Path.cwd() / "there.db")

    def test_version_and_help(self) -> None:
        """``--version`` and ``--help`` answer on stdout and end with 0."""
        for option, text in (("--version", __version__), ("--help", "--data-dir")):
            ended = self.assertRaises(SystemExit, self.parse, option)
            self.assertIn(ended.code, (0, None))
            self.assertIn(text, self.out.getvalue())
        self.assertEqual(self.err.getvalue(), "")


class BadOptionsTests(OptionsCase):
    """One line on stderr, exit code 2, no help."""

    def refused(self, *args: str) -> str:
        ended = self.assertRaises(SystemExit, self.parse, *args)
        self.assertEqual(ended.code, 2, args)
        text = self.err.getvalue()
        self.err.truncate(0)
        self.err.seek(0)
        self.assertEqual(text.count("\n"), 1, text)
        self.assertTrue(text.startswith("agentcom: ") and text.endswith("\n"), text)
        self.assertLess(len(text), 400)
        self.assertEqual(self.out.getvalue(), "")
        self.assertNotIn("Traceback", text)
        return text

    def test_bad_values(self) -> None:
        """Each value that cannot be is refused by the name of its option."""
        for option, values in {
            "min-free": ("", "x", "-1", "1.5GiB", "1TB", "9" * 5_000, "\u0663"),
            "presence-limit": ("", "x", "-1", "1.5", "1" + "0" * 400, "9" * 5_000),
            "drain-limit": ("", "x", "-1", "nan", "inf", "1e9"),
            "max-frame": ("", "x", "0", "1KiB", "9" * 5_000),
            "send-buffer": ("", "x", "0", "1KiB"),
            "ping-interval": ("", "x", "0", "nan", "-inf"),
            "silence-limit": ("", "x", "0", "nan"),
            "listen": ("", "nonsense:1", "tcp", "tcp:x", "tcp:1:nope=2", "x\n" * 99, "haproxy:x:1"),
            "public-url": (
                "",
                "hub",
                "hub:4000",
                "ftp://hub",
                "https://",
                "https://hub/path",
                "https://me@hub",
                "https://hub?x",
                "https://hub#x",
                "https://hub:x",
                "https://hub:99999",
                "https://h ub",
                "https://[::1",
                "https://hub\r\nx: y",
            ),
            "allow-origin": ("", "*", "null", "x", "https://", "https://a/", "https://a b", "//a"),
            "trusted-proxy": ("", "x", "10.0.0.0/33", "10.0.0.1:80", "unix:/run", "9" * 5_000),
            "database": ("x", "sqlite:", "sqlite://", "sqlite:///", "mysql://h/d", "sqlite://["),
        }.items():
            for value in values:
                self.assertIn(f"--{option}", self.refused(f"--{option}={value}"))

    def test_unknown(self) -> None:
        """Unknown options, missing values and arguments are refused."""
        self.assertIn("--nope", self.refused("--nope"))
        self.refused("--listen")
        self.refused("--open-registration=yes")
        self.assertIn("'stray'", self.refused("stray"))

    def test_password_is_not_shown(self) -> None:
        """A database URL that is refused is shown without its password."""
        for url in ("postgresql://me:s3cret@host/db", "postgresql://host/db?password=s3cret"):
            self.assertNotIn("s3cret", self.refused(f"--database={url}"))
