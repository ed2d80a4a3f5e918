"""csv, tsv and parquet files of your own, and the folders that `metajax data convert` writes."""

from dataclasses import asdict
from pathlib import Path

import polars as pl

from metajax.data.columns import Feature
from metajax.data.interactions import Interactions, interactions_from_frame
from metajax.data.readers.features import SUFFIXES, read_features, separator_of, suffix_of
from metajax.data.readers.names import column_of, id_column_of
from metajax.data.validation import as_times, require_columns, without_blanks
from metajax.errors import DataError
from metajax.files import atomic, check_manifest, read_json, write_json, write_manifest

DESCRIPTION = "interactions.json"
TABLES = ("ratings", "users", "items")
FILES = (DESCRIPTION, *(f"{name}.parquet" for name in TABLES))


def read_table(
    path: Path,
    *,
    user: str = "user",
    item: str = "item",
    target: str = "target",
    timestamp: str | None = None,
    domain: str | None = None,
    users: Path | None = None,
    items: Path | None = None,
    scale: tuple[float, float] | None = None,
    strict: bool = False,
) -> Interactions:
    """Read ratings from a csv, tsv or parquet file; arguments as for `interactions_from_frame`.

    `users` and `items` are files too, whose columns of ids are called as in the ratings: see `read_features`.

    A csv file may have semicolons for commas. Columns called timestamp (if all in it are times) and domain are read as
    such unless others are named. Ids in a csv or tsv file become integers where that loses nothing: 7 does, and 7.0 if
    all are so, but 007 stays a text. Where nothing else is said, a column called like a user, an item or a rating is
    taken (see `names`); a file without ratings says who took what up, 1.0 each.
    """
    frame = _scan(path).collect()
    user, item = (id_column_of(part, name, frame.columns) for part, name in (("user", user), ("item", item)))
    require_columns(frame, [user, item])
    rated = column_of("target", target, frame.columns)
    if rated is None:
        frame = frame.with_columns(pl.lit(1.0).alias(target))
    target = rated or target
    if suffix_of(path) != ".parquet":
        frame = frame.with_columns(_whole(frame[column]) for column in (user, item))
    user_table, user_features = read_features(users, "user", user) if users else (None, [])
    item_table, item_features = read_features(items, "item", item) if items else (None, [])
    return interactions_from_frame(
        frame,
        user=user,
        item=item,
        target=target,
        timestamp=timestamp or _times_if_all(frame),
        domain=domain or _if_there("domain", frame),
        users=user_table,
        items=item_table,
        features=user_features + item_features,
        name=path.stem,
        scale=scale,
        strict=strict,
    )


def rates(path: Path, user: str = "user", item: str = "item", target: str = "target") -> bool:
    """Say whether a csv, tsv or parquet file tells how items were liked: whether it has ratings, and not all alike.

    Raises:
        DataError: if it has no users or items; that no column is called `target` is told of when it is read.
    """
    frame = _scan(path)
    header = frame.head(0).collect()
    ids = (id_column_of(part, name, header.columns) for part, name in (("user", user), ("item", item)))
    require_columns(header, ids)
    rated = column_of("target", target, header.columns)
    if rated is None or rated not in header.columns:
        return rated is not None
    values = frame.select(pl.col(rated).cast(pl.Float64, strict=False).alias("value")).filter(
        pl.col("value").is_finite()
    )
    return values.select(pl.col("value").min() != pl.col("value").max()).collect().item() is True


def _scan(path: Path) -> pl.LazyFrame:
    if suffix_of(path) == ".parquet":
        return pl.scan_parquet(path)
    return pl.scan_csv(path, separator=separator_of(path), infer_schema=False)


def _times_if_all(frame: pl.DataFrame) -> str | None:
    """Return the column "timestamp" if all in it are times: no rating is lost for a time that nobody asked for."""
    there = "timestamp" in frame.columns and as_times(frame["timestamp"]).null_count() == 0
    return "timestamp" if there else None


def _if_there(column: str, frame: pl.DataFrame) -> str | None:
    return column if column in frame.columns else None


def _whole(ids: pl.Series) -> pl.Series:
    """Return integers where that loses nothing; 10.0 is one if all are such, as a frame with gaps writes them."""
    ids = without_blanks(ids) if ids.dtype == pl.String else ids
    if ids.dtype == pl.String and ids.drop_nulls().str.ends_with(".0").all():
        ids = ids.str.strip_suffix(".0")
    whole = ids.cast(pl.Int64, strict=False)
    return whole if whole.cast(pl.String).equals(ids, null_equal=True) else ids


def write_table(interactions: Interactions, path: Path) -> None:
    """Write the ratings, without the tables of users and items, as the csv, tsv or parquet file that the name says.

    Raises:
        DataError: for another suffix.
    """
    if suffix_of(path) not in SUFFIXES:
        raise DataError(f"{path} cannot be written. Name a folder, or a file that ends in {', '.join(SUFFIXES)}.")
    with atomic(path) as temporary:
        if suffix_of(path) == ".parquet":
            interactions.ratings.write_parquet(temporary)
        else:
            interactions.ratings.write_csv(temporary, separator="\t" if suffix_of(path) == ".tsv" else ",")


def write_folder(interactions: Interactions, folder: Path | str) -> None:
    """Write interactions as a folder of parquet files, a description and a manifest, for `read_folder`."""
    folder = Path(folder)
    for name in TABLES:
        with atomic(folder / f"{name}.parquet") as temporary:
            getattr(interactions, name).write_parquet(temporary)
    features = [asdict(feature) for feature in interactions.features]
    write_json(folder / DESCRIPTION, {"name": interactions.name, "scale": interactions.scale, "features": features})
    write_manifest(folder, FILES)


def read_folder(folder: Path, *, strict: bool = False) -> Interactions:
    """Read a folder that `write_folder` wrote; the rows are validated again.

    Raises:
        StorageError: if a file is missing or altered.
        DataError: if the description is not one that metajax wrote.
    """
    check_manifest(folder)
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
        timestamp=_if_there("timestamp", ratings),
        domain=_if_there("domain", ratings),
        users=pl.read_parquet(folder / "users.parquet"),
        items=pl.read_parquet(folder / "items.parquet"),
        features=features,
        name=name,
        scale=(low, high),
        strict=strict,
    )
