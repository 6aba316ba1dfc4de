"""The service on a reactor in memory, over real files: from nothing to a clean stop."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

from agentcom.core.ids import hash_token
from agentcom.hub import goodbyes
from agentcom.store.connections import connect
from tests.unit.service.support import ServiceCase


class StartTests(ServiceCase):
    """What a start makes, and says."""

    def test_nothing_is_opened_before_the_start(self) -> None:
        """Making a service opens nothing: twistd forks after it."""
        self.service()
        self.assertFalse(self.folder.exists())
        self.assertEqual((self.reactor.listening, self.reactor.getDelayedCalls()), ({}, []))

    def test_first_start(self) -> None:
        """The first start makes a private directory with a database and an admin token."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        service = self.started()
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in self.folder.iterdir()}
        self.assertLessEqual({"agentcom.db", "admin.token", "lock"}, set(modes))
        self.assertEqual(set(modes.values()), {0o600}, modes)
        token = (self.folder / "admin.token").read_text()
        self.assertRegex(token, r"\A[0-9a-f]{64}\n\Z")
        self.assertEqual(self.request(service, "GET", "/admin/tokens").status, 200)

    def test_token_is_in_no_log(self) -> None:
        """The log says where the admin token is, and never what it is."""
        self.started()
        token = (self.folder / "admin.token").read_text().strip()
        path = str(self.folder / "admin.token")
        self.assertEqual(len([line for line in self.lines if path in line]), 1, self.lines)
        self.assertNotIn(token, "".join(self.lines))
        self.assertNotIn(hash_token(token), "".join(self.lines))

    def test_second_start(self) -> None:
        """A later start makes no other token, and says nothing of one."""
        self.stop(self.started())
        token = (self.folder / "admin.token").read_text()
        self.lines.clear()
        service = self.started()
        self.assertEqual((self.folder / "admin.token").read_text(), token)
        answer = self.request(service, "GET", "/admin/tokens")
        self.assertEqual(len(answer.body["tokens"]), 1)
        self.assertNotIn("admin.token", "".join(self.lines))

    def test_first_start_that_was_interrupted(self) -> None:
        """A start that died before there was a token is made up for by the next."""
        self.stop(self.started())
        connection = connect(str(self.folder / "agentcom.db"))
        connection.execute("DELETE FROM tokens")
        connection.close()
        service = self.started()
        self.assertEqual(self.request(service, "GET", "/admin/tokens").status, 200)

    def ready_lines(self) -> list[str]:
        return [line for line in self.lines if "is ready" in line]

    def test_ready_line(self) -> None:
        """Once the hub runs it says where it listens, with the real port, and the dashboard."""
        service = self.started()
        self.settle()
        self.assertEqual(self.ready_lines(), [])
        self.reactor.start()
        (line,) = self.ready_lines()
        (url,) = service.urls()
        self.assertEqual(url, "http://127.0.0.1:40000")
        self.assertIn(f"listening on {url} ", line)
        self.assertIn(f"{url}/dashboard", line)

    def test_every_port(self) -> None:
        """Each endpoint is listened on and told, as one can open it."""
        service = self.started(
            listen=(
                "tcp:4000:interface=127.0.0.1",
                "tcp:0:interface=0.0.0.0",
                r"tcp:4002:interface=\:\:1",
                r"tcp:4003:interface=\:\:",
            )
        )
        self.assertEqual(
            service.urls(),
            [
                "http://127.0.0.1:4000",
                "http://127.0.0.1:40001",
                "http://[::1]:4002",
                "http://[::1]:4003",
            ],
        )
        self.assertEqual(set(self.reactor.listening), {4000, 40001, 4002, 4003})
        self.reactor.start()
        self.settle()
        self.assertEqual(len(self.ready_lines()), 4)

    def test_ready_with_its_writer(self) -> None:
        """It is not said that the hub is ready before the process is there that writes."""
        self.started()
        self.reactor.start()
        self.assertEqual(self.ready_lines(), [])
        self.settle()
        self.assertEqual(len(self.ready_lines()), 1)

    def test_hub_started_is_logged(self) -> None:
        """Each start is an event of the log."""
        for starts in (1, 2):
            service = self.started()
            self.until(lambda service=service: not service._disk.store._commits.busy)  # type: ignore[union-attr]
            self.stop(service)
            with sqlite3.connect(self.folder / "agentcom.db") as db:
                rows = db.execute("SELECT seq FROM events WHERE event = 'hub_started'").fetchall()
            db.close()
            self.assertEqual(len(rows), starts)


class RefusedTests(ServiceCase):
    """Why a hub does not start: one sentence, and nothing of it stays."""

    def test_directory_in_use(self) -> None:
        """A second hub on a data directory is refused with the first one's process id."""
        first = self.started()
        text = self.refused(self.service())
        self.assertIn(f"data directory in use by process {os.getpid()}", text)
        self.assertIn(str(self.folder), text)
        self.assertEqual(self.request(first, "GET", "/health").status, 200)
        self.stop(first)
        self.started()

    def test_database_in_use(self) -> None:
        """A second hub on the same database, from another directory, is refused too."""
        shared = self.folder / "shared" / "hub.db"
        shared.parent.mkdir(parents=True)
        first = self.started(self.folder / "one", database=shared)
        text = self.refused(self.service(self.folder / "two", database=shared))
        self.assertIn(f"in use by process {os.getpid()}", text)
        self.stop(first)
        self.started(self.folder / "two", database=shared)

    def test_port_in_use(self) -> None:
        """A port that is taken is named; the directory is free again afterwards."""
        self.reactor.listening[4000] = "somebody else"
        text = self.refused(self.service(listen=("tcp:4000:interface=127.0.0.1",)))
        self.assertIn("cannot listen on tcp:4000:interface=127.0.0.1", text)
        self.assertIn("Address already in use", text)
        self.started()

    def test_second_port_in_use(self) -> None:
        """With one of several ports taken the others are not left open."""
        self.reactor.listening[4000] = "somebody else"
        service = self.service(listen=("tcp:4001", "tcp:4000"))
        self.assertIn("tcp:4000", self.refused(service))

    def test_bad_endpoints(self) -> None:
        """An endpoint that cannot be is named."""
        for listen in ("nonsense:1", "tcp", "tcp:x", "", "tcp:1:nope=2", "ssl:1:privateKey=nope"):
            text = self.refused(self.service(listen=(listen,)))
            self.assertIn(f"--listen {listen}", text)

    def test_directory_cannot_be_made(self) -> None:
        """A data directory that cannot be made, or written in, is named."""
        self.folder.mkdir()
        file = self.folder / "file"
        file.write_text("")
        for path in (file, file / "below"):
            text = self.refused(self.service(path))
            self.assertIn(str(path), text)

    def test_token_cannot_be_written(self) -> None:
        """A token file that cannot be written is named, and no token without a file is left."""
        self.folder.mkdir()
        (self.folder / "admin.token").mkdir()
        self.assertIn("admin.token", self.refused(self.service()))
        (self.folder / "admin.token").rmdir()
        service = self.started()
        self.assertEqual(self.request(service, "GET", "/admin/tokens").status, 200)

    def test_newer_schema(self) -> None:
        """A database of a newer version is refused."""
        self.stop(self.started())
        connection = connect(str(self.folder / "agentcom.db"))
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        self.assertIn("newer version (9999)", self.refused(self.service()))

    def test_no_database(self) -> None:
        """A database file that is none is named."""
        self.folder.mkdir()
        (self.folder / "agentcom.db").write_bytes(b"no database " * 1_000)
        self.assertIn("agentcom.db", self.refused(self.service()))

    def test_stop_after_a_refusal(self) -> None:
        """A service that could not start can be stopped."""
        self.reactor.listening[4000] = "somebody else"
        service = self.service(listen=("tcp:4000",))
        self.refused(service)
        self.assertIsNone(self.successResultOf(service.stopService()))


class StopTests(ServiceCase):
    """A stop answers what was received, and loses nothing."""

    def hold_up(self) -> sqlite3.Connection:
        """Another process holds the database: nothing can be committed."""
        other = connect(str(self.folder / "agentcom.db"))
        other.execute("BEGIN IMMEDIATE")
        self.addCleanup(other.close)
        return other

    def test_all_is_closed(self) -> None:
        """After a stop nothing listens, no time passes, and the directory is free."""
        service = self.started()
        self.request(service, "GET", "/health")
        disk = service._disk
        assert disk is not None
        took = self.stop(service)
        self.assertLess(took, 1)
        self.assertFalse(disk.writer.busy, "what writes has not ended")
        self.assertEqual(self.reactor.listening, {})
        self.assertEqual(self.lines[-1], "stopped")
        self.pass_time(2)
        self.started()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_no_time_to_drain(self) -> None:
        """With no time for a stop at all it is a clean one, where everything was on disk."""
        service = self.started(drain_s=0.0)
        self.request(service, "GET", "/health")
        self.stop(service)
        self.assertIsNone(service._disk)
        self.assertFalse(any("before everything was on disk" in line for line in self.lines))
        self.started()

    def test_state_is_kept(self) -> None:
        """What was acknowledged is there after a restart."""
        service = self.started()
        agent = self.agent(service, "w")
        body = b'{"agent_id":"w","description":"x"}'
        answer = self.request(service, "POST", "/api/admin/push-task", body)
        self.until(lambda: agent.of("task_assign"))
        self.stop(service)
        again = self.started()
        task = self.request(again, "GET", f"/api/tasks/{answer.body['task_id']}").body
        self.assertEqual((task["status"], task["agent_id"]), ("assigned", "w"))

    def test_agents_are_told(self) -> None:
        """Agents are closed with 1001, event streams are ended."""
        service = self.started()
        agent = self.agent(service, "w")
        stream = self.begin(service, "GET", "/api/events")
        self.until(lambda: stream.received)
        self.stop(service)
        self.assertEqual(agent.closed and agent.closed[0], 1001)
        self.assertTrue(stream.received.endswith(b"0\r\n\r\n"))

    def test_many_agents_are_told(self) -> None:
        """However many they are, all are told, and those too that have not said who they are."""
        self.patch(goodbyes, "AT_A_TIME", 2)
        service = self.started()
        agents = [self.agent(service, f"w{number}") for number in range(5)]
        stranger = self.stranger(service)
        self.stop(service)
        told = [agent.closed and agent.closed[0] for agent in (*agents, stranger)]
        self.assertEqual(told, [1001] * 6)

    def test_while_it_stops(self) -> None:
        """While it stops the hub listens no more, is not ready, and refuses writes with 503."""
        service = self.started()
        agent = self.agent(service, "w")
        other = self.hold_up()
        body = b'{"agent_id":"w","description":"x"}'
        pending = self.begin(service, "POST", "/api/admin/push-task", body)
        stopped = service.stopService()
        self.pass_time(0.1)
        self.assertEqual(self.reactor.listening, {})
        self.assertEqual(self.request(service, "GET", "/ready").status, 503)
        refused = self.request(service, "POST", "/api/admin/push-task", body)
        self.assertEqual(refused.status, 503)
        self.assertEqual((pending.received, agent.closed), (b"", None))
        other.execute("COMMIT")
        self.pass_time(1)
        self.until(lambda: pending.received)
        self.assertIn(b" 200 ", pending.received.partition(b"\r\n")[0])
        self.pass_time(5)
        self.assertTrue(stopped.called)
        self.assertEqual(agent.closed and agent.closed[0], 1001)
        self.assertEqual(len(agent.of("task_assign")), 1)

    def test_drain_limit(self) -> None:
        """A stop takes no longer than its limit, and says what it could not do."""
        service = self.started(drain_s=3.0)
        agent = self.agent(service, "w")
        self.hold_up()
        self.begin(service, "POST", "/admin/tokens", b'{"agent_id":"x"}')
        took = self.stop(service)
        self.assertLess(took, 3.5)
        self.assertGreater(took, 2.0)
        self.assertTrue(any("before everything was on disk" in line for line in self.lines))
        self.assertEqual(agent.closed and agent.closed[0], 1001)
        self.flushLoggedErrors()

    def test_silent_agents_do_not_hold_it_up(self) -> None:
        """An agent that never answers the close frame costs two seconds at the most."""
        service = self.started()
        agent = self.agent(service, "w")
        agent.dataReceived = lambda data: None
        self.assertLess(self.stop(service), 3)

    def test_gives_up(self) -> None:
        """When the disk has failed for a minute the process is told to end, once."""
        service = self.started()
        self.until(lambda: not service._disk.store._commits.busy)  # type: ignore[union-attr]
        other = self.hold_up()
        self.begin(service, "POST", "/admin/tokens", b'{"agent_id":"x"}')
        self.pass_time(1)
        ready = self.begin(service, "GET", "/ready")
        self.assertIn(b" 503 ", ready.received)
        self.pass_time(55)
        self.assertEqual(self.given_up, 0)
        self.pass_time(8)
        self.assertEqual(self.given_up, 1)
        other.execute("COMMIT")


class SpaceTests(ServiceCase):
    """The limit of free disk space, on the real disk."""

    def test_min_free(self) -> None:
        """A limit above what the disk has makes the hub not ready from the start."""
        service = self.started(min_free=2**62)
        answer: Any = self.request(service, "GET", "/ready")
        self.assertEqual(answer.status, 503)
        other = self.started(Path(f"{self.folder}-other"), min_free=0)
        self.folder = Path(f"{self.folder}-other")
        self.assertEqual(self.request(other, "GET", "/ready").status, 200)
