"""Every refusal becomes a sentence that helps."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agentcom.client.errors import HubError


class HubErrorTests(SynchronousTestCase):
    def test_known(self) -> None:
        """A known code gives its own sentence with the fields of the answer."""
        error = HubError(403, "forbidden", {"required_scope": "admin"})
        self.assertEqual(str(error), "this token may not do that: it lacks the scope 'admin'")
        self.assertFalse(error.passing)

    def test_missing_field(self) -> None:
        """A field that the hub left out spoils no sentence."""
        self.assertIn("a task that is unknown", str(HubError(409, "invalid_state", {})))

    def test_validation(self) -> None:
        """Every wrong field is named."""
        errors = [
            {"field": "agent_id", "error": "required", "detail": "this field is required"},
            {"field": "", "error": "wrong_type"},
        ]
        told = str(HubError(422, "validation_failed", {"errors": errors}))
        self.assertIn("agent_id: this field is required; body: wrong_type", told)

    def test_lengths(self) -> None:
        """A length is told in words, not in the validator's own."""
        for detail, told in (
            ("Expected `str` of length >= 1", "k: it may not be empty"),
            ("Expected `str` of length >= 3", "k: it needs 3 characters"),
            ("Expected `array` of length <= 8", "k: it may have at most 8 entries"),
        ):
            errors = [{"field": "k", "error": "invalid_value", "detail": detail}]
            self.assertIn(told, str(HubError(422, "validation_failed", {"errors": errors})))

    def test_validation_without_errors(self) -> None:
        """Even a poor answer of this kind gives a sentence."""
        for errors in (None, [], ["odd"]):
            told = str(HubError(422, "validation_failed", {"errors": errors}))
            self.assertIn("a field is wrong", told)

    def test_unknown_code(self) -> None:
        """A code of a newer hub is shown with its detail."""
        self.assertEqual(
            str(HubError(418, "teapot", {"detail": "short and stout"})),
            "the hub refused it (418): teapot: short and stout",
        )
        self.assertEqual(str(HubError(418, "teapot", {})), "the hub refused it (418): teapot")

    def test_passing(self) -> None:
        """What the hub cannot do now it may do later."""
        self.assertTrue(HubError(503, "store_unavailable", {}).passing)
