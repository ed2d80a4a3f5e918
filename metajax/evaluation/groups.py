"""Groups of users, and the gap between a group's error and that of all others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from metajax.data import Interactions
from metajax.evaluation.cells import LEVEL
from metajax.evaluation.statistics import bootstrap_means

FEWEST_USERS = 20
MOST_GROUPS = 12


@dataclass(frozen=True)
class GroupGap:
    """How much worse or better a method serves a group of users than all others, at full support.

    Attributes:
        scenario: such as "user_cold".
        method: name of the learner or baseline.
        kind: "learner" or "baseline".
        metric: "mae" where there is one.
        feature: of users, such as "gender".
        group: value of the feature.
        value: mean over the group's users.
        gap: that, minus the mean over all other users.
        low: lower end of the gap's 95 % bootstrap interval over users.
        high: upper end.
        users: in the group, for whom the metric is defined.
    """

    scenario: str
    method: str
    kind: str
    metric: str
    feature: str
    group: str
    value: float
    gap: float
    low: float
    high: float
    users: int


def user_groups(interactions: Interactions) -> pl.DataFrame:
    """Return the column user and, as text, every category feature of users that has 2 to 12 values."""
    names = [one.name for one in interactions.features if one.of == "user" and one.kind == "category"]
    users = interactions.users.select("user", *(pl.col(name).cast(pl.String) for name in names))
    few = [name for name in names if 2 <= users[name].drop_nulls().n_unique() <= MOST_GROUPS]
    return users.select("user", *few)


def group_gaps(
    scenario: str, pooled: pl.DataFrame, metric: str, kinds: dict[str, str], groups: pl.DataFrame, *, seed: int
) -> list[GroupGap]:
    """Compare every group of 20 users or more with all other users, for every method.

    Args:
        scenario: its name.
        pooled: rows of the scenario at full support, one a method and user.
        metric: column that is compared.
        kinds: of every method.
        groups: the column user and one column a feature.
        seed: of the bootstrap.
    """
    found = []
    features = [name for name in groups.columns if name != "user"]
    for (method,), rows in pooled.partition_by("method", as_dict=True, maintain_order=True).items():
        values = rows.drop_nulls(metric).select("user", value=metric)
        for feature in features:
            members = groups.select("user", group=feature)
            rows = values.join(members, on="user", how="left", maintain_order="left")
            found += _of_feature(scenario, str(method), kinds[str(method)], metric, feature, rows, seed)
    return found


def _of_feature(
    scenario: str, method: str, kind: str, metric: str, feature: str, rows: pl.DataFrame, seed: int
) -> list[GroupGap]:
    sizes = rows["group"].drop_nulls().value_counts().filter(pl.col("count") >= FEWEST_USERS)
    names = sorted(sizes["group"].to_list())
    if len(names) < 2:
        return []
    inside, outside = _sides(rows["value"].to_numpy(), rows["group"].to_numpy(), names)
    gaps = bootstrap_means(inside, seed=seed) - bootstrap_means(outside, seed=seed)
    low, high = np.nanpercentile(gaps, LEVEL, axis=0)
    value, other = np.nanmean(inside, axis=0), np.nanmean(outside, axis=0)
    users = np.isfinite(inside).sum(axis=0)
    return [
        GroupGap(
            scenario=scenario,
            method=method,
            kind=kind,
            metric=metric,
            feature=feature,
            group=name,
            value=float(value[i]),
            gap=float(value[i] - other[i]),
            low=float(low[i]),
            high=float(high[i]),
            users=int(users[i]),
        )
        for i, name in enumerate(names)
    ]


def _sides(values: np.ndarray, groups: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return `[users, groups]` values of those inside each group, and of all others; NaN elsewhere."""
    member = groups[:, None] == np.array(names, groups.dtype)[None, :]
    return np.where(member, values[:, None], np.nan), np.where(member, np.nan, values[:, None])
