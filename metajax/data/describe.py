"""A look at interactions: counts, histograms, sparsity, time range, features and what was rejected."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
from rich.console import Group
from rich.table import Table

from metajax.data.interactions import Interactions

LENGTH_EDGES = (1, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Description:
    """What `metajax data describe` prints.

    Attributes:
        name: of the data set.
        ratings: how many.
        users: how many rated something.
        items: how many were rated.
        density: ratings over users times items.
        targets: target -> how many.
        lengths: (fewest, most) rows -> how many users have that many.
        time_range: dates of the first and last rating, or None; where the calendar ends before, the numbers.
        features: (side, name, kind, how many distinct values; of numbers and vectors, how many are known).
        rejected: reason -> how many rows.
    """

    name: str
    ratings: int
    users: int
    items: int
    density: float
    targets: dict[float, int]
    lengths: dict[tuple[int, int], int]
    time_range: tuple[str, str] | None
    features: tuple[tuple[str, str, str, int], ...]
    rejected: dict[str, int]

    def render(self) -> Group:
        """Lay it out for a terminal."""
        counts = _table(f"{self.name}", "", "")
        for name in ("ratings", "users", "items"):
            counts.add_row(name, f"{getattr(self, name):,}")
        counts.add_row("density", f"{self.density:.2%}")
        if self.time_range:
            counts.add_row("time", " to ".join(self.time_range))
        targets = _histogram("target", {f"{value:g}": count for value, count in self.targets.items()})
        lengths = _histogram(
            "ratings of a user", {f"{low:,} to {high:,}": count for (low, high), count in self.lengths.items()}
        )
        features = _table("features", "of", "name", "kind", "values")
        for side, name, kind, values in self.features or [("none", "", "", 0)]:
            features.add_row(side, name, kind, f"{values:,}")
        rejected = _table("rejected rows", "reason", "rows")
        for reason, count in self.rejected.items() or [("none", 0)]:
            rejected.add_row(reason, f"{count:,}")
        return Group(counts, targets, lengths, features, rejected)


def describe(interactions: Interactions) -> Description:
    """Count what there is."""
    ratings = interactions.ratings
    users, items = ratings["user"].n_unique(), ratings["item"].n_unique()
    return Description(
        name=interactions.name,
        ratings=ratings.height,
        users=users,
        items=items,
        density=ratings.height / (users * items),
        targets=_targets(ratings["target"]),
        lengths=_lengths(ratings.group_by("user").len()["len"]),
        time_range=_time_range(ratings),
        features=tuple(
            (feature.of, feature.name, feature.kind, _values(interactions, feature.of, feature.name, feature.kind))
            for feature in interactions.features
        ),
        rejected=interactions.quarantine.counts(),
    )


def _targets(target: pl.Series) -> dict[float, int]:
    """Count each target, or, where there are many, each of ten equal bins by its lower edge."""
    if target.n_unique() > 20:
        low, high = float(target.min()), float(target.max())  # pyright: ignore[reportArgumentType]
        width = (high - low) / 10
        target = ((target - low) / width).floor().clip(0, 9) * width + low
    counts = target.value_counts().sort(target.name)
    return dict(zip(counts[target.name].to_list(), counts["count"].to_list(), strict=True))


def _lengths(lengths: pl.Series) -> dict[tuple[int, int], int]:
    most = int(lengths.max())  # pyright: ignore[reportArgumentType]
    edges = [edge for edge in LENGTH_EDGES if edge <= most] + [most + 1]
    return {(low, high - 1): int(lengths.is_between(low, high - 1).sum()) for low, high in pairwise(edges)}


def _time_range(ratings: pl.DataFrame) -> tuple[str, str] | None:
    if "timestamp" not in ratings.columns:
        return None
    times = ratings["timestamp"].min(), ratings["timestamp"].max()
    return _date(int(times[0])), _date(int(times[1]))  # pyright: ignore[reportArgumentType]


def _date(seconds: int) -> str:
    """Return the ISO date, or, for what no date can be (milliseconds, mostly), the number itself."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _values(interactions: Interactions, side: str, name: str, kind: str) -> int:
    column = (interactions.users if side == "user" else interactions.items)[name].drop_nulls()
    if kind == "bag":
        column = column.explode().drop_nulls()
    return column.n_unique() if kind in ("bag", "category") else len(column)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index == len(columns) - 1 and index else "left")
    return table


def _histogram(title: str, counts: dict[str, int]) -> Table:
    table = _table("", title, "", "count")
    largest = max(counts.values(), default=1)
    for name, count in counts.items():
        table.add_row(name, "█" * round(30 * count / largest), f"{count:,}")
    return table
