"""Starting: with nothing but a data directory, or one sentence that says why not."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
from pathlib import Path

from tests.integration.processes import (
    LOOPBACK,
    TWISTD,
    HubProcess,
    ProcessTestCase,
    environment,
    until,
)

BAD_OPTIONS = [
    ["--no-such-option"],
    ["--min-free", "lots"],
    ["--min-free", "-1"],
    ["--drain-limit", "nan"],
    ["--drain-limit", "inf"],
    ["--presence-limit", "1.5"],
    ["--max-frame", "0"],
    ["--max-frame", "1000GiB"],
    ["--send-buffer", "0"],
    ["--ping-interval", "soon"],
    ["--silence-limit", ""],
    ["--listen", ""],
    ["--listen", "nonsense:::"],
    ["--listen", "tcp:notaport"],
    ["--listen", "tcp:70000"],
    ["--database", "mysql://somewhere/x"],
    ["--database", "sqlite:///"],
    ["--database", "://["],
    ["--database", "nonsense"],
    ["unexpected"],
]


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


class DataDirTests(ProcessTestCase):
    """Where the hub keeps its state, and who can read it."""

    def test_the_home_directory_is_the_default(self) -> None:
        """Without any setting the state is in ~/.agentcom, which only its owner can enter."""
        home = self.work / "home"
        home.mkdir()
        data = home / ".agentcom"
        hub = HubProcess(data, "--listen", LOOPBACK, env=environment(home), defaults=False)
        self.addCleanup(hub.kill)
        hub.ready()
        self.assertEqual(mode(data), 0o700)
        self.assertEqual(self.http(hub).request("GET", "/admin/tokens").status, 200)

    def test_the_environment_names_the_directory(self) -> None:
        """AGENTCOM_HOME takes the place of ~/.agentcom, and --data-dir the place of both."""
        home = self.work / "elsewhere"
        env = environment(self.work, AGENTCOM_HOME=str(home))
        hub = HubProcess(home, "--listen", LOOPBACK, env=env, defaults=False)
        self.addCleanup(hub.kill)
        hub.ready()
        self.assertTrue((home / "agentcom.db").exists())
        self.assertFalse((self.work / ".agentcom").exists())
        self.hub(env=env)
        self.assertTrue((self.data_dir / "agentcom.db").exists())

    def test_nothing_is_readable_for_others(self) -> None:
        """The admin token and the database are readable for their owner only."""
        umask = os.umask(0)
        try:
            hub = self.hub()
        finally:
            os.umask(umask)
        self.agent(hub, "worker")
        self.assertEqual(mode(self.data_dir), 0o700)
        for path in self.data_dir.iterdir():
            self.assertEqual(mode(path) & 0o077, 0, path.name)
        self.assertEqual(mode(self.data_dir / "admin.token"), 0o600)

    def test_the_log_names_the_token_file_and_no_token(self) -> None:
        """The log says where the admin token is; no token ever appears in it."""
        hub = self.hub()
        token = hub.token("worker")
        self.agent(hub, "worker", token)
        http = self.http(hub, None)
        http.request("GET", f"/api/mailbox/worker?token={token}")
        http.request("GET", f"/no-such-page?token={hub.admin_token}")
        http.request("GET", f"/api/tasks?token={token}", b"", Authorization=f"Bearer {token}")
        log = hub.log()
        self.assertIn(str(self.data_dir / "admin.token"), log)
        self.assertNotIn(hub.admin_token, log)
        self.assertNotIn(token, log)
        first = hub.admin_token
        self.assertEqual(hub.stop(), 0)
        again = self.hub()
        self.assertEqual(again.admin_token, first, "a later start must keep the token")
        self.assertNotIn(first, again.log())

    def test_two_hubs_never_share_a_directory(self) -> None:
        """A second hub ends by naming the process that has the data directory."""
        hub = self.hub()
        second = self.start()
        self.assert_one_sentence(second, f"data directory in use by process {hub.pid}")
        self.assertEqual(self.http(hub).request("GET", "/ready").status, 200)
        hub.kill()
        # A lock of a dead hub holds nobody up.
        self.hub()

    def test_port_zero_prints_the_real_port(self) -> None:
        """The ready line names the dashboard and a port that can be connected to."""
        hub = self.hub()
        self.assertIn(f"{hub.url}/dashboard", hub.log())
        socket.create_connection(("127.0.0.1", hub.port), 5).close()


class FirstTokenTests(ProcessTestCase):
    """A first start that dies half-way."""

    def _dies(self, **faults: str) -> None:
        hub = self.hub_after_death(**faults)
        self.assertTrue((self.data_dir / "admin.token").exists(), hub.log())
        self.assertEqual(self.http(hub).request("GET", "/admin/tokens").status, 200)

    def hub_after_death(self, **faults: str) -> HubProcess:
        """A hub on the data of one that died where it was told to."""
        from tests.integration import faulty_hub
        from tests.integration.faults import FAULTY

        dead = self.start(command=FAULTY, env=environment(self.work, **faults))
        self.assertEqual(dead.wait(), faulty_hub.KILLED, dead.log())
        return self.hub()

    def test_dead_before_the_token_is_stored(self) -> None:
        """A database without an admin token is given one by the next start."""
        self._dies(FAULT_DIE_IN="agentcom.opening:insert")

    def test_dead_before_the_token_is_written_down(self) -> None:
        """The next start writes a good admin.token where the first could not."""
        self._dies(FAULT_DIE_IN="agentcom.opening:write_secret")

    def test_dead_after_the_token_is_written_down(self) -> None:
        """What admin.token says is good after a first start that got no further."""
        self._dies(FAULT_DIE_AFTER="agentcom.opening:write_secret")

    def test_dead_after_the_token_is_stored(self) -> None:
        """What admin.token says is good after a first start that stored a token and died."""
        self._dies(FAULT_DIE_AFTER="agentcom.opening:insert")


class RefusalTests(ProcessTestCase):
    """One clear sentence on stderr, an exit code that is not 0, and no traceback."""

    def test_a_taken_port(self) -> None:
        """A port that somebody else has is named."""
        hub = self.hub()
        other = self.start(
            "--listen", f"tcp:{hub.port}:interface=127.0.0.1", data_dir=self.work / "b"
        )
        self.assert_one_sentence(other, str(hub.port))

    def test_one_of_two_ports_is_taken(self) -> None:
        """A hub listens on everything that it was told to, or ends."""
        hub = self.hub()
        taken = f"tcp:{hub.port}:interface=127.0.0.1"
        other = self.start("--listen", LOOPBACK, "--listen", taken, data_dir=self.work / "b")
        self.assert_one_sentence(other, str(hub.port))

    def test_bad_options(self) -> None:
        """Options that are unknown, or have no meaning, are refused."""
        hubs = [(options, self.start(*options)) for options in BAD_OPTIONS]
        wrong = []
        for options, hub in hubs:
            try:
                self.assert_one_sentence(hub)
            except AssertionError as e:
                wrong.append(f"{options}: {str(e)[:300]}")
        self.assertEqual(wrong, [], "\n".join(wrong))

    def test_a_password_in_a_database_url_is_not_repeated(self) -> None:
        """A refused --database is shown without its password."""
        hub = self.start("--database", "postgresql://user:sesame@db.example/x")
        self.assertNotIn("sesame", self.assert_one_sentence(hub))

    def test_a_file_in_place_of_the_directory(self) -> None:
        """A data directory that is a file is named."""
        self.data_dir.write_text("")
        self.assert_one_sentence(self.start(), str(self.data_dir))

    def test_a_directory_that_cannot_be_written(self) -> None:
        """A data directory without permission to write is named."""
        self.data_dir.mkdir()
        if os.getuid() == 0:
            # Root may write anywhere, so the file system says no.
            mounted = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(self.data_dir)],
                capture_output=True,
            )
            if mounted.returncode:
                print(f"not tried as root without mounts: {mounted.stderr!r}")
                return
            self.addCleanup(subprocess.run, ["umount", "-l", str(self.data_dir)], check=True)
        else:
            self.data_dir.chmod(0o500)
            self.addCleanup(self.data_dir.chmod, 0o700)
        self.assert_one_sentence(self.start(), str(self.data_dir))
        self.assert_one_sentence(self.start(data_dir=self.data_dir / "deeper"), "deeper")

    def test_directories_in_place_of_files(self) -> None:
        """Whatever of the hub's own files cannot be opened is told in one sentence."""
        for name in ("lock", "agentcom.db", "admin.token"):
            shutil.rmtree(self.data_dir, ignore_errors=True)
            (self.data_dir / name / "x").mkdir(parents=True)
            with self.subTest(name=name):
                self.assert_one_sentence(self.start())

    def test_a_file_that_is_no_database(self) -> None:
        """A database file of something else is named and left as it is."""
        self.data_dir.mkdir()
        file = self.data_dir / "agentcom.db"
        file.write_bytes(b"this is no database at all" * 1000)
        self.assert_one_sentence(self.start(), str(file))
        self.assertEqual(file.read_bytes(), b"this is no database at all" * 1000)

    def test_a_database_of_somebody_else(self) -> None:
        """A database with other tables than a hub's is refused and left as it is."""
        self.data_dir.mkdir()
        file = self.data_dir / "agentcom.db"
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE tasks (mine text)")
        db.close()
        self.assert_one_sentence(self.start(), str(file))

    def test_a_newer_schema(self) -> None:
        """A database of a newer version is left alone, and its version is told."""
        self.hub().kill()
        with sqlite3.connect(self.data_dir / "agentcom.db") as db:
            db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.close()
        self.assert_one_sentence(self.start(), "newer", "9999")

    def test_a_locked_database(self) -> None:
        """A database that another program holds is named instead of waited for without end."""
        self.hub().kill()
        db = sqlite3.connect(self.data_dir / "agentcom.db", isolation_level=None)
        self.addCleanup(db.close)
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        self.assert_one_sentence(self.start(), "agentcom.db")

    def test_a_missing_database_directory(self) -> None:
        """A --database in a directory that there is not is named."""
        hub = self.start("--database", f"sqlite:///{self.work}/missing/hub.db")
        self.assert_one_sentence(hub, "missing/hub.db")

    def test_another_database_file(self) -> None:
        """--database puts the state where it says."""
        file = self.work / "other.db"
        self.hub("--database", f"sqlite:///{file}")
        self.assertTrue(file.exists())
        self.assertFalse((self.data_dir / "agentcom.db").exists())


class DaemonTests(ProcessTestCase):
    """``twistd agentcom`` without ``-n``."""

    def _twistd(self, *options: str) -> subprocess.CompletedProcess[bytes]:
        pidfile, logfile = self.work / "hub.pid", self.work / "daemon.log"
        return subprocess.run(
            [
                *(TWISTD, f"--pidfile={pidfile}", f"--logfile={logfile}", "agentcom"),
                *("--data-dir", str(self.data_dir), *options),
            ],
            cwd=self.work,
            env=environment(self.work),
            capture_output=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )

    def _running(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return False
        # Nobody may be there to take note of its end.
        return state != "Z"

    def test_a_daemon_works_until_sigterm(self) -> None:
        """A daemon writes its ready line to its log, serves, and is gone after SIGTERM."""
        done = self._twistd("--listen", LOOPBACK)
        self.assertEqual(done.returncode, 0, done.stderr)
        log = self.work / "daemon.log"
        until(lambda: "AgentCom is ready" in log.read_text(), "ready")
        pid = int((self.work / "hub.pid").read_text())
        self.addCleanup(lambda: self._running(pid) and os.kill(pid, 9))
        self.assertNotEqual(pid, os.getpid())
        url = log.read_text().partition("listening on ")[2].split()[0]
        from tests.integration.clients import Http

        token = (self.data_dir / "admin.token").read_text().strip()
        with Http(url, token) as http:
            self.assertEqual(http.request("GET", "/ready").status, 200)
        os.kill(pid, 15)
        until(lambda: not self._running(pid), "the end of the daemon")
        self.assertFalse((self.work / "hub.pid").exists())
        self.assertIn("stopped", log.read_text())

    def test_a_daemon_that_cannot_start_tells_its_parent(self) -> None:
        """Whoever started a daemon that cannot start is told why, in words and exit code."""
        hub = self.hub()
        done = self._twistd("--listen", LOOPBACK)
        self.assertNotEqual(done.returncode, 0)
        told = (done.stderr + done.stdout).decode()
        self.assertIn(f"data directory in use by process {hub.pid}", told)
        self.assertNotIn("Traceback", told)
        log = (self.work / "daemon.log").read_text()
        self.assertFalse("Traceback" in log, log)
        self.assertFalse((self.work / "hub.pid").exists())
