"""Schemathesis against a real hub: what is documented is what is served."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fuzz.hooks import FUZZER
from tests.integration.processes import ROOT, ProcessTestCase, environment

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
HERE = Path(__file__).parent

LIMIT_S = 300
"""Seconds for all of it; alone on a machine it takes less than 30."""

EXAMPLES = 8
"""Requests that are made up for each operation, beside those at the bounds of its fields."""


class SchemathesisTests(ProcessTestCase):
    """All checks, over every operation but those of ``schemathesis.toml``."""

    timeout = LIMIT_S + 60

    def test_every_operation(self) -> None:
        """Whatever is sent, the hub answers as its OpenAPI document says."""
        hub = self.hub("--trusted-proxy", "127.0.0.1")
        token = hub.token(FUZZER, "admin")
        # What the examples of the document name is there, so that they do something.
        self.agent(hub, "builder-1")
        self.http(hub).ok("POST", "/api/channels", {"name": "builds"})
        self.http(hub).ok("POST", "/api/tasks", {"description": "wait", "agent_id": "nobody"})
        output = self.work / "schemathesis.txt"
        with output.open("wb") as out:
            done = subprocess.run(
                [
                    str(SCHEMATHESIS),
                    f"--config-file={HERE / 'schemathesis.toml'}",
                    "run",
                    f"{hub.url}/openapi.json",
                    f"--header=Authorization: Bearer {token}",
                    f"--max-examples={EXAMPLES}",
                    "--no-color",
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.work,
                env=environment(
                    self.work, SCHEMATHESIS_HOOKS="tests.fuzz.hooks", PYTHONPATH=str(ROOT)
                ),
                timeout=LIMIT_S,
                check=False,
            )
        said = output.read_text(errors="replace")
        self.assertEqual(done.returncode, 0, said)
        # It also ends well where it found nothing to try.
        self.assertRegex(said, r"Selected: (5[6-9]|[6-9]\d)/")
        self.assert_clean_log(hub)
        self.assertEqual(self.http(hub).ok("GET", "/health")["status"], "ok")
