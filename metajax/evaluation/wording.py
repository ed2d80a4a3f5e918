"""How numbers are said: names of metrics with their protocol, directions, units, verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SIGNIFICANCE = 0.05


class Metric(NamedTuple):
    """How a metric is said.

    Attributes:
        name: such as "nDCG@5".
        direction: 1 if higher is better, -1 if lower is better, 0 if neither.
        detail: what of the protocol it depends on, such as "exponential"; may be empty.
        unit: of its values; empty if they have none.
    """

    name: str
    direction: int
    detail: str = ""
    unit: str = ""

    @property
    def header(self) -> str:
        """Name, direction and detail, such as "MAE ↓ (stars)"."""
        arrow = {1: " ↑", -1: " ↓", 0: ""}[self.direction]
        return f"{self.name}{arrow}" + (f" ({self.detail})" if self.detail else "")


_ERRORS = {"mae": "MAE", "mse": "MSE", "rmse": "RMSE", "crps": "CRPS"}
_RANKINGS = {
    "precision": "precision",
    "recall": "recall",
    "hit_rate": "hit rate",
    "hit": "hit rate",
    "mrr": "MRR",
    "map": "MAP",
    "auc": "AUC",
}
_OTHERS = {
    "novelty": ("novelty", 0, "bits"),
    "popularity_lift": ("popularity lift", 0, ""),
    "coverage": ("coverage", 0, "share of items"),
    "gini": ("Gini of exposure", 0, ""),
    "coverage_50": ("50 % interval", 0, "covers"),
    "coverage_80": ("80 % interval", 0, "covers"),
    "coverage_95": ("95 % interval", 0, "covers"),
}
_SUFFIXES = {"_rounded": "rounded", "_constant": "one variance"}
_CATALOGUE = "catalogue_"


def describe_metric(metric: str, protocol: Mapping[str, Any]) -> Metric:
    """Say a metric under a protocol; one that is not known keeps its name and has no direction.

    Args:
        metric: the column's name, such as "ndcg@5"; the prefix "catalogue_" says that all items are ranked.
        protocol: read are "gain", "relevance_threshold" and "unit" ("stars" by default).
    """
    if metric.startswith(_CATALOGUE):
        inner = describe_metric(metric.removeprefix(_CATALOGUE), protocol)
        # There is no gain: an item of the catalogue is relevant or not.
        relevant = describe_metric("auc", protocol).detail
        return inner._replace(name=f"catalogue {inner.name}", detail=relevant if inner.direction else inner.detail)
    for suffix, meaning in _SUFFIXES.items():
        if metric.endswith(suffix):
            inner = describe_metric(metric.removesuffix(suffix), protocol)
            return inner._replace(name=f"{inner.name}, {meaning}")
    base, at, cutoff = metric.partition("@")
    unit = str(protocol.get("unit") or "stars")
    if base in _ERRORS:
        unit = f"{unit}²" if base == "mse" else unit
        return Metric(_ERRORS[base], -1, unit, unit)
    if base == "ndcg":
        return Metric(f"nDCG{at}{cutoff}", 1, str(protocol.get("gain") or ""))
    if base in _RANKINGS:
        threshold = protocol.get("relevance_threshold")
        return Metric(_RANKINGS[base] + at + cutoff, 1, "" if threshold is None else f"≥ {threshold:g} {unit}")
    if base == "nll":
        return Metric("negative log-likelihood", -1, "nats", "nats")
    if base in _OTHERS:
        name, direction, detail = _OTHERS[base]
        return Metric(name + at + cutoff, direction, detail)
    return Metric(metric.replace("_", " "), 0)


def regime(metric: str) -> str:
    """Say which table a metric belongs to: "query", "catalogue", "probabilities", "rounded" or "calibration"."""
    if metric.startswith(_CATALOGUE):
        return "catalogue"
    if metric.startswith("pit_"):
        return "calibration"
    if metric.endswith("_rounded"):
        return "rounded"
    return "probabilities" if metric.startswith(("nll", "crps", "coverage_")) else "query"


def headline(metrics: Sequence[str]) -> tuple[str, ...]:
    """Choose at most two metrics for figures: the first error and the first ranking metric."""
    kinds = [("mae", "rmse", "mse"), ("ndcg", "map", "mrr", "precision", "recall", "auc", _CATALOGUE)]
    return _first_of_each(metrics, kinds) or tuple(metrics[:1])


def glance(metrics: Sequence[str]) -> tuple[str, ...]:
    """Choose at most five metrics for a terminal: errors, nDCG, AUC and a catalogue ranking, in this order."""
    kinds = [
        ("mae",),
        ("rmse",),
        ("ndcg", "map", "mrr"),
        ("auc", "precision", "recall"),
        (f"{_CATALOGUE}ndcg", _CATALOGUE),
    ]
    return _first_of_each(metrics, kinds) or tuple(metrics[:5])


def _first_of_each(metrics: Sequence[str], kinds: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    chosen = [next((m for start in starts for m in metrics if m.startswith(start)), None) for starts in kinds]
    return tuple(metric for metric in chosen if metric)


def number(value: float | None) -> str:
    """Write a value with three decimals, a large one with one; a dash for None."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def interval(low: float, high: float) -> str:
    """Write an interval."""
    return f"[{number(low)}, {number(high)}]"


def probability(p: float) -> str:
    """Write a p-value: "p = 0.012", or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def shot(k: int | None) -> str:
    """Write a support size."""
    return "all" if k is None else str(k)


def outcome(difference: float, p: float, direction: int) -> str:
    """Return "better", "worse", "no difference shown", or "different" for a metric without direction."""
    if p >= SIGNIFICANCE:
        return "no difference shown"
    if not direction:
        return "different"
    return "better" if difference * direction > 0 else "worse"


def verdict(reference: str, metric: Metric, difference: float, low: float, high: float, p: float) -> str:
    """Say how a method did against a reference, plainly: "worse than bias by 0.012 stars [0.010, 0.014], p < 0.001".

    Args:
        reference: name of the method compared with.
        metric: what was compared.
        difference: method minus reference, and its interval `low`, `high`.
        low: lower end.
        high: upper end.
        p: corrected for the number of comparisons.
    """
    unit = f" {metric.unit}" if metric.unit else ""
    said = outcome(difference, p, metric.direction)
    if said in ("better", "worse"):
        if difference < 0:
            difference, low, high = -difference, -high, -low
        return f"{said} than {reference} by {number(difference)}{unit} {interval(low, high)}, {probability(p)}"
    if said == "different":
        return f"differs from {reference} by {number(difference)}{unit} {interval(low, high)}, {probability(p)}"
    return f"no difference from {reference} shown ({number(difference)}{unit} {interval(low, high)}, {probability(p)})"
