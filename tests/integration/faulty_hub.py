"""``twistd`` with a fault under the store, for tests of what a hub makes of it.

Run as a script in place of ``twistd``.  What is broken comes from the
environment; the hub's own code is as it is.

``FAULT_FLAG``
    a file: while it exists, every commit fails as a full disk does.
``FAULT_GIVE_UP_S``
    seconds after which the hub gives up, in place of its 60.
``FAULT_DIE_IN``
    ``module:function`` of the package that ends the process when called.
``FAULT_DIE_AFTER``
    the same, when it has returned.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from agentcom.store import commit, writing

KILLED = 77
"""The exit code of a hub that died where it was told to."""


def break_the_writer() -> None:
    """Have a process write that fails while the flag is there; see :mod:`.faulty_writer`."""
    tests = str(Path(__file__).parents[2])
    writing.PROGRAM = (
        f"import sys; sys.path += [sys.argv.pop(1), {tests!r}];"
        "from tests.integration import faulty_writer; faulty_writer.main()"
    )


def die_around(place: str, *, after: bool) -> None:
    """End the process at a call, or when the call has returned."""
    module_name, _, name = place.partition(":")
    module = importlib.import_module(module_name)
    real = getattr(module, name)

    def dying(*args: Any, **kwargs: Any) -> None:
        if after:
            real(*args, **kwargs)
        os._exit(KILLED)

    setattr(module, name, dying)


def main() -> None:
    """Break what is asked for, then be ``twistd``."""
    if "FAULT_FLAG" in os.environ:
        break_the_writer()
    if "FAULT_GIVE_UP_S" in os.environ:
        commit.GIVE_UP_AFTER_S = float(os.environ["FAULT_GIVE_UP_S"])
    for name, after in (("FAULT_DIE_IN", False), ("FAULT_DIE_AFTER", True)):
        if name in os.environ:
            die_around(os.environ[name], after=after)
    from twisted.scripts.twistd import run

    sys.argv[0] = "twistd"
    run()


if __name__ == "__main__":
    main()
