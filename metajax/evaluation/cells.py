"""The numbers behind a summary: a matrix of users by (method, support size, metric), intervals and paired tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metajax.evaluation.statistics import bootstrap_means, holm, sign_flip_test
from metajax.evaluation.wording import describe_metric

Column = tuple[str, int | None, str]
LEVEL = (2.5, 97.5)


class Interval(NamedTuple):
    """A value, the ends of its 95 % bootstrap interval, and the number of users behind it."""

    value: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class Comparison:
    """A method against a reference on the users of both, paired.

    Attributes:
        scenario: such as "user_cold".
        method: name of a learner, or "run: learner" where runs are compared.
        reference: name of what it is compared with.
        metric: such as "mae".
        k: support size; None: all of the support.
        difference: method minus reference.
        low: lower end of its 95 % bootstrap interval over users.
        high: upper end.
        p: two-sided, by the sign-flip permutation test on per-user values (RMSE: on squared errors).
        p_holm: Holm-corrected over all comparisons of the same scenario and support size.
        users: for whom both are defined.
    """

    scenario: str
    method: str
    reference: str
    metric: str
    k: int | None
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    users: int


@dataclass(frozen=True)
class Cells:
    """Per-user values of one scenario.

    Attributes:
        columns: (method, support size, metric); "rmse..." holds squared errors, and its mean is to be square-rooted.
        values: float64 `[users, columns]`, NaN where undefined.
    """

    columns: tuple[Column, ...]
    values: np.ndarray

    @classmethod
    def of(cls, pooled: pl.DataFrame, metrics: Sequence[str]) -> "Cells":
        """Lay out the rows of one scenario, one row per method, support size and user."""
        users = pooled.select("user").unique(maintain_order=True).sort("user")
        columns: list[Column] = []
        blocks = []
        for (method, k), part in pooled.partition_by("method", "k", as_dict=True, maintain_order=True).items():
            columns += [(method, k, rooted(metric)) for metric in metrics]
            aligned = users.join(part.select("user", *metrics), on="user", how="left", maintain_order="left")
            blocks.append(aligned.select(pl.col(*metrics).cast(pl.Float64).fill_null(float("nan"))).to_numpy())
        values = np.concatenate(blocks, axis=1) if blocks else np.zeros((0, 0))
        return cls(tuple(columns), values)

    @property
    def is_root(self) -> np.ndarray:
        """Which columns are reported as the square root of their mean: bool `[columns]`."""
        return np.array([metric.startswith("rmse") for _, _, metric in self.columns], bool)


def rooted(metric: str) -> str:
    """Name the metric that is reported: of squared errors ("mse", "mse_rounded") the root of their mean."""
    return "r" + metric if metric.startswith("mse") else metric


def with_direction(cells: Cells, protocol: Mapping[str, Any]) -> Cells:
    """Leave out what is neither better nor worse, such as coverage: to test it would weaken the other tests."""
    kept = [i for i, (_, _, metric) in enumerate(cells.columns) if describe_metric(metric, protocol).direction]
    return Cells(tuple(cells.columns[i] for i in kept), cells.values[:, kept])


def interval_of(cells: Cells, *, seed: int) -> list[Interval]:
    """Return value and interval of every column; users for whom it is undefined are left out."""
    users = np.isfinite(cells.values).sum(axis=0)
    value = _root(_means(cells.values), cells.is_root)
    samples = _root(bootstrap_means(cells.values, seed=seed), cells.is_root)
    low, high = _ends(samples)
    columns = zip(value, low, high, users, strict=True)
    return [Interval(float(mean), float(least), float(most), int(count)) for mean, least, most, count in columns]


def against(
    scenario: str, cells: Cells, methods: Sequence[str], reference: str, rank_reference: str, *, seed: int
) -> list[Comparison]:
    """Compare methods with a reference, and in the metrics of the whole catalogue with another, corrected together."""
    of_catalogue = [metric.startswith("catalogue_") for _, _, metric in cells.columns]
    found: list[Comparison] = []
    for name, wanted in {reference: False, rank_reference: True}.items() if reference != rank_reference else ():
        kept = [i for i, ranked in enumerate(of_catalogue) if ranked == wanted]
        part = Cells(tuple(cells.columns[i] for i in kept), cells.values[:, kept])
        found += differences(scenario, part, [(method, name) for method in methods], seed=seed)
    if reference == rank_reference:
        return differences(scenario, cells, [(method, reference) for method in methods], seed=seed)
    return _corrected(found)


def differences(scenario: str, cells: Cells, pairs: Sequence[tuple[str, str]], *, seed: int) -> list[Comparison]:
    """Compare methods in pairs (method, reference), for every support size and metric that both have."""
    place = {column: position for position, column in enumerate(cells.columns)}
    both = [
        (place[column], place[reference, *column[1:]])
        for method, reference in pairs
        for column in cells.columns
        if column[0] == method and (reference, *column[1:]) in place
    ]
    if not both:
        return []
    first, second = (cells.values[:, list(side)] for side in zip(*both, strict=True))
    shared = np.isfinite(first) & np.isfinite(second)
    first, second = np.where(shared, first, np.nan), np.where(shared, second, np.nan)
    root = cells.is_root[[position for position, _ in both]]
    value = _root(_means(first), root) - _root(_means(second), root)
    samples = [_root(bootstrap_means(side, seed=seed), root) for side in (first, second)]
    low, high = _ends(samples[0] - samples[1])
    p = sign_flip_test(first - second, seed=seed)
    users = shared.sum(axis=0)
    found = [
        Comparison(
            scenario=scenario,
            method=cells.columns[one][0],
            reference=cells.columns[other][0],
            metric=cells.columns[one][2],
            k=cells.columns[one][1],
            difference=float(value[i]),
            low=float(low[i]),
            high=float(high[i]),
            p=float(p[i]),
            p_holm=float(p[i]),
            users=int(users[i]),
        )
        for i, (one, other) in enumerate(both)
        if users[i]
    ]
    return _corrected(found)


def _corrected(comparisons: list[Comparison]) -> list[Comparison]:
    """Correct p over the comparisons of each support size: they make one table."""
    families: dict[int | None, list[int]] = {}
    for position, one in enumerate(comparisons):
        families.setdefault(one.k, []).append(position)
    corrected = list(comparisons)
    for family in families.values():
        adjusted = holm(np.array([comparisons[position].p for position in family]))
        for position, p in zip(family, adjusted, strict=True):
            corrected[position] = replace(comparisons[position], p_holm=float(p))
    return corrected


def _means(values: np.ndarray) -> np.ndarray:
    defined = np.isfinite(values)
    return np.where(defined, values, 0.0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)


def _root(means: np.ndarray, is_root: np.ndarray) -> np.ndarray:
    return np.where(is_root, np.sqrt(np.abs(means)), means)


def _ends(samples: np.ndarray) -> np.ndarray:
    """Percentiles of every column; a resample that drew no user with a value is left out."""
    undefined = np.isnan(samples).all(axis=0)
    return np.nanpercentile(np.where(undefined, 0.0, samples), LEVEL, axis=0)
