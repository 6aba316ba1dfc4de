"""Identifiers: how they look, and where their randomness comes from.

PROTOCOL.md, Conventions: task ids are ``task-`` and 16 hex digits, message
ids 16 hex digits, tokens 64.  The source of random bytes is passed in, so
that a simulation can replay a run from its seed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

AGENT_ID = re.compile(r"[A-Za-z0-9._:@-]{1,128}\Z")
RESERVED_AGENT_IDS = frozenset({"broadcast", "admin"})
ADMIN_ID = "admin"
MAX_INTEGER = 2**53


POOL = 4096
"""Bytes taken from the random source at a time: a call for each id costs more."""

TOGETHER = 1024
"""Task ids, one after the other, that begin alike: so they share pages of the index of ids,
where each of a million would have one of its own."""

ALIKE = 3
"""Hex digits with which those begin."""


class Ids:
    """Makes ids from a secure random source.

    :param random_bytes: returns that many unpredictable bytes.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._pool = b""
        self._used = 0
        self._beginning = ""
        self._left = 0

    def task(self) -> str:
        """A new task id."""
        if not self._left:
            self._beginning = "task-" + self._take(2)[:ALIKE]
            self._left = TOGETHER
        self._left -= 1
        return self._beginning + self._take(8)[ALIKE:]

    def message(self) -> str:
        """A new message id."""
        return self._take(8)

    def token(self) -> str:
        """A new token: 256 random bits in hex."""
        return self._random_bytes(32).hex()

    def fraction(self) -> float:
        """A number from 0 up to 1."""
        return int(self._take(4), 16) / 2**32

    def epoch(self) -> str:
        """A new epoch of the event log."""
        return self._take(4)

    def _take(self, count: int) -> str:
        """So many fresh random bytes, in hex; no byte is used twice."""
        if self._used + count > len(self._pool):
            self._pool = self._random_bytes(POOL)
            self._used = 0
        start = self._used
        self._used = start + count
        return self._pool[start : self._used].hex()


def hash_token(token: str) -> str:
    """What is stored of a token.

    A fast hash is right: a token is 256 random bits and cannot be guessed,
    whatever the hash costs (PROTOCOL.md section 2).
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def valid_new_agent_id(agent_id: str) -> bool:
    """Whether a new agent may have this id."""
    return AGENT_ID.match(agent_id) is not None and agent_id not in RESERVED_AGENT_IDS
