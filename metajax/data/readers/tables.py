"""csv and parquet files of your own, and the folders that `metajax data convert` writes."""

from dataclasses import asdict
from pathlib import Path

import polars as pl

from metajax.data.columns import Feature
from metajax.data.interactions import Interactions, interactions_from_frame
from metajax.errors import DataError
from metajax.files import atomic, read_json, write_json

DESCRIPTION = "interactions.json"


def read_table(
    path: Path,
    *,
    user: str = "user",
    item: str = "item",
    target: str = "target",
    timestamp: str | None = None,
    strict: bool = False,
) -> Interactions:
    """Read ratings from a csv, tsv or parquet file; the four names say which columns to read."""
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
    else:
        frame = pl.read_csv(path, separator="\t" if path.suffix == ".tsv" else ",", infer_schema_length=None)
    return interactions_from_frame(
        frame, user=user, item=item, target=target, timestamp=timestamp, name=path.stem, strict=strict
    )


def write_folder(interactions: Interactions, folder: Path) -> None:
    """Write interactions as a folder of parquet files and a description that `read_folder` reads back."""
    for name in ("ratings", "users", "items"):
        with atomic(folder / f"{name}.parquet") as temporary:
            getattr(interactions, name).write_parquet(temporary)
    features = [asdict(feature) for feature in interactions.features]
    write_json(folder / DESCRIPTION, {"name": interactions.name, "scale": interactions.scale, "features": features})


def read_folder(folder: Path, *, strict: bool = False) -> Interactions:
    """Read a folder that `write_folder` wrote; the rows are validated again.

    Raises:
        DataError: if the description is not one that metajax wrote.
    """
    document = read_json(folder / DESCRIPTION)
    try:
        features = [Feature(**entry) for entry in document["features"]]
        low, high = document["scale"]
        name = str(document["name"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / DESCRIPTION} is malformed ({error!r}). Write it with `metajax data convert`."
        ) from error
    ratings = pl.read_parquet(folder / "ratings.parquet")
    return interactions_from_frame(
        ratings,
        timestamp="timestamp" if "timestamp" in ratings.columns else None,
        domain="domain" if "domain" in ratings.columns else None,
        users=pl.read_parquet(folder / "users.parquet"),
        items=pl.read_parquet(folder / "items.parquet"),
        features=features,
        name=name,
        scale=(low, high),
        strict=strict,
    )
