"""Compare the learners of two or more runs, paired over the users that all of them have."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich.table import Table
from rich.text import Text

from metajax.errors import ConfigError
from metajax.evaluation.cells import Cells, Comparison, differences, with_direction
from metajax.evaluation.results import PerUser, check_results, metric_columns, pool_seeds
from metajax.evaluation.wording import describe_metric, interval, outcome, probability, shot


def compare(runs: Sequence[PerUser], *, seed: int = 0) -> tuple[Comparison, ...]:
    """Compare every learner of the runs with the first learner of the first run.

    Args:
        runs: per-user values; learners are told apart as "run: learner", and a name that two runs share is numbered.
        seed: of the bootstrap and of the permutation tests.

    Returns:
        For every scenario, support size and metric that both have: the difference (method minus reference) over the
        users that all runs have, its interval, p, and p after Holm's correction.

    Raises:
        ConfigError: if there are fewer than two learners, or the runs differ in protocol or data or share no user.
    """
    for other in runs[1:]:
        refuse_to_mix(runs[0], other)
    frames = [_learners(name, run.frame) for name, run in zip(run_names(runs), runs, strict=True)]
    if len({frame.schema["user"] for frame in frames}) > 1:
        raise ConfigError("The runs name users by different types. Evaluate them on the same data.")
    pooled = pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame({"method": []})
    methods = list(pooled["method"].unique(maintain_order=True))
    if len(methods) < 2:
        raise ConfigError(f"A comparison takes two learners or more, got {methods}. Name the runs of two learners.")
    found: list[Comparison] = []
    for scenario in pooled["scenario"].unique(maintain_order=True):
        shared = _of_users_in_common(pooled.filter(pl.col("scenario") == scenario))
        cells = with_direction(Cells.of(shared, metric_columns(shared)), runs[0].protocol)
        found += differences(scenario, cells, [(method, methods[0]) for method in methods[1:]], seed=seed)
    if not found:
        raise ConfigError("The runs have no scenario with users in common. Evaluate them on the same split.")
    return tuple(found)


def render_comparison(comparisons: Sequence[Comparison], protocol: Mapping[str, Any]) -> list[Table]:
    """Lay out comparisons for a terminal, one table per scenario and reference, full support first."""
    tables: dict[tuple[str, str], Table] = {}
    for one in sorted(comparisons, key=lambda one: (one.k is not None, one.k or 0)):
        key = (one.scenario, one.reference)
        if key not in tables:
            title = f"{one.scenario}: difference from {one.reference} ({one.users} users in common)"
            tables[key] = Table(title=Text(title), caption="95 % interval over users; p after Holm's correction")
            for name in ("method", "metric", "k", "difference", "interval", "p", ""):
                tables[key].add_column(name, justify="left" if name in ("method", "metric", "") else "right")
        metric = describe_metric(one.metric, protocol)
        said = outcome(one.difference, one.p_holm, metric.direction)
        tables[key].add_row(
            Text(one.method),
            Text(metric.header),
            shot(one.k),
            f"{one.difference:+.3f}",
            Text(interval(one.low, one.high)),
            probability(one.p_holm),
            Text(said, style={"better": "green", "worse": "red"}.get(said, "")),
        )
    return list(tables.values())


def run_names(runs: Sequence[PerUser]) -> list[str]:
    """Name the runs; names that two share are numbered."""
    names = [run.name for run in runs]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def refuse_to_mix(first: PerUser, other: PerUser) -> None:
    """Raise `ConfigError` unless both runs are of the same data and protocol."""
    if first.data != other.data:
        raise ConfigError(f"{first.name} is on {first.data} and {other.name} on {other.data}: they are not comparable.")
    for key in sorted(first.protocol.keys() | other.protocol.keys()):
        values = [run.protocol.get(key) for run in (first, other)]
        if values[0] != values[1]:
            raise ConfigError(
                f"{first.name} and {other.name} differ in their protocol: {key} is {values[0]!r} and {values[1]!r}. "
                f"Evaluate both under one protocol."
            )


def _learners(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    rows = check_results(frame).filter(pl.col("kind") == "learner")
    return pool_seeds(rows).with_columns(method=pl.lit(f"{name}: ") + pl.col("method"))


def _of_users_in_common(rows: pl.DataFrame) -> pl.DataFrame:
    methods = rows["method"].n_unique()
    users = rows.group_by("user").agg(pl.col("method").n_unique()).filter(pl.col("method") == methods)
    return rows.join(users.select("user"), on="user", how="semi", maintain_order="left")
