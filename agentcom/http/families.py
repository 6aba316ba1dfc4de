"""Metric families of ``/metrics``, each made anew at each scrape.

Labels have no values but fixed ones, each there from the start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from agentcom.core.histogram import Histogram

OTHER = "other"
"""The label of whatever is in no list."""


class Prepared(Collector):
    """A collector for which something has to be done first that may take several turns."""

    async def prepare(self) -> None:
        """Have what follows be short."""
        raise NotImplementedError


def gauge(name: str, help: str, value: float) -> Metric:
    """A number as it is now."""
    return GaugeMetricFamily(f"agentcom_{name}", help, value)


def gauges(name: str, help: str, label: str, values: Mapping[Any, float]) -> Metric:
    """Numbers as they are now, by a label."""
    family = GaugeMetricFamily(f"agentcom_{name}", help, labels=[label])
    for word, value in values.items():
        family.add_metric([str(word)], value)
    return family


def gauges_by(
    name: str, help: str, labels: Collection[str], rows: Iterable[tuple[Sequence[str], float]]
) -> Metric:
    """Numbers as they are now, by several labels."""
    family = GaugeMetricFamily(f"agentcom_{name}", help, labels=list(labels))
    for words, value in rows:
        family.add_metric(words, value)
    return family


def about(name: str, help: str, words: Mapping[str, str]) -> Metric:
    """Words that stay the same while the hub runs, as labels of a 1."""
    family = GaugeMetricFamily(f"agentcom_{name}", help, labels=list(words))
    family.add_metric(list(words.values()), 1)
    return family


def count(name: str, help: str, value: float) -> Metric:
    """A number that only grows; ``_total`` is added to its name."""
    return CounterMetricFamily(f"agentcom_{name}", help, value)


def counts(
    name: str, help: str, label: str, counted: Counter[Any], known: Collection[object]
) -> Metric:
    """Counters by a label that has no values but the known ones, and ``other``."""
    family = CounterMetricFamily(f"agentcom_{name}", help, labels=[label])
    for word in known:
        family.add_metric([str(word)], counted[word])
    rest = sum(value for word, value in counted.items() if word not in known)
    family.add_metric([OTHER], rest)
    return family


def counts_by(
    name: str, help: str, labels: Collection[str], rows: Iterable[tuple[list[str], float]]
) -> Metric:
    """Counters by several labels."""
    family = CounterMetricFamily(f"agentcom_{name}", help, labels=list(labels))
    for words, value in rows:
        family.add_metric(words, value)
    return family


def histogram(name: str, help: str, counted: Histogram) -> Metric:
    """How often values were up to each bound."""
    family = HistogramMetricFamily(f"agentcom_{name}", help, labels=[])
    family.add_metric([], *_classes(counted))
    return family


def histograms(
    name: str, help: str, label: str, counted: Iterable[tuple[str, Histogram]]
) -> Metric:
    """The same by a label."""
    family = HistogramMetricFamily(f"agentcom_{name}", help, labels=[label])
    for word, one in counted:
        family.add_metric([word], *_classes(one))
    return family


def _classes(counted: Histogram) -> tuple[list[tuple[str, float]], float]:
    bounds = [*map(floatToGoString, counted.bounds), "+Inf"]
    return list(zip(bounds, counted.cumulative(), strict=True)), counted.sum
