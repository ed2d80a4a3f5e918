"""Validation: bad rows are counted by reason and kept in quarantine, never dropped silently."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from metajax.errors import DataError
from metajax.files import atomic


@dataclass(frozen=True)
class Quarantine:
    """Rejected rows as text, with a column "reason"."""

    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame({"reason": pl.Series([], dtype=pl.String)}))

    def counts(self) -> dict[str, int]:
        """Return how many rows were rejected for each reason."""
        counted = self.rows.group_by("reason").len().sort("reason")
        return dict(zip(counted["reason"], counted["len"], strict=True))

    def told(self, path: Path) -> str:
        """Say how many rows were rejected, why, and in which file they are."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts().items())
        return f"{self.rows.height:,} rows were rejected ({reasons}); they are in {path}"

    def write(self, path: Path) -> None:
        """Write the rejected rows to a csv file, atomically."""
        with atomic(path) as temporary:
            self.rows.write_csv(temporary)

    def and_also(self, other: "Quarantine") -> "Quarantine":
        """Put the rejected rows of two frames together; a column that one of them lacks is null there."""
        return Quarantine(pl.concat([self.rows, other.rows], how="diagonal"))

    def refuse(self) -> None:
        """Raise `DataError` with the counts if any row was rejected."""
        if not self.rows.is_empty():
            raise DataError(
                f"{self.rows.height} rows were rejected: {self.counts()}. "
                "Mend them, or leave out `strict` to quarantine them."
            )


def require_columns(frame: pl.DataFrame, columns: Iterable[str]) -> None:
    """Raise `DataError` for the first column that is not there, with those that are and the likely one meant."""
    for column in columns:
        if column not in frame.columns:
            close = get_close_matches(column, frame.columns, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise DataError(f"There is no column {column!r}; the columns are {frame.columns}.{meant}")


def validate(
    frame: pl.DataFrame, columns: Mapping[str, str], *, scale: tuple[float, float] | None = None
) -> tuple[pl.DataFrame, Quarantine]:
    """Bring ratings into shape and set the bad rows apart.

    Args:
        frame: raw ratings.
        columns: ours -> theirs, for user, item and target, and maybe timestamp and domain.
        scale: (lowest, highest) possible target; None accepts any finite one.

    Returns:
        Rows with the columns of `Interactions.ratings`, in the order they came, and the rejected ones.

    Raises:
        DataError: if a column is missing or the frame has no rows.
    """
    require_columns(frame, columns.values())
    if frame.is_empty():
        raise DataError("The frame has no rows. A rating needs a user, an item and a target.")
    typed = pl.DataFrame({ours: _typed(ours, frame[theirs]) for ours, theirs in columns.items()})
    typed = typed.with_columns(_reason(typed.columns, scale).alias("reason"))
    typed = typed.with_columns(
        pl.when(pl.col("reason").is_null() & _superseded(typed))
        .then(pl.lit("duplicate pair"))
        .otherwise(pl.col("reason"))
        .alias("reason")
    )
    clean = typed.filter(pl.col("reason").is_null()).drop("reason").with_columns(pl.col("target").cast(pl.Float32))
    return clean, reject(frame, typed["reason"])


def reject(frame: pl.DataFrame, reason: pl.Series) -> Quarantine:
    """Set the rows apart whose `reason` is not null."""
    rejected = frame.filter(reason.is_not_null())
    text = pl.DataFrame([_as_text(column) for column in rejected.iter_columns()])
    return Quarantine(text.with_columns(reason.drop_nulls().alias("reason")))


def as_ids(ids: pl.Series) -> pl.Series:
    """Make ids comparable: integers as Int64, everything else as text; null stays null, and so is a blank text.

    Raises:
        DataError: for lists, structs and bytes.
    """
    if ids.dtype.is_nested() or ids.dtype == pl.Binary:
        raise DataError(f"Column {ids.name!r} holds {ids.dtype}, but an id is a number or a text. Name another column.")
    if ids.dtype.is_float():
        ids = ids.fill_nan(None)
    if ids.dtype.is_integer() or (ids.dtype.is_float() and (ids.drop_nulls() % 1 == 0).all()):
        whole = ids.cast(pl.Int64, strict=False)  # a frame library may have turned integers with gaps into floats
        if whole.null_count() == ids.null_count():
            return whole
    return without_blanks(ids.cast(pl.String))


def without_blanks(texts: pl.Series) -> pl.Series:
    """Return null for what is empty but for spaces, as a quoted field of a csv may be."""
    return pl.select(pl.when(texts.str.strip_chars() != "").then(texts).alias(texts.name)).to_series()


def as_times(column: pl.Series) -> pl.Series:
    """Return seconds, of dates or of text that holds them, or the numbers of a column; null where there is no time."""
    if column.dtype == pl.Date or column.dtype == pl.Datetime:
        return column.cast(pl.Datetime("us")).dt.epoch("s")
    if column.dtype == pl.String and _numbers(column).is_null().all():
        return _dates(column)
    return _numbers(column).cast(pl.Int64, strict=False)


def _as_text(column: pl.Series) -> pl.Series:
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Duration):
        return pl.Series(column.name, [None if one is None else str(one) for one in column.to_list()], pl.String)
    return column.cast(pl.String)


def _typed(name: str, column: pl.Series) -> pl.Series:
    if name in ("user", "item"):
        return as_ids(column)
    if name == "target":
        return _numbers(column)
    if name == "timestamp":
        return as_times(column)
    return _as_text(column)


def _numbers(column: pl.Series) -> pl.Series:
    """Float64; null where the column holds no number."""
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype.is_numeric() or column.dtype in (pl.String, pl.Boolean, pl.Null):
        return column.cast(pl.Float64, strict=False)
    return pl.Series(column.name, [None] * len(column), pl.Float64)


def _dates(column: pl.Series) -> pl.Series:
    """Seconds of dates written as text; null where polars recognises none."""
    try:
        return column.str.to_datetime(strict=False, time_unit="us").dt.epoch("s")
    except pl.exceptions.ComputeError:  # no format fits any row
        return pl.Series(column.name, [None] * len(column), pl.Int64)


def _reason(columns: list[str], scale: tuple[float, float] | None) -> pl.Expr:
    """First reason that applies, or null."""
    checks = {
        "no user id": pl.col("user").is_null(),
        "no item id": pl.col("item").is_null(),
        "target is not a number": pl.col("target").is_null(),
        "target is NaN": pl.col("target").is_nan(),
        "target is infinite": pl.col("target").cast(pl.Float32, strict=False).is_infinite(),  # or too large to store
    }
    if scale:
        low, high = (pl.lit(end, pl.Float32) for end in scale)  # as targets are kept: .6, read again, is above .6
        checks[f"target outside {scale[0]:g} to {scale[1]:g}"] = ~pl.col("target").cast(
            pl.Float32, strict=False
        ).is_between(low, high)
    if "timestamp" in columns:
        checks["timestamp is not a time"] = pl.col("timestamp").is_null()
    return pl.coalesce(pl.when(bad).then(pl.lit(reason)) for reason, bad in checks.items())


def _superseded(typed: pl.DataFrame) -> pl.Expr:
    """Tell which valid rows have a later one of the same pair: later by time, then by order."""
    rows = typed.with_row_index("row").filter(pl.col("reason").is_null())
    by = ["timestamp", "row"] if "timestamp" in typed.columns else ["row"]
    last = rows.sort(by).group_by("user", "item").last()["row"]
    return ~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(last.implode())
