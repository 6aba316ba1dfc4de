"""A few calls to a hub's HTTP API, one after the other."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

ANSWER_S = 30.0


class Api:
    """The hub's HTTP API, with the admin's token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST where there is a body, else GET."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
