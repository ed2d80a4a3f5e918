"""The results frame: one row per user, what every estimate, interval and test is computed from.

Columns: scenario, method, kind ("learner" or "baseline"), k (support size; null: the full support), seed (null: the
method draws nothing), user (the data's own id), history (support rows available), popularity (mean log popularity of
the query items), then one Float64 column per metric. Values are means over the protocol's draws; null or NaN where
a metric is undefined for a user.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from metajax.errors import DataError, StorageError
from metajax.files import atomic

KEYS = ("scenario", "method", "kind", "k", "seed", "user")
DESCRIPTIONS = ("history", "popularity")
KINDS = ("learner", "baseline")
_SCHEMA = "metajax-per-user"


@dataclass(frozen=True)
class PerUser:
    """The per-user values of one run.

    Attributes:
        name: of the run.
        data: name of the data set.
        protocol: of the evaluation, as it stands in the report's metadata.
        frame: the results frame.
    """

    name: str
    data: str
    protocol: Mapping[str, Any]
    frame: pl.DataFrame


def metric_columns(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the names of the metrics: all columns that are neither keys nor descriptions of the user."""
    return tuple(name for name in frame.columns if name not in KEYS + DESCRIPTIONS)


def check_results(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with null for NaN in its metrics.

    Raises:
        DataError: if a column is missing or of a wrong type, a metric is infinite, a kind unknown or a row twice there.
    """
    if missing := [name for name in KEYS + DESCRIPTIONS if name not in frame.columns]:
        raise DataError(f"The results frame has no column {missing[0]!r}; it has {frame.columns}.")
    metrics = metric_columns(frame)
    if not metrics:
        raise DataError(f"The results frame has no metric beside {frame.columns}. Add a Float64 column per metric.")
    for name in ("k", "seed"):
        if not (frame.schema[name].is_integer() or frame.schema[name] == pl.Null):
            raise DataError(f"Column {name!r} of the results frame is {frame.schema[name]}; it must hold integers.")
    for name in (*DESCRIPTIONS, *metrics):
        if not (frame.schema[name].is_numeric() or frame.schema[name] == pl.Null):
            raise DataError(f"Column {name!r} of the results frame is {frame.schema[name]}; it must hold numbers.")
    frame = frame.with_columns(pl.col("k", "seed").cast(pl.Int32), pl.col(*metrics).cast(pl.Float64).fill_nan(None))
    if infinite := [name for name in metrics if frame[name].is_infinite().any()]:
        raise DataError(f"Metric {infinite[0]!r} is infinite for some user. Leave it null where it is undefined.")
    if strange := set(frame["kind"].unique()) - set(KINDS):
        raise DataError(f"Column 'kind' of the results frame holds {sorted(strange)}; it must be one of {KINDS}.")
    if (twice := frame.select(KEYS).is_duplicated()).any():
        first = dict(zip(KEYS, frame.select(KEYS).filter(twice).row(0), strict=True))
        raise DataError(f"The results frame has {first} twice. Average over draws before it is made.")
    return frame


def pool_seeds(frame: pl.DataFrame) -> pl.DataFrame:
    """Average over seeds, so that the user is the unit; a seed for which a metric is undefined is left out."""
    metrics = metric_columns(frame)
    keys = [name for name in KEYS if name != "seed"]
    return frame.group_by(keys, maintain_order=True).agg(pl.col(*DESCRIPTIONS, *metrics).mean())


def write_per_user(path: Path, values: PerUser) -> None:
    """Write the per-user values of a run to `path`, as parquet, atomically."""
    about = {"schema": _SCHEMA, "name": values.name, "data": values.data, "protocol": dict(values.protocol)}
    frame = check_results(values.frame)
    with atomic(path) as temporary:
        frame.write_parquet(temporary, metadata={"metajax": json.dumps(about, allow_nan=False)})


def read_per_user(path: Path) -> PerUser:
    """Read what `write_per_user` wrote.

    Raises:
        StorageError: if the file is missing, is not parquet, or does not hold per-user values.
    """
    if not path.is_file():
        raise StorageError(f"{path} does not exist. Evaluate the run first.")
    try:
        about = json.loads(pl.read_parquet_metadata(path).get("metajax", "null"))
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, ValueError, OSError) as error:
        raise StorageError(f"{path} cannot be read: {error}. Evaluate the run again.") from error
    if not isinstance(about, dict) or about.get("schema") != _SCHEMA or not isinstance(about.get("protocol"), dict):
        raise StorageError(f"{path} does not hold per-user values of metajax. Name a per_user.parquet of a run.")
    try:
        return PerUser(str(about.get("name")), str(about.get("data")), about["protocol"], check_results(frame))
    except DataError as error:
        raise StorageError(f"{path} is not what metajax wrote: {error}") from error
