"""Where a hub is: one address from which the HTTP and WebSocket ones follow.

Only a loopback hub may be given the machine's own admin token, so what counts
as loopback is decided here, by address and never by a name look-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

DEFAULT_HUB = "http://127.0.0.1:4000"

_SECURE = {"http": False, "ws": False, "https": True, "wss": True}


@dataclass(frozen=True)
class HubURL:
    """The address of a hub.

    :ivar prefix: path before all routes, without a slash at its end.
    """

    secure: bool
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> HubURL:
        """Read ``http://HOST:PORT``; ``https``, ``ws`` and ``wss`` work too.

        :raises ValueError: with one sentence that says what is wrong.
        """
        parts = urlsplit(text if "://" in text else f"http://{text}")
        try:
            port = parts.port
        except ValueError:
            raise ValueError(f"the port in {text!r} is not a number from 0 to 65535") from None
        if parts.scheme not in _SECURE or not parts.hostname:
            raise ValueError(f"{text!r} is not a hub address such as {DEFAULT_HUB}")
        if parts.username is not None:
            raise ValueError("a hub address has no user name in it; give the token with --token")
        secure = _SECURE[parts.scheme]
        if port is None:
            port = 443 if secure else 80
        prefix = parts.path.rstrip("/")
        if parts.scheme in ("ws", "wss"):
            # Agents of other makes are given the address of the WebSocket itself.
            prefix = prefix.removesuffix("/ws")
        return cls(secure, parts.hostname, port, prefix)

    def http(self, *path: str) -> str:
        """The URL of a route; every part of ``path`` is quoted by itself."""
        return self._join("https" if self.secure else "http", path)

    @property
    def websocket(self) -> str:
        """The URL that agents connect to."""
        return self._join("wss" if self.secure else "ws", ("ws",))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can be the hub."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.http()

    def _join(self, scheme: str, path: tuple[str, ...]) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        quoted = "".join("/" + quote(part, safe="") for part in path)
        return f"{scheme}://{host}:{self.port}{self.prefix}{quoted}"
