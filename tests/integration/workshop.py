"""A process that runs one command as an agent would, and tells what it hears.

``python -m tests.integration.workshop start|adopt STATE_DIR COMMAND...``: one
JSON value a line on standard output.  A line on its standard input is
``stop``, ``kill``, or ``discard``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from agentcom.sidecar.runner import Ears, Run, Runner

TASK = {"task_id": "task-1", "generation": 3, "attempt": 1, "description": "do it"}
KEY = ("task-1", 3)


def tell(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


class Orders(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, run: Run) -> None:
        self._run = run

    def lineReceived(self, line: bytes) -> None:
        {"stop": self._run.stop, "kill": self._run.kill, "discard": self._run.discard}[
            line.decode()
        ]()
        tell(did=line.decode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The test may close it; the run goes on."""


def main(how: str, state_dir: str, *command: str) -> None:
    from twisted.internet import reactor

    there: Any = reactor
    runner = Runner(
        command,
        os.environ,
        agent_id="bot",
        state_dir=Path(state_dir),
        spawn=there.spawnProcess,
        clock=there,
    )
    ears = Ears(
        lambda text: tell(text=text),
        lambda note: tell(progress=note.progress, message=note.message),
        lambda outcome: tell(
            ended=True,
            code=outcome.exit_code,
            signal=outcome.signal,
            output=outcome.output,
            truncated=outcome.truncated,
            data=(outcome.data or b"").decode(),
            problem=outcome.problem,
        ),
    )

    def begin() -> None:
        if how == "tidy":
            runner.tidy([])
            tell(tidied=True)
            return
        run = runner.start(TASK, ears) if how == "start" else runner.adopt(TASK, ears)
        tell(run=run is not None)
        if run is not None:
            StandardIO(Orders(run))

    there.callWhenRunning(begin)
    there.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
