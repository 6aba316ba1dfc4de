"""Tokens, and the registration of new agents."""

from __future__ import annotations

from typing import Any

from agentcom.core.ids import ADMIN_ID, valid_new_agent_id
from agentcom.core.tokens import ADMIN, ANY, DEFAULT_SCOPES, ENROLL, SCOPES
from agentcom.errors import AgentIdTaken, Forbidden, TokenNotFound, ValidationFailed
from agentcom.http.addresses import Addresses
from agentcom.http.route import Answer, Call, Route
from agentcom.hub.hub import Hub
from agentcom.wire.answers.admin import Registered, Revoked, TokenList, TokenMade
from agentcom.wire.http import CreateToken, Register


class AdminRoutes:
    """The routes under ``/admin``, and onboarding.

    :param open_registration: anybody may register an agent.
    """

    def __init__(self, hub: Hub, open_registration: bool, addresses: Addresses) -> None:
        self._hub = hub
        self._addresses = addresses
        self._open_registration = open_registration

    def routes(self) -> list[Route]:
        """What is served, and what each needs."""
        return [
            Route(
                method="POST",
                path="/admin/tokens",
                name="create_token",
                scope=ADMIN,
                body=CreateToken,
                example={"agent_id": "ci", "scopes": ["submit"], "expires_in_s": 86400},
                answers={201: TokenMade},
                handler=self.create,
            ),
            Route(
                method="GET",
                path="/admin/tokens",
                name="list_tokens",
                scope=ADMIN,
                answers={200: TokenList},
                handler=self.list,
            ),
            Route(
                method="DELETE",
                path="/admin/tokens/<agent_id>",
                name="revoke_tokens",
                # An agent may revoke its own: the handler looks whose they are.
                scope=ANY,
                answers={200: Revoked},
                refuses=(Forbidden, TokenNotFound),
                handler=self.revoke,
            ),
            Route(
                method="POST",
                path="/api/onboard/register",
                name="register",
                scope=None if self._open_registration else ENROLL,
                body=Register,
                example={"agent_id": "laptop-7"},
                answers={201: Registered},
                refuses=(AgentIdTaken,),
                handler=self.register,
            ),
        ]

    async def create(self, call: Call) -> Answer:
        """Make a token; it is shown this once."""
        body: CreateToken = call.body
        _about(call, agent_id=body.agent_id, scopes=body.scopes)
        scopes = tuple(dict.fromkeys(body.scopes or DEFAULT_SCOPES))
        wrong = _wrong_id(body.agent_id, may_be_admin=ADMIN in scopes)
        if any(s not in SCOPES for s in scopes):
            wrong.append(_invalid("scopes", "must be of " + ", ".join(SCOPES)))
        if wrong:
            raise ValidationFailed(wrong)
        self._hub.check_open()
        expires_at = None
        if body.expires_in_s is not None:
            expires_at = self._hub.now() + int(body.expires_in_s * 1000)
        secret, token = await self._hub.auth.create(body.agent_id, scopes, expires_at)
        return Answer(
            201,
            {
                "agent_id": token.agent_id,
                "token": secret,
                "scopes": token.scopes,
                "expires_at": token.expires_at,
            },
        )

    def list(self, call: Call) -> Answer:
        """The tokens that can be used, without their secrets."""
        return Answer(
            200,
            {
                "tokens": [
                    {
                        "agent_id": t.agent_id,
                        "token_prefix": t.prefix,
                        "scopes": t.scopes,
                        "created_at": t.created_at,
                        "expires_at": t.expires_at,
                    }
                    for t in self._hub.auth.everything()
                ]
            },
        )

    async def revoke(self, call: Call) -> Answer:
        """Revoke all tokens of an agent."""
        agent_id = call.args["agent_id"]
        own = call.caller == agent_id
        if not own and not (call.token is not None and call.token.allows(ADMIN)):
            raise Forbidden(ADMIN)
        self._hub.check_running()
        revoked = await self._hub.auth.revoke(agent_id)
        return Answer(200, {"status": "revoked", "agent_id": agent_id, "tokens": revoked})

    async def register(self, call: Call) -> Answer:
        """Give a new agent its token and the addresses of the hub."""
        agent_id: str = call.body.agent_id
        _about(call, agent_id=agent_id)
        wrong = _wrong_id(agent_id, may_be_admin=False)
        if wrong:
            raise ValidationFailed(wrong)
        if self._hub.auth.knows(agent_id):
            raise AgentIdTaken(agent_id=agent_id)
        self._hub.check_open()
        secret, _ = await self._hub.auth.create(agent_id, DEFAULT_SCOPES)
        url = self._addresses.base_url(call.request)
        return Answer(
            201,
            {
                "agent_id": agent_id,
                "token": secret,
                "hub_ws_url": "ws" + url.removeprefix("http") + "/ws",
                "hub_api_url": url,
            },
        )


def _about(call: Call, **target: object) -> None:
    """Tell the audit log whom a request is about, where its path does not say it."""
    request: Any = call.request
    request.target = target


def _wrong_id(agent_id: str, may_be_admin: bool) -> list[dict[str, str]]:
    if valid_new_agent_id(agent_id) or (agent_id == ADMIN_ID and may_be_admin):
        return []
    rule = "1 to 128 of A-Z a-z 0-9 . _ : @ -, and not 'broadcast' or 'admin'"
    return [_invalid("agent_id", rule)]


def _invalid(field: str, detail: str) -> dict[str, str]:
    return {"field": field, "error": "invalid_value", "detail": detail}
