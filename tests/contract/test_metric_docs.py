"""The table of metrics, the alert rules and their runbook agree with what a hub really shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.helpers import HubTests

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs" / "operations.rst"
RULES = ROOT / "contrib" / "prometheus" / "agentcom.rules.yml"

SEVERITIES = ("critical", "warning")
PARTS = ("_bucket", "_sum", "_count")


def section(text: str, title: str) -> str:
    """The text below a heading, up to the next of its kind."""
    found = re.search(rf"^{title}\n(.)\1+\n(.*?)(?=^[^\n]+\n\1{{3,}}\n|\Z)", text, re.M | re.S)
    if found is None:
        raise AssertionError(f"no section {title}")
    return found.group(2)


class Scrape:
    """What a hub shows.

    :ivar names: of its metrics, histograms by their bare name.
    :ivar samples: names with which a rule may ask for them.
    :ivar labels: the values of each label, by name of the metric and the label.
    """

    def __init__(self, text: str) -> None:
        self.names: set[str] = set()
        self.samples: set[str] = set()
        self.labels: dict[str, dict[str, set[str]]] = {}
        for family in text_string_to_metric_families(text):
            counter = family.type == "counter"
            self.names.add(family.name + "_total" * counter)
            for sample in family.samples:
                self.samples.add(sample.name)
                known = self.labels.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    known.setdefault(label, set()).add(value)


def asked(expression: str) -> list[tuple[str, dict[str, str]]]:
    """The metrics that an expression asks for, with the labels that they must have."""
    found = re.findall(r"\b((?:agentcom|process)_\w+|up)\b(?:\{([^}]*)\})?", expression)
    return [(name, dict(re.findall(r'(\w+)="([^"]*)"', labels))) for name, labels in found]


class DocsCase(HubTests):
    """A hub's scrape, the document and the rules."""

    def setUp(self) -> None:
        super().setUp()
        self.docs = DOCS.read_text("utf-8")
        text = self.hub.request("GET", "/metrics", token=None).text.decode()
        self.found = Scrape(text)
        self.rules: list[dict[str, Any]] = [
            rule
            for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]
            for rule in group["rules"]
        ]


class TableTests(DocsCase):
    """The table of metrics."""

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, labels and meaning of each line."""
        lines = re.findall(
            r"^   ``(\w+)`` \| ([\w, ]*)\| (.+)$", section(self.docs, "Metrics"), re.M
        )
        return [(name, labels.strip(), meaning) for name, labels, meaning in lines]

    def test_names(self) -> None:
        """Every metric of the hub stands in the table once, and every line is a metric."""
        documented = sorted(f"agentcom_{name}" for name, _, _ in self.rows())
        shown = sorted(name for name in self.found.names if name.startswith("agentcom_"))
        self.assertEqual(documented, shown)

    def test_labels(self) -> None:
        """Each line names the labels that the metric has."""
        for name, labels, _ in self.rows():
            full = f"agentcom_{name}"
            sample = full if full in self.found.labels else full + "_count"
            self.assertEqual(
                {label for label in labels.split(", ") if label},
                set(self.found.labels[sample]),
                name,
            )

    def test_words(self) -> None:
        """Where a line lists the words of its label, each is one that there is."""
        for name, label, meaning in self.rows():
            words = re.findall(r"``([a-z_]+)``", meaning.partition(": ")[2])
            known = self.found.labels.get(f"agentcom_{name}", {}).get(label, set())
            if label in ("kind", "limit", "origin", "reason", "error", "state") and words:
                self.assertLessEqual(known - {"other"}, set(words) | {"other"}, name)

    def test_histograms(self) -> None:
        """Each histogram is called one."""
        for name, _, meaning in self.rows():
            is_one = f"agentcom_{name}_bucket" in self.found.samples
            self.assertEqual(meaning.startswith("histogram: "), is_one, name)

    def test_units(self) -> None:
        """Names follow Prometheus's conventions: base units, and ``_total`` for counters."""
        for family in self.found.names:
            if not family.startswith("agentcom_"):
                continue
            self.assertNotRegex(family, r"_(ms|milliseconds|minutes|kb|mb|percent)(_total)?$")
            if f"{family}_bucket" in self.found.samples:
                self.assertRegex(family, r"_(seconds|bytes|units)$")


class RuleTests(DocsCase):
    """The alert rules."""

    def test_metrics(self) -> None:
        """Rules ask for nothing but metrics that a hub shows, with labels that they have."""
        for rule in self.rules:
            wanted = asked(rule["expr"])
            self.assertNotEqual(wanted, [], rule["alert"])
            for name, labels in wanted:
                if name == "up":
                    continue
                self.assertIn(name, self.found.samples, rule["alert"])
                for label, value in labels.items():
                    if label != "job":
                        known = self.found.labels[name].get(label, set())
                        self.assertIn(value, known, rule["alert"])

    def test_nothing_else(self) -> None:
        """What looks like a metric is found by the look at metrics."""
        for rule in self.rules:
            # Neither functions nor labels nor words of the language are among them.
            words = set(re.findall(r"\b[a-z]+_[a-z_]+\b(?!\()(?!=)", rule["expr"]))
            known = {name for name, _ in asked(rule["expr"])}
            labels = {value for _, given in asked(rule["expr"]) for value in given.values()}
            self.assertEqual(words - known - labels, set(), rule["alert"])

    def test_form(self) -> None:
        """Each has a name of its own, waits for a while, and says how bad it is and what it is."""
        names = [rule["alert"] for rule in self.rules]
        self.assertEqual(len(names), len(set(names)))
        for rule in self.rules:
            name = rule["alert"]
            self.assertEqual(set(rule), {"alert", "expr", "for", "labels", "annotations"}, name)
            self.assertRegex(rule["for"], r"\A[1-9]\d*[smh]\Z", name)
            self.assertIn(rule["labels"]["severity"], SEVERITIES, name)
            self.assertEqual(set(rule["annotations"]), {"summary", "runbook"}, name)
            self.assertIn("$labels.instance", rule["annotations"]["summary"], name)

    def test_runbook(self) -> None:
        """Each leads to a section of its own, which says what it means, what to look at and what
        to do; and there is no section of an alert that does not exist."""
        titles = re.findall(r"^(AgentCom\w+)\n\^+$", self.docs, re.M)
        self.assertEqual(titles, [rule["alert"] for rule in self.rules])
        for rule in self.rules:
            name = rule["alert"]
            target = f"docs/operations.rst#{name.lower()}"
            self.assertEqual(rule["annotations"]["runbook"], target)
            text = section(self.docs, name)
            means, _, rest = text.partition("\nLook at:\n")
            look, _, do = rest.partition("\nDo: ")
            self.assertGreater(len(means.strip()), 20, name)
            self.assertTrue(look.strip().startswith("* "), name)
            self.assertGreater(len(do.strip()), 20, name)

    def test_metrics_of_the_runbook(self) -> None:
        """Metrics that the runbook names exist."""
        alerts = self.docs[self.docs.index("\nAlerts\n~~~~") :]
        named = set(re.findall(r"\b(?:agentcom_\w+|process_\w+)", alerts))
        bare = {name.removesuffix(part) for name in self.found.samples for part in PARTS}
        self.assertEqual(named - self.found.samples - bare, set())
