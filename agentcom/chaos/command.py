"""What agents run for each task: write to the sink, work, write to it again.

Run by its path and with nothing but the standard library, because one is
started for each attempt.  ``HOST:PORT`` of the sink is its one argument; the
task comes as any command of an agent finds it, in the environment.  It ends
at once when the sink goes, so that nothing outlives a run.
"""

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping

FAILED = 1
SUPERSEDED = 75
ANSWER_LIMIT_S = 30.0
LONGEST_ANSWER = 4096


def write(sink: socket.socket, effect: Mapping[str, object]) -> bool:
    """Write a side effect; whether it counted.

    :raises OSError: the sink is gone.
    """
    sink.sendall(json.dumps(effect).encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        data = sink.recv(LONGEST_ANSWER)
        if not data or len(answer) > LONGEST_ANSWER:
            raise OSError("the sink is gone")
        answer += data
    return bool(json.loads(answer)["counted"])


def work(sink: socket.socket, environment: Mapping[str, str]) -> int:
    """One attempt; gives the exit code.

    :raises OSError: the sink is gone.
    """
    asked = json.loads(environment["AGENTCOM_DESCRIPTION"])
    if asked.get("deaf"):
        # As many programs are while they are at work: an agent that is told to
        # stop this attempt has to wait for it, or to kill it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    generation = int(environment["AGENTCOM_GENERATION"])
    effect = {
        "task_id": environment["AGENTCOM_TASK_ID"],
        "generation": generation,
        "agent_id": environment["AGENTCOM_AGENT_ID"],
        "run": os.getpid(),
    }
    if not write(sink, {**effect, "step": "begin"}):
        print("superseded before it began")
        return SUPERSEDED
    readable, _, _ = select.select([sink], [], [], asked["work_s"])
    if readable:
        raise OSError("the sink is gone")
    if generation <= asked["fails"]:
        print("it was to fail")
        return FAILED
    if not write(sink, {**effect, "step": "end"}):
        print("superseded while it ran")
        return SUPERSEDED
    result = json.dumps({"by": effect["agent_id"], "generation": generation})
    path = environment.get("AGENTCOM_RESULT_FILE")
    if path:
        with open(path, "w", encoding="utf-8") as file:
            file.write(result)
    print(result)
    return 0


def main() -> int:
    """Run for the one task in the environment."""
    host, _, port = sys.argv[1].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), ANSWER_LIMIT_S) as sink:
            return work(sink, os.environ)
    except OSError as e:
        print(f"no sink: {e}")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
