"""Make tokens for many agents at once, in the database of a hub that is stopped.

    python -m agentcom.bench.tokens DATA/agentcom.db TOKENS.json storm 5000

They are made and stored by the hub's own `core` and `store`. The file gets agent id and token of
each; the ids are the word with a number.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import time
from pathlib import Path

from agentcom.core.ids import Ids
from agentcom.core.tokens import DEFAULT_SCOPES, mint
from agentcom.store import rows
from agentcom.store import statements as sql


def make_tokens(path: Path, agents: list[str]) -> dict[str, str]:
    """Store a token for each agent, in one transaction; agent id to secret."""
    ids = Ids(os.urandom)
    now = time.time_ns() // 1_000_000
    made = {agent: mint(ids, agent, DEFAULT_SCOPES, now) for agent in agents}
    database = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    database.executemany(sql.UPSERT_TOKEN, [rows.token_row(token) for _, token in made.values()])
    database.execute("COMMIT")
    database.close()
    return {agent: secret for agent, (secret, _) in made.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make tokens in the database of a stopped hub.")
    parser.add_argument("database", type=Path, help="made by starting the hub once")
    parser.add_argument("file", type=Path, help="where the tokens are written")
    parser.add_argument("word", help="what the agents' ids begin with")
    parser.add_argument("agents", type=int)
    options = parser.parse_args()
    if not 1 <= options.agents <= 100_000:
        parser.error("agents go from 1 to 100000")
    if not options.database.is_file():
        parser.error(f"{options.database} is not there: start the hub once")
    agents = [f"{options.word}-{number}" for number in range(options.agents)]
    tokens = make_tokens(options.database, agents)
    descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        json.dump(tokens, file)


if __name__ == "__main__":
    main()
