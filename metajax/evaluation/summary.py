"""From per-user values to estimates with intervals, paired tests and error breakdowns. The user is the unit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from metajax.errors import ConfigError
from metajax.evaluation.cells import Cells, Comparison, against, interval_of, rooted, with_direction
from metajax.evaluation.groups import GroupGap, group_gaps
from metajax.evaluation.results import check_results, metric_columns, pool_seeds

NUM_BINS = 5


@dataclass(frozen=True)
class Estimate:
    """One number of a table.

    Attributes:
        scenario: such as "user_cold".
        method: name of the learner or baseline.
        kind: "learner" or "baseline".
        metric: such as "mae", "rmse", "ndcg@5".
        k: support size; None: all of the support.
        value: mean over users (RMSE: square root of the mean over users of the squared error).
        low: lower end of the 95 % bootstrap interval over users.
        high: upper end.
        users: for whom the metric is defined.
        seeds: training seeds that were averaged; empty if the method draws nothing.
        seed_deviation: standard deviation of the value between training seeds; None with fewer than two.
    """

    scenario: str
    method: str
    kind: str
    metric: str
    k: int | None
    value: float
    low: float
    high: float
    users: int
    seeds: tuple[int, ...]
    seed_deviation: float | None


@dataclass(frozen=True)
class ErrorBin:
    """The error of users that are alike in history or popularity, at full support.

    Attributes:
        scenario: such as "user_cold".
        method: name of the learner or baseline.
        kind: "learner" or "baseline".
        metric: "mae" where there is one.
        by: "history" (support rows available) or "popularity" (mean log popularity of the query items).
        first: smallest value of `by` in the bin.
        last: largest.
        value: mean over the bin's users.
        low: lower end of the 95 % bootstrap interval.
        high: upper end.
        users: in the bin, for whom the metric is defined.
    """

    scenario: str
    method: str
    kind: str
    metric: str
    by: str
    first: float
    last: float
    value: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class Summary:
    """All that a report says about an evaluation.

    Attributes:
        protocol: name, sentence, draws, regime, relevance_threshold, gain and whatever else was recorded.
        reference_baseline: of each scenario, the baseline that learners are tested against.
        estimates: in the order scenario, method, support size, metric.
        comparisons: of each learner with the reference baseline, Holm-corrected over each scenario and support size.
        breakdown: errors by history length and by popularity.
        groups: gaps between groups of users.
        rank_reference: as `reference_baseline`, of the metrics of the whole catalogue; empty if it is the same.
    """

    protocol: Mapping[str, Any]
    reference_baseline: Mapping[str, str]
    estimates: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]
    breakdown: tuple[ErrorBin, ...]
    groups: tuple[GroupGap, ...] = ()
    rank_reference: Mapping[str, str] = field(default_factory=dict)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(dict.fromkeys(one.scenario for one in self.estimates))

    @property
    def seeds(self) -> tuple[int, ...]:
        """All training seeds, sorted."""
        return tuple(sorted({seed for one in self.estimates for seed in one.seeds}))

    def metrics(self, scenario: str) -> tuple[str, ...]:
        """Names of the metrics of a scenario, in order."""
        return tuple(dict.fromkeys(one.metric for one in self.estimates if one.scenario == scenario))

    def telling(self, scenario: str) -> tuple[str, ...]:
        """Return `metrics` without those in which all methods are alike, as the nDCG of clicks is 1 in any order.

        All of them, if none tells methods apart.
        """
        values: dict[str, set[float]] = {metric: set() for metric in self.metrics(scenario)}
        for one in self.estimates:
            if one.scenario == scenario:
                values[one.metric].add(one.value)
        return tuple(metric for metric, found in values.items() if len(found) > 1) or tuple(values)

    def shots(self, scenario: str) -> tuple[int | None, ...]:
        """Support sizes of a scenario, ascending; None (all) at the end."""
        found = {one.k for one in self.estimates if one.scenario == scenario}
        return tuple(sorted(found, key=lambda k: (k is None, k or 0)))


def summarise(
    frame: pl.DataFrame,
    *,
    protocol: Mapping[str, Any],
    reference_baseline: str | Mapping[str, str],
    rank_reference: Mapping[str, str] | None = None,
    groups: pl.DataFrame | None = None,
    seed: int = 0,
) -> Summary:
    """Summarise a results frame; seeds are averaged first, so that the user is the unit.

    Args:
        frame: the results frame (see `metajax.evaluation.results`).
        protocol: one for the whole frame; kept in the summary.
        reference_baseline: which baseline learners are tested against, one name or one for each scenario. It was
            chosen on validation users: nothing here looks for the best one on test users.
        rank_reference: of each scenario, another one for the metrics of the whole catalogue; the same by default.
        groups: the column user and a column for every feature by which users are grouped; none by default.
        seed: of the bootstrap and of the permutation tests.

    Raises:
        DataError: if the frame is not a results frame.
        ConfigError: if a scenario has no such baseline.
    """
    frame = check_results(frame)
    metrics = metric_columns(frame)
    estimates: list[Estimate] = []
    comparisons: list[Comparison] = []
    breakdown: list[ErrorBin] = []
    gaps: list[GroupGap] = []
    references: dict[str, str] = {}
    for scenario in frame["scenario"].unique(maintain_order=True):
        rows = frame.filter(pl.col("scenario") == scenario)
        kinds = dict(rows.select("method", "kind").unique(maintain_order=True).iter_rows())
        references[scenario] = _reference(scenario, reference_baseline, kinds)
        pooled = pool_seeds(rows)
        cells = Cells.of(pooled, metrics)
        estimates += _estimates(scenario, cells, rows, kinds, seed)
        learners = [name for name, kind in kinds.items() if kind == "learner"]
        ranked = _reference(scenario, rank_reference or references, kinds)
        tested = with_direction(cells, protocol)
        comparisons += against(scenario, tested, learners, references[scenario], ranked, seed=seed)
        breakdown += _breakdown(scenario, pooled, metrics, kinds, seed)
        if groups is not None:
            full = pooled.filter(pl.col("k").is_null())
            gaps += group_gaps(scenario, full, _error_of(metrics), kinds, groups, seed=seed)
    return Summary(
        dict(protocol),
        references,
        tuple(estimates),
        tuple(comparisons),
        tuple(breakdown),
        tuple(gaps),
        dict(rank_reference or {}),
    )


def _error_of(metrics: tuple[str, ...]) -> str:
    return "mae" if "mae" in metrics else metrics[0]


def _reference(scenario: str, wanted: str | Mapping[str, str], kinds: Mapping[str, str]) -> str:
    name = wanted if isinstance(wanted, str) else wanted.get(scenario)
    if kinds.get(name or "") != "baseline":
        there = sorted(method for method, kind in kinds.items() if kind == "baseline")
        raise ConfigError(f"{name!r} is not a baseline of scenario {scenario!r}. Choose reference_baseline of {there}.")
    return str(name)


def _estimates(scenario: str, cells: Cells, rows: pl.DataFrame, kinds: Mapping[str, str], seed: int) -> list[Estimate]:
    intervals = interval_of(cells, seed=seed)
    seeds = {
        method: tuple(sorted(found))
        for method, found in rows.group_by("method").agg(pl.col("seed").drop_nulls().unique()).iter_rows()
    }
    deviations = _seed_deviations(rows, cells)
    return [
        Estimate(scenario, method, kinds[method], metric, k, *one, seeds[method], deviations.get((method, k, metric)))
        for (method, k, metric), one in zip(cells.columns, intervals, strict=True)
        if one.users
    ]


def _seed_deviations(rows: pl.DataFrame, cells: Cells) -> dict[tuple[str, int | None, str], float]:
    """Return the standard deviation between seeds of every column of which there are at least two."""
    metrics = metric_columns(rows)
    means = rows.filter(pl.col("seed").is_not_null()).group_by("method", "k", "seed").agg(pl.col(*metrics).mean())
    means = means.with_columns(pl.col(name).sqrt().alias(rooted(name)) for name in metrics if rooted(name) != name)
    names = [rooted(name) for name in metrics]
    spread = means.group_by("method", "k").agg(pl.col(*names).std())
    found = {(row["method"], row["k"], name): row[name] for row in spread.iter_rows(named=True) for name in names}
    return {column: found[column] for column in cells.columns if found.get(column) is not None}


def _breakdown(
    scenario: str, pooled: pl.DataFrame, metrics: tuple[str, ...], kinds: Mapping[str, str], seed: int
) -> list[ErrorBin]:
    metric = _error_of(metrics)
    rows = pooled.filter(pl.col("k").is_null())
    found = []
    for by in ("history", "popularity"):
        described = rows.with_columns(pl.col(by).cast(pl.Float64).fill_nan(None)).drop_nulls(by)
        for first, last, users in _bins(described, by):
            cells = Cells.of(users, (metric,))
            intervals = interval_of(cells, seed=seed)
            found += [
                ErrorBin(scenario, method, kinds[method], shown, by, first, last, *one)
                for (method, _, shown), one in zip(cells.columns, intervals, strict=True)
                if one.users
            ]
    return found


def _bins(rows: pl.DataFrame, by: str) -> list[tuple[float, float, pl.DataFrame]]:
    """Cut the users into at most `NUM_BINS` bins of about as many users; say the ends that occur in each."""
    if rows.is_empty():
        return []
    users = rows.group_by("user").agg(pl.col(by).mean())
    values = users[by].to_numpy()
    inner = np.unique(np.quantile(values, np.linspace(0, 1, NUM_BINS + 1)[1:-1], method="higher"))
    users = users.with_columns(bin=pl.Series(np.searchsorted(inner, values, side="right")))
    bins = []
    for (_,), part in sorted(users.partition_by("bin", as_dict=True).items()):
        inside = rows.join(part.select("user"), on="user", how="semi", maintain_order="left")
        bins.append((float(part[by].min()), float(part[by].max()), inside))  # type: ignore[arg-type]
    return bins
