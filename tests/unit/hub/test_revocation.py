"""Which lines end with a token."""

from __future__ import annotations

from agentcom.core.ids import hash_token
from agentcom.hub.revocation import TOKEN_EXPIRED, Ended
from tests.unit.http.support import HttpCase


class RevocationTests(HttpCase):
    """One hub with agents that have a token each, or several."""

    def revoke(self, agent_id: str) -> None:
        self.assertEqual(self.hub.request("DELETE", f"/admin/tokens/{agent_id}").status, 200)

    def test_only_its_own_lines(self) -> None:
        """Of all lines those go that were opened with a revoked token."""
        agents = [self.hub.agent(name) for name in ("a", "b", "c")]
        self.revoke("b")
        self.assertEqual([agent.closed for agent in agents], [None, (4003, "token revoked"), None])

    def test_the_newest_token_counts(self) -> None:
        """A line that identified again ends with the token that it gave last."""
        agent = self.hub.agent("a")
        (first,) = self.hub.hub.auth.good_tokens("a")
        secret = self.post("/admin/tokens", {"agent_id": "a"}).body["token"]
        agent.say("identify", agent_id="a", token=secret)
        revocation = self.hub.hub.revocation
        revocation.ended(Ended(TOKEN_EXPIRED, frozenset({first.hash})))
        self.hub.settle()
        self.assertIsNone(agent.closed)
        revocation.ended(Ended(TOKEN_EXPIRED, frozenset({hash_token(secret)})))
        self.hub.settle()
        self.assertEqual(agent.closed, (4003, "token expired"))

    def test_nothing_is_kept(self) -> None:
        """Of lines that are down nothing is kept."""
        for name in ("a", "b"):
            self.hub.agent(name).transport.loseConnection()
        self.hub.settle()
        revocation = self.hub.hub.revocation
        self.assertEqual((revocation._lines, revocation._opened_by), ({}, {}))
