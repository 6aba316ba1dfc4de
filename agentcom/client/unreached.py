"""Why no hub answered, in one sentence: the same for requests and for agents."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from agentcom.client.errors import HubUnreachable
from agentcom.client.urls import HubURL

TIMEOUT_S = 30.0


def unreached(url: HubURL, error: BaseException | None) -> HubUnreachable:
    """What to say of an error that kept an answer, or a line, from coming."""
    if isinstance(error, ConnectionRefusedError):
        return HubUnreachable(
            f"no hub answers at {url}; start one with `twistd -n --pidfile= agentcom` or "
            "name another with --hub"
        )
    if isinstance(error, DNSLookupError):
        return HubUnreachable(f"the name {url.host!r} is not known; check --hub")
    if isinstance(error, TimeoutError):
        return HubUnreachable(f"nothing answers at {url}; check --hub")
    if isinstance(error, ConnectError):
        return HubUnreachable(f"the hub at {url} cannot be reached: {error}")
    if isinstance(error, (CancelledError, DeferredTimeout)):
        return HubUnreachable(
            f"the hub at {url} did not answer within {TIMEOUT_S:.0f} s",
            may_have_arrived=True,
        )
    if isinstance(error, ResponseNeverReceived) and _by_tls(error):
        return HubUnreachable(
            f"no safe line to {url}: its certificate is not trusted here; one of your "
            "own can be named in $SSL_CERT_FILE"
        )
    if isinstance(error, (ResponseNeverReceived, ResponseFailed)):
        hint = "; is it http:// there?" if url.secure else ""
        return HubUnreachable(
            f"the line to the hub at {url} broke before its answer came{hint}",
            may_have_arrived=True,
        )
    return HubUnreachable(
        f"the hub at {url} cannot be used: {error or type(error).__name__}",
        may_have_arrived=True,
    )


def _by_tls(error: ResponseNeverReceived) -> bool:
    # By name, because pyOpenSSL is there only with Twisted's "tls" extra.
    return any(type(reason.value).__module__ == "OpenSSL.SSL" for reason in error.reasons)
