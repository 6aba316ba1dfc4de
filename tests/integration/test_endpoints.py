"""What the hub listens on, and who else may write to its store."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.clients import Agent, Http
from tests.integration.processes import LOOPBACK, ProcessTestCase, environment, until
from tests.integration.rawsocket import RawSocket


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub.example")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_file, certificate_file = folder / "key.pem", folder / "cert.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key_file, certificate_file


class EndpointTests(ProcessTestCase):
    """``--listen``."""

    def test_tls(self) -> None:
        """An ssl: endpoint serves https and wss on one port, beside a plain one."""
        key, certificate = make_certificate(self.work)
        tls = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        hub = self.hub("--listen", tls, "--listen", LOOPBACK)
        until(lambda: len(hub.urls) == 2, "two ready lines")
        secure, plain = hub.urls
        self.assertTrue(secure.startswith("https://") and plain.startswith("http://"), hub.urls)
        context = ssl.create_default_context(cafile=certificate)
        with Http(secure, hub.admin_token, context) as http, Http(plain, hub.admin_token) as other:
            tokens = [http.ok("POST", "/admin/tokens", {"agent_id": a})["token"] for a in "ab"]
            over_tls = Agent(secure, "a", tokens[0], context)
            self.addCleanup(over_tls.close)
            over_tcp = Agent(plain, "b", tokens[1])
            self.addCleanup(over_tcp.close)
            for client in (http, other):
                task_id = client.push("a", metadata={"large": "x" * 300_000})
                given = over_tls.next("task_assign", task_id=task_id)
                self.assertEqual(len(given["metadata"]["large"]), 300_000)
            self.assertEqual(http.ok("GET", "/health")["agents_connected"], 2)
            enroll = http.ok("POST", "/admin/tokens", {"agent_id": "e", "scopes": ["enroll"]})
            with Http(secure, enroll["token"], context) as enrolling:
                told = enrolling.ok("POST", "/api/onboard/register", {"agent_id": "new"})
            self.assertTrue(told["hub_ws_url"].startswith("wss://"), told)
            self.assertTrue(told["hub_api_url"].startswith("https://"), told)
            self.assertEqual(hub.stop(), 0, hub.log())
        self.assertEqual([over_tls.close_code(), over_tcp.close_code()], [1001, 1001])

    def test_strangers_on_a_tls_port(self) -> None:
        """Bytes that are no TLS end that one connection and leave no traceback."""
        key, certificate = make_certificate(self.work)
        tls = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        hub = self.hub("--listen", tls)
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 500, b"\0" * 100):
            raw = RawSocket(hub.port)
            raw.send(data)
            raw.read_all()
            raw.close()
        context = ssl.create_default_context(cafile=certificate)
        with Http(hub.url, None, context) as http:
            self.assertEqual(http.request("GET", "/health").status, 200)
        self.assert_clean_log(hub)

    def test_a_unix_socket(self) -> None:
        """A unix: endpoint can be listened on, and stops cleanly."""
        # A socket's path may have some 100 characters only, and a checkout more.
        folder = tempfile.mkdtemp(prefix="hub-")
        self.addCleanup(shutil.rmtree, folder)
        hub = self.hub("--listen", f"unix:{folder}/s", "--listen", LOOPBACK)
        self.assertEqual(len(hub.urls), 2, hub.log())
        self.assertEqual(hub.stop(), 0, hub.log())
        self.assert_clean_log(hub)


class LocalTokenTests(ProcessTestCase):
    """A lost admin token is replaced on the machine itself."""

    def test_a_token_made_beside_a_running_hub(self) -> None:
        """An admin token that another process wrote is good within two seconds, and stays good."""
        hub = self.hub()
        script = (
            "import sys; from pathlib import Path;"
            "from agentcom.store.local import create_admin_token;"
            "print(create_admin_token(Path(sys.argv[1]), 1_700_000_000_000))"
        )
        agent = self.agent(hub, "worker")
        http = self.http(hub)
        made = subprocess.Popen(
            [sys.executable, "-c", script, str(self.data_dir)],
            stdout=subprocess.PIPE,
            cwd=self.work,
            env=environment(self.work),
        )
        self.addCleanup(made.kill)
        # The hub goes on writing meanwhile.
        while made.poll() is None:
            http.push("worker")
        token = made.communicate()[0].decode().strip()
        self.assertEqual(made.returncode, 0)
        written = time.monotonic()
        with Http(hub.url, token) as new:
            until(lambda: new.request("GET", "/admin/tokens").status == 200, "good", 10.0)
            self.assertLess(time.monotonic() - written, 10.0, "two seconds, and slack")
            self.assertEqual(http.request("GET", "/admin/tokens").status, 200, "the old one too")
        agent.say("ping")
        agent.next("pong")
        self.assertNotIn(token, hub.log())
        hub.kill()
        again = self.hub()
        with Http(again.url, token) as new:
            self.assertEqual(new.request("GET", "/admin/tokens").status, 200)
