"""Interactions: who rated what how, with what is known about users and items."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from narwhals.exceptions import DuplicateError

from metajax.data.columns import Feature, Side
from metajax.data.validation import Quarantine, as_ids, reject, require_columns, validate
from metajax.errors import DataError


@dataclass(frozen=True)
class Interactions:
    """Validated ratings and the tables they refer to; positions in the tables are the integer ids of metajax.

    Attributes:
        ratings: columns user, item, target (Float32), and where known timestamp (Int64, seconds) and domain (String).
        users: column user, one row a user, and a column for each declared user feature.
        items: column item, one row an item, maybe title, and a column for each declared item feature.
        features: the declared features.
        name: of the data set, for reports.
        scale: (lowest, highest) target that is possible.
        quarantine: the rows that were rejected.
    """

    ratings: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    features: tuple[Feature, ...] = ()
    name: str = "data"
    scale: tuple[float, float] = (0.0, 1.0)
    quarantine: Quarantine = field(default_factory=Quarantine)

    def positions(self, ratings: pl.DataFrame | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (user positions int32, item positions int32, targets float32), `[rows]` each, in row order."""
        ratings = self.ratings if ratings is None else ratings
        users = positions_of(ratings["user"], self.users["user"])
        items = positions_of(ratings["item"], self.items["item"])
        return users, items, ratings["target"].cast(pl.Float32).to_numpy()

    def digest(self) -> str:
        """Return a sha256 of the ratings, whatever their order, by which it is noticed that data have changed."""
        digest = sha256()
        for column in self.ratings.sort("user", "item").iter_columns():
            digest.update(f"{column.name} {column.len()}\n".encode())
            is_text = column.dtype == pl.String
            digest.update("\0".join(column.fill_null("")).encode() if is_text else column.to_numpy().tobytes())
        return digest.hexdigest()

    def transpose(self) -> "Interactions":
        """Swap the roles of users and items, so that a task is about an item."""
        swap = {"user": "item", "item": "user"}
        other: dict[Side, Side] = {"user": "item", "item": "user"}
        return replace(
            self,
            ratings=self.ratings.rename(swap),
            users=self.items.rename({"item": "user"}),
            items=self.users.rename({"user": "item"}),
            features=tuple(replace(feature, of=other[feature.of]) for feature in self.features),
        )


def positions_of(ids: pl.Series, table: pl.Series) -> np.ndarray:
    """Return int32 `[len(ids)]` positions of ids in a table of distinct ids.

    Raises:
        DataError: if an id is not in the table.
    """
    index = pl.DataFrame({"id": table, "position": np.arange(len(table), dtype=np.int32)})
    wanted = pl.DataFrame({"id": ids.cast(table.dtype, strict=False)})
    found = wanted.join(index, on="id", how="left", maintain_order="left")["position"]
    if found.null_count():
        raise DataError(f"{table.name} {ids.filter(found.is_null())[0]!r} is not in the table of {table.name}s.")
    return found.to_numpy()


def interactions_from_frame(
    ratings: Any,
    *,
    user: str = "user",
    item: str = "item",
    target: str = "target",
    timestamp: str | None = None,
    domain: str | None = None,
    users: Any = None,
    items: Any = None,
    features: Sequence[Feature] = (),
    name: str = "data",
    scale: tuple[float, float] | None = None,
    strict: bool = False,
) -> Interactions:
    """Validate a frame of ratings and the tables it refers to; bad rows go to quarantine.

    Args:
        ratings: a polars, pandas or pyarrow frame, one row a rating.
        user: the column of user ids, of any type.
        item: the column of item ids, of any type.
        target: the column of ratings.
        timestamp: the column of times: numbers (seconds) or dates.
        domain: the column that names the domain of a rating.
        users: a frame with a column named as `user` and the user features; ids that it lacks get nulls.
        items: a frame with a column named as `item`, maybe title, and the item features.
        features: the declared features.
        name: of the data set.
        scale: (lowest, highest) possible target; what lies outside is rejected. The range of the data by default.
        strict: raise instead of quarantining.

    Raises:
        DataError: for a missing column, an empty frame, no rating that is valid, a feature whose column is not of its
            kind, is declared twice or is called user or item, or (if `strict`) any rejected row.
    """
    _check_names(features)
    renamed = {"user": user, "item": item, "target": target, "timestamp": timestamp, "domain": domain}
    clean, quarantine = validate(as_polars(ratings), {k: v for k, v in renamed.items() if v}, scale=scale)
    if clean.is_empty():
        first = quarantine.rows.row(0, named=True)
        raise DataError(
            f"No rating of {name} is valid. Rejected: {quarantine.counts()}. The first: {first}. Read were the columns "
            f"{ {ours: theirs for ours, theirs in renamed.items() if theirs} }; name others if these are not meant."
        )
    low, high = scale or (float(clean["target"].min()), float(clean["target"].max()))  # pyright: ignore[reportArgumentType]
    user_table, bad_users = _table(users, "user", user, clean["user"], features)
    item_table, bad_items = _table(items, "item", item, clean["item"], features)
    quarantine = quarantine.and_also(bad_users).and_also(bad_items)
    if strict:
        quarantine.refuse()
    return Interactions(clean, user_table, item_table, tuple(features), name, (low, high), quarantine)


def _check_names(features: Sequence[Feature]) -> None:
    names = [(feature.of, feature.name) for feature in features]
    for side, name in names:
        if name in ("user", "item"):
            raise DataError(f"A feature of {side}s is called {name!r}, which is the column of {name} ids. Rename it.")
        if names.count((side, name)) > 1:
            raise DataError(f"The feature {name!r} of {side}s is declared twice. Leave one out.")


def as_polars(frame: Any) -> pl.DataFrame:
    """Turn a polars, pandas or pyarrow frame into a polars one; columns of mixed Python objects become text.

    Raises:
        DataError: for anything else, and for columns whose names are not distinct texts.
    """
    try:
        native = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise DataError(
            f"Got a {type(frame).__name__} where a polars, pandas or pyarrow frame is wanted. "
            "Read files with metajax.data.load."
        ) from error
    except DuplicateError as error:
        told = " ".join(str(error).split())
        raise DataError(f"Two columns of the frame have one name: {told}. Rename one.") from error
    if strange := [name for name in native.columns if not isinstance(name, str)]:
        raise DataError(f"The frame has a column called {strange[0]!r}; a name is a text. Rename its columns.")
    objects = [name for name, dtype in native.schema.items() if dtype == nw.Object]
    rest = pl.DataFrame(native.drop(objects).to_polars())
    return rest.with_columns(_series(native[name]) for name in objects).select(native.columns)


def _series(objects: nw.Series) -> pl.Series:
    """Make a column of Python objects: typed if they agree, else text; None, NaN and pandas' NA are null."""
    name, missing = objects.name, objects.is_null().to_list()
    known = [
        None if null or (isinstance(one, float) and one != one) else one
        for one, null in zip(objects.to_list(), missing, strict=True)
    ]
    try:
        column = pl.Series(name, known, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        column = pl.Series(name, known, dtype=pl.Object)
    return pl.Series(name, [one if one is None else str(one) for one in known]) if column.dtype == pl.Object else column


def _table(
    frame: Any, side: Side, column: str, ids: pl.Series, features: Sequence[Feature]
) -> tuple[pl.DataFrame, Quarantine]:
    """Return the table of one side, sorted by id, and its rejected rows; an id that only ratings know has nulls."""
    declared = [feature for feature in features if feature.of == side]
    if frame is None:
        if declared:
            names = [feature.name for feature in declared]
            raise DataError(f"The {side} features {names} were declared, but there is no table of {side}s.")
        return pl.DataFrame({side: ids.unique().sort()}), Quarantine()
    raw = as_polars(frame)
    require_columns(raw, [column, *(feature.name for feature in declared)])
    for feature in declared:
        check_kind(feature, raw[feature.name])
    key = as_ids(raw[column]).cast(ids.dtype, strict=False).alias(side)
    reason = pl.select(
        pl.when(key.is_null())
        .then(pl.lit(f"table of {side}s: no id like those of the ratings"))
        .when(~key.is_first_distinct())
        .then(pl.lit(f"table of {side}s: repeated id"))
    ).to_series()
    table = raw.select(key, pl.exclude(column, "user", "item")).filter(reason.is_null())
    unknown = pl.DataFrame({side: ids.unique()}).join(table, on=side, how="anti")
    if raw.height and unknown.height == ids.n_unique():
        raise DataError(
            f"No {side} of the ratings is in the table of {side}s: ids are such as {ids.first()!r} there and "
            f"{raw[column].first()!r} here. Write them alike in both."
        )
    return pl.concat([table, unknown], how="diagonal").sort(side), reject(raw, reason)


def check_kind(feature: Feature, column: pl.Series) -> None:
    """Raise `DataError` if a column cannot hold a feature of this kind; a column of nulls can hold any."""
    dtype = column.dtype
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    scalar = inner is None and not dtype.is_nested()
    fits = {
        "category": scalar,
        "bag": inner is not None and not inner.is_nested(),  # pyright: ignore[reportAttributeAccessIssue]
        "number": dtype.is_numeric() or dtype == pl.Boolean,
        "vector": inner is not None and (inner.is_numeric() or inner == pl.Null),
    }
    if dtype != pl.Null and not fits[feature.kind]:
        wanted = {"category": "scalars", "bag": "lists", "number": "numbers", "vector": "lists of numbers"}
        raise DataError(
            f"Feature {feature.name!r} of {feature.of}s was declared as {feature.kind}, for which its column should "
            f"hold {wanted[feature.kind]}; it holds {dtype}. Convert the column or declare another kind."
        )
