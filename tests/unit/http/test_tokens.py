"""Tokens and registration over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar

from agentcom.core.tokens import ADMIN, AGENT, ENROLL, SUBMIT
from tests.unit.http.support import HttpCase, answer_of


class TokenTests(HttpCase):
    """Making, listing and revoking tokens."""

    def create(self, agent_id: Any = "w", **fields: Any) -> Any:
        return self.post("/admin/tokens", {"agent_id": agent_id, **fields})

    def works(self, token: str) -> bool:
        return self.get("/api/tasks", token=token).status == 200

    def test_create(self) -> None:
        """A new token has the default scopes and works; it is shown once."""
        body = self.answers(self.create(), 201, agent_id="w")
        self.assertRegex(body["token"], r"\A[0-9a-f]{64}\Z")
        self.assertEqual(body["scopes"], [AGENT, SUBMIT])
        self.assertTrue(self.works(body["token"]))
        self.assertNotIn(body["token"].encode(), self.get("/admin/tokens").text)

    def test_scopes(self) -> None:
        """A token carries the scopes that were asked for."""
        body = self.answers(self.create(scopes=[ENROLL, ENROLL]), 201, scopes=[ENROLL])
        self.answers(self.get("/api/tasks", token=body["token"]), 403, required_scope=SUBMIT)
        body = self.answers(self.create(scopes=[ADMIN]), 201)
        self.assertEqual(self.get("/admin/tokens", token=body["token"]).status, 200)

    def test_admin(self) -> None:
        """The id ``admin`` is for admin tokens only, ``broadcast`` for none."""
        self.answers(self.create("admin", scopes=[ADMIN]), 201, agent_id="admin")
        self.assertEqual(self.wrong_fields(self.create("admin")), [("agent_id", "invalid_value")])
        answer = self.create("broadcast", scopes=[ADMIN])
        self.assertEqual(self.wrong_fields(answer), [("agent_id", "invalid_value")])

    def test_every_wrong_field_is_told(self) -> None:
        """Whatever is wrong is told at once."""
        self.assertEqual(
            self.wrong_fields(self.create("broadcast", scopes=["nope"])),
            [("agent_id", "invalid_value"), ("scopes", "invalid_value")],
        )
        self.assertEqual(
            self.wrong_fields(self.create(None, scopes=5, expires_in_s="x")),
            [("agent_id", "required"), ("scopes", "wrong_type"), ("expires_in_s", "wrong_type")],
        )

    def test_wrong_values(self) -> None:
        """New agent ids, scopes and expiry have their limits."""
        for agent_id in ("a/b", "a b", "", "x" * 129, "\u00e4"):
            self.assertEqual([f for f, _ in self.wrong_fields(self.create(agent_id))], ["agent_id"])
        for scopes in ([], ["root"], ["agent", "x" * 17]):
            answer = self.create(scopes=scopes)
            self.assertEqual([f for f, _ in self.wrong_fields(answer)], ["scopes"])
        for seconds in (0, -1, 1e11):
            answer = self.create(expires_in_s=seconds)
            self.assertEqual([f for f, _ in self.wrong_fields(answer)], ["expires_in_s"])

    def test_expiry(self) -> None:
        """A token that expires works until then."""
        body = self.answers(self.create(expires_in_s=10), 201)
        self.assertEqual(body["expires_at"], self.hub.hub.now() + 10_000)
        self.hub.advance(9)
        self.assertTrue(self.works(body["token"]))
        self.hub.advance(2)
        self.answers(self.get("/api/tasks", token=body["token"]), 401, error="unauthorized")

    def test_list(self) -> None:
        """The list shows whose tokens there are by their prefixes, revoked ones not."""
        secret = self.answers(self.create(), 201)["token"]
        self.answers(self.create("gone"), 201)
        self.hub.request("DELETE", "/admin/tokens/gone")
        tokens = self.answers(self.get("/admin/tokens"), 200)["tokens"]
        self.assertEqual([t["agent_id"] for t in tokens], ["admin", "w"])
        self.assertTrue(secret.startswith(tokens[1]["token_prefix"]))
        self.assertLess(len(tokens[1]["token_prefix"]), 16)

    def test_revoke(self) -> None:
        """Revoking ends all tokens of an agent, and their live sockets with 4003."""
        secrets = [self.answers(self.create(), 201)["token"] for _ in range(2)]
        worker = self.hub.agent("w", token=secrets[0])
        answer = self.hub.request("DELETE", "/admin/tokens/w")
        self.answers(answer, 200, status="revoked", agent_id="w")
        self.assertEqual([self.works(s) for s in secrets], [False, False])
        self.hub.advance(1)
        self.assertEqual(worker.closed and worker.closed[0], 4003)
        again = self.hub.request("DELETE", "/admin/tokens/w")
        self.answers(again, 404, error="token_not_found", agent_id="w")

    def test_revoke_is_answered_after_the_commit(self) -> None:
        """Nothing is revoked, and nobody answered, before it is on disk."""
        secret = self.answers(self.create(), 201)["token"]
        self.commits.holding = True
        client = self.begin("DELETE", "/admin/tokens/w")
        self.hub.settle()
        self.assertEqual((client.received, self.works(secret)), (b"", True))
        self.commits.release()
        self.hub.settle()
        answer = answer_of(client)
        assert answer is not None
        self.answers(answer, 200)
        self.assertFalse(self.works(secret))

    def test_own_token(self) -> None:
        """An agent may revoke its own tokens with any of them, and nobody else's."""
        for scopes in ((AGENT,), (SUBMIT,), (ENROLL,)):
            token = self.hub.token("w", scopes)
            other = self.hub.request("DELETE", "/admin/tokens/admin", token=token)
            self.answers(other, 403, error="forbidden", required_scope=ADMIN)
            mine = self.hub.request("DELETE", "/admin/tokens/w", token=token)
            self.answers(mine, 200, agent_id="w")
            again = self.hub.request("DELETE", "/admin/tokens/w", token=token)
            self.answers(again, 401)

    def test_revoke_without_a_token(self) -> None:
        """Without a good token nothing is revoked."""
        for token in (None, "wrong"):
            self.answers(self.hub.request("DELETE", "/admin/tokens/w", token=token), 401)

    def test_client_leaves(self) -> None:
        """A token whose client leaves during the commit is made all the same."""
        self.commits.holding = True
        client = self.begin("POST", "/admin/tokens", {"agent_id": "w"})
        client.transport.loseConnection()
        self.hub.settle()
        self.commits.release()
        self.hub.settle()
        tokens = self.get("/admin/tokens").body["tokens"]
        self.assertEqual([t["agent_id"] for t in tokens], ["admin", "w"])


class RegisterTests(HttpCase):
    """``POST /api/onboard/register``."""

    def register(self, agent_id: Any = "new", token: str | None = "", **more: Any) -> Any:
        return self.post("/api/onboard/register", {"agent_id": agent_id}, token=token, **more)

    def test_enrolled(self) -> None:
        """With the scope ``enroll`` a new agent gets its token and the hub's addresses."""
        enroll = self.hub.token("door", (ENROLL,))
        body = self.answers(
            self.register(token=enroll),
            201,
            agent_id="new",
            hub_ws_url="ws://hub.example:4000/ws",
            hub_api_url="http://hub.example:4000",
        )
        self.hub.agent("new", token=body["token"])
        self.assertEqual(self.get("/api/tasks", token=body["token"]).status, 200)

    def test_addresses_are_the_callers(self) -> None:
        """The addresses name the hub as the caller did."""
        body = self.register(headers={"Host": "[::1]:8080"}).body
        self.assertEqual(body["hub_ws_url"], "ws://[::1]:8080/ws")

    def test_scopes(self) -> None:
        """Without the scope it is refused; ``enroll`` opens nothing else."""
        self.answers(self.register(token=None), 401)
        self.answers(
            self.register(token=self.hub.token("w")), 403, error="forbidden", required_scope=ENROLL
        )
        self.answers(self.register(), 201)

    def test_taken(self) -> None:
        """An id that has, or had, a token is taken."""
        self.answers(self.register(), 201)
        self.answers(self.register(), 409)
        self.hub.request("DELETE", "/admin/tokens/new")
        self.answers(self.register(), 409, agent_id="new")

    def test_twice_at_once(self) -> None:
        """Of two registrations of one id within one batch one succeeds."""
        self.commits.holding = True
        clients = [
            self.begin("POST", "/api/onboard/register", {"agent_id": "new"}) for _ in range(2)
        ]
        self.commits.release()
        self.hub.settle()
        answers = [answer_of(c) for c in clients]
        self.assertEqual(sorted(a.status for a in answers if a), [201, 409])

    def test_wrong_ids(self) -> None:
        """Reserved and malformed ids are 422, also where they are known."""
        for agent_id in ("admin", "broadcast", "a/b", 5, None):
            found = self.wrong_fields(self.register(agent_id))
            self.assertEqual([field for field, _ in found], ["agent_id"])


class OpenRegistrationTests(HttpCase):
    """With ``--open-registration`` nobody needs a token to register."""

    settings: ClassVar[dict[str, Any]] = {"open_registration": True}

    def test_open(self) -> None:
        """Anybody registers; a wrong token does no harm; taken stays taken."""
        for agent_id, token in (("a", None), ("b", "wrong"), ("c", "")):
            answer = self.post("/api/onboard/register", {"agent_id": agent_id}, token=token)
            self.answers(answer, 201, agent_id=agent_id)
        answer = self.post("/api/onboard/register", {"agent_id": "a"}, token=None)
        self.answers(answer, 409)
        self.answers(self.get("/admin/tokens", token=None), 401)
