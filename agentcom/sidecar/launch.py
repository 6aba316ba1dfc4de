"""Becomes the command of a task, in a session of its own.

The runner starts this file as a script, because a reactor's ``spawnProcess``
cannot make a process group and one made from outside comes too late.
"""

import os
import signal
import sys


def become(argv: list[str]) -> None:
    """Replace this process by the command, or exit as a shell would."""
    os.setsid()
    # Python ignores these, and what is ignored stays so through exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as e:
        print(f"agentcom: cannot run {argv[0]}: {e.strerror}", file=sys.stderr, flush=True)
        os._exit(127 if isinstance(e, FileNotFoundError) else 126)


if __name__ == "__main__":
    become(sys.argv[1:])
