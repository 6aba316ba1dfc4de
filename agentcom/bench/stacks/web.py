"""The lowest floor: bare twisted.web resources that answer constants, without Klein.

    python -m agentcom.bench.stacks.web PORT        (0 takes a free port; it says which)

The same answers as `floor.py` gives, with the same `Site` settings. Stop it with SIGTERM.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from agentcom.bench.stacks.answers import POSTS
from agentcom.bench.stacks.stack import QuietSite, serve


class Post(Resource):
    """One address that takes a POST."""

    def __init__(self, code: int, answer: Callable[[bytes], bytes]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted
        self._code = code
        self._answer = answer

    def render_POST(self, request: IRequest) -> bytes:
        told = self._answer(request.content.read())
        request.setResponseCode(self._code)
        request.setHeader(b"content-type", b"application/json")
        return told


def site() -> QuietSite:
    """The resources at the addresses where the hub has its routes."""
    root, api, admin = Resource(), Resource(), Resource()
    posts = {path: Post(*answer) for path, answer in POSTS.items()}
    root.putChild(b"api", api)
    api.putChild(b"admin", admin)
    admin.putChild(b"push-task", posts["/admin/push-task"])
    api.putChild(b"tasks", posts["/tasks"])
    posts["/tasks"].putChild(b"batch", posts["/tasks/batch"])
    return QuietSite(root)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve bare twisted.web resources on loopback.")
    parser.add_argument("port", type=int, help="0 for a free one")
    options = parser.parse_args()
    from twisted.internet import reactor

    serve(reactor, site(), options.port)


if __name__ == "__main__":
    main()
