"""An agent in Python: computes the SHA-256 of every file in a directory.

On the machine where the hub runs::

    python checksums.py
    agentcom submit 'Checksums' --capability checksums --metadata '{"path": "."}' --wait

The same agent as a service: ``agentcom-agent.toml`` beside this file.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from agentcom.agent import Agent, Progress, Task, TaskFailed

MOST_FILES = 1_000

agent = Agent("checksums-1", capabilities=["checksums"], slots=2)


# A second run does no harm here, so an attempt that was cut short simply begins anew.
@agent.task(resume=True)
async def run(task: Task, progress: Progress) -> dict[str, str]:
    """``metadata.path`` names the directory; the result maps names to checksums."""
    path = task.metadata.get("path")
    if not isinstance(path, str):
        raise TaskFailed('give the directory as metadata: {"path": "."}', retryable=False)
    folder = Path(path)
    if not folder.is_dir():
        raise TaskFailed(f"there is no directory {folder}", retryable=False)
    files = sorted(file for file in folder.iterdir() if file.is_file())[:MOST_FILES]
    found: dict[str, str] = {}
    for number, file in enumerate(files):
        progress(number / len(files), f"reading {file.name}")
        # Reading blocks: in a thread it holds up neither the other tasks nor the line.
        found[file.name] = await asyncio.to_thread(checksum, file)
        progress(output=f"{found[file.name]}  {file.name}\n")
    return found


def checksum(file: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    agent.run()
