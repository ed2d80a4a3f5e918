"""Encoding: raw features become ids, index bags and dense columns, by vocabularies fitted on training rows only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import polars as pl

from metajax.data.columns import TOKENS, Column, Feature, Kind, Side
from metajax.data.content import FACTORS, NAME, ContentEstimate, fit_content
from metajax.data.interactions import Interactions, check_kind
from metajax.data.taken import Taken
from metajax.errors import DataError, StorageError

IDENTITY = "id"
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Encoder:
    """How one feature is encoded.

    Attributes:
        feature: what is encoded.
        values: of a category or bag, the known values as text: value i has id i + 1; everything else is 0.
        width: of a bag, how many ids are kept; of a vector, its length.
        mean: of a number, subtracted.
        scale: of a number or a vector, what it is divided by.
    """

    feature: Feature
    values: tuple[str, ...] = ()
    width: int = 1
    mean: float = 0.0
    scale: float = 1.0

    @property
    def column(self) -> Column:
        """What a model sees."""
        kind: Kind = self.feature.kind
        size = {"category": len(self.values) + 1, "bag": len(self.values) + 1, "number": 1, "vector": self.width}[kind]
        return Column(self.feature.name, self.feature.of, kind, size)

    def encode(self, column: pl.Series) -> np.ndarray:
        """Encode a raw column; see `Column` for shapes and types. Nulls, and numbers that are not finite, become 0.

        Raises:
            DataError: for a column that cannot hold the feature, or a vector of another length.
        """
        check_kind(self.feature, column)
        if self.feature.kind == "number":
            numbers = np.nan_to_num(_numbers(column) - self.mean, nan=0.0) / self.scale
            return np.clip(numbers, -LARGEST, LARGEST).astype(np.float32)
        if self.feature.kind == "vector":
            return self._vectors(column.cast(pl.List(pl.Float32)))
        if self.feature.kind == "category":
            return self._ids(column.cast(pl.String)).to_numpy()
        bags = pl.DataFrame({"row": np.arange(len(column)), "value": column.cast(pl.List(pl.String))}).explode("value")
        bags = bags.with_columns(self._ids(bags["value"]).alias("id")).filter(pl.col("id") > 0)
        lists = bags.group_by("row", maintain_order=True).agg(pl.col("id").head(self.width))
        ids = np.zeros((len(column), self.width), np.int32)
        for row, known in zip(lists["row"], lists["id"].to_list(), strict=True):
            ids[row, : len(known)] = known
        return ids

    def _vectors(self, column: pl.Series) -> np.ndarray:
        encoded = np.zeros((len(column), self.width), np.float32)
        known = column.drop_nulls()
        if not (known.list.len() == self.width).all():
            raise DataError(
                f"A vector of feature {self.feature.name!r} has another length than those of training, {self.width}."
            )
        encoded[column.is_not_null().to_numpy()] = _rows(known, self.width) / self.scale
        return encoded

    def _ids(self, values: pl.Series) -> pl.Series:
        known = pl.DataFrame(
            {"value": self.values, "id": np.arange(1, len(self.values) + 1, dtype=np.int32)},
            schema_overrides={"value": pl.String},
        )
        joined = pl.DataFrame({"value": values}).join(known, on="value", how="left", maintain_order="left")
        return joined["id"].fill_null(0)


@dataclass(frozen=True)
class Encoding:
    """All encoders of a data set.

    Attributes:
        encoders: one a feature.
        content: the estimate of an item's mean rating that is a feature too, if there is one.
        rows: how many training ratings it was fitted on; not saved, for it matters to training alone.
        taken: who took the items that have ids of their own; not saved either.
    """

    encoders: tuple[Encoder, ...]
    content: ContentEstimate | None = None
    rows: int = field(default=0, compare=False)
    taken: Taken | None = field(default=None, compare=False)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What a model sees of users and items."""
        content = () if self.content is None else self.content.columns
        columns = (*(encoder.column for encoder in self.encoders), *content)
        return tuple(
            replace(
                column, rows=self.rows, taken=self.taken if (column.of, column.name) == ("item", IDENTITY) else None
            )
            for column in columns
        )

    def encode_users(self, users: pl.DataFrame) -> dict[str, np.ndarray]:
        """Encode a table of users, by feature name; a column that is missing counts as unknown."""
        return self._encode(users, "user")

    def encode_items(self, items: pl.DataFrame) -> dict[str, np.ndarray]:
        """Encode a table of items, by feature name; a column that is missing counts as unknown."""
        encoded = self._encode(items, "item")
        return encoded if self.content is None else encoded | self.content.encode(items)

    def _encode(self, table: pl.DataFrame, side: Side) -> dict[str, np.ndarray]:
        encoded = {}
        for encoder in self.encoders:
            if encoder.feature.of == side:
                source = side if encoder.feature.name == IDENTITY else encoder.feature.name
                raw = table[source] if source in table.columns else pl.Series(source, [None] * table.height)
                encoded[encoder.feature.name] = encoder.encode(raw)
        return encoded

    def to_json(self) -> list[dict[str, Any]]:
        """Return a document of plain JSON types."""
        estimate = [] if self.content is None else [{"content": asdict(self.content)}]
        return [*(asdict(encoder) for encoder in self.encoders), *estimate]

    @classmethod
    def from_json(cls, document: Any) -> "Encoding":
        """Undo `to_json`.

        Raises:
            StorageError: if the document is not what `to_json` writes.
        """
        try:
            estimates = [ContentEstimate.from_json(entry["content"]) for entry in document if "content" in entry]
            encoders = tuple(_read_encoder(entry) for entry in document if "content" not in entry)
            return cls(encoders, estimates[0] if estimates else None)
        except (KeyError, TypeError, ValueError, DataError) as error:
            raise StorageError(f"The feature encoding is malformed ({error!r}). Export the run again.") from error


def _read_encoder(entry: dict[str, Any]) -> Encoder:
    """Undo `asdict`; raise KeyError, TypeError, ValueError or DataError for what it did not write."""
    encoder = Encoder(
        feature=Feature(**entry["feature"]),
        values=tuple(entry["values"]),
        width=int(entry["width"]),
        mean=float(entry["mean"]),
        scale=float(entry["scale"]),
    )
    if not all(isinstance(value, str) for value in encoder.values) or len(set(encoder.values)) < len(encoder.values):
        raise ValueError(f"the values of {encoder.feature.name!r} are not distinct texts")
    if encoder.width < 1 or not np.isfinite(encoder.mean) or not 0 < encoder.scale < np.inf:
        raise ValueError(f"width, mean or scale of {encoder.feature.name!r} is out of range")
    return encoder


def fit_encoding(
    interactions: Interactions,
    train: pl.DataFrame,
    *,
    identity: Sequence[Side] = ("item",),
    features: Sequence[str] | None = None,
    min_count: int = 1,
    max_bag: int = 16,
    max_values: int | None = None,
    estimate_content: bool = False,
) -> Encoding:
    """Fit vocabularies and scales on the users and items that occur in training ratings.

    Args:
        interactions: the tables and the declared features.
        train: training ratings; what does not occur here leaves no trace, so that a cold item has no parameter.
        identity: sides whose own id becomes the feature "id"; ids outside `train` are encoded as 0.
        features: names to keep, all declared by default.
        min_count: how many training users or items must show a value for it to enter the vocabulary.
        max_bag: most values of a bag that are kept, in the order given.
        max_values: leave out categories and bags whose vocabulary is larger, unless `features` names them.
        estimate_content: add what the whole item table says of an item's mean rating, and its tokens; see
            `metajax.data.content`.

    Raises:
        DataError: if a name in `features` was not declared, or a declared feature is called "id" or, with
            `estimate_content`, as what that adds.
    """
    declared = [feature.name for feature in interactions.features]
    for name in features or ():
        if name not in declared:
            close = get_close_matches(name, declared, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise DataError(f"There is no feature {name!r}; the data declare {declared}.{meant}")
    if IDENTITY in declared:
        raise DataError(
            f"A feature may not be called {IDENTITY!r}: that is the user's or item's own identity. Rename it."
        )
    of_items = [feature.name for feature in interactions.features if feature.of == "item"]
    taken = [name for name in (NAME, FACTORS, TOKENS) if name in of_items]
    if estimate_content and taken:
        raise DataError(f"A feature may not be called {taken[0]!r}, as the content estimate's own column. Rename it.")
    seen = {
        "user": interactions.users.join(train.select("user").unique(), on="user", how="semi"),
        "item": interactions.items.join(train.select("item").unique(), on="item", how="semi"),
    }
    ids = [
        Encoder(Feature(IDENTITY, side, "category"), tuple(seen[side][side].cast(pl.String).sort()))
        for side in identity
    ]
    kept = [feature for feature in interactions.features if features is None or feature.name in features]
    fitted = [_fit(feature, seen[feature.of][feature.name], min_count, max_bag) for feature in kept]
    if max_values is not None:
        fitted = [one for one in fitted if len(one.values) <= max_values or one.feature.name in (features or ())]
    content = fit_content(interactions.items, train) if estimate_content else None
    own = [one.values for one in ids if one.feature.of == "item"]
    return Encoding((*ids, *fitted), content, train.height, Taken(train, own[0]) if own else None)


def _fit(feature: Feature, column: pl.Series, min_count: int, max_bag: int) -> Encoder:
    if feature.kind == "number":
        numbers = _numbers(column)
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return Encoder(feature)
        deviation = float(numbers.std())
        return Encoder(feature, mean=float(numbers.mean()), scale=deviation if deviation > 1 / LARGEST else 1.0)
    if feature.kind == "vector":
        widths = {len(one) for one in column if one is not None}
        if len(widths) != 1 or widths == {0}:
            raise DataError(
                f"The vectors of feature {feature.name!r} must have one length, and a training {feature.of} must have "
                f"one; got lengths {sorted(widths)}."
            )
        width = widths.pop()
        vectors = _rows(column.cast(pl.List(pl.Float32)).drop_nulls(), width).astype(float)
        length = float(np.sqrt(np.mean(np.sum(vectors**2, axis=1))))
        return Encoder(feature, width=width, scale=length if 0 < length < np.inf else 1.0)
    values, width = column, 1
    if feature.kind == "bag":
        bags = column.cast(pl.List(pl.String))
        values = bags.list.unique().explode()
        width = min(max_bag, max(1, int(bags.list.len().max() or 1)))  # pyright: ignore[reportArgumentType]
    counts = values.cast(pl.String).drop_nulls().alias("value").value_counts()
    return Encoder(feature, tuple(counts.filter(pl.col("count") >= min_count)["value"].sort()), width)


def _rows(column: pl.Series, width: int) -> np.ndarray:
    """Return float32 `[rows, width]`; 0 where a vector holds no finite number."""
    numbers = column.explode().fill_null(0).to_numpy().reshape(-1, width)
    return np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0)


def _numbers(column: pl.Series) -> np.ndarray:
    """Float64; NaN where there is no number that float32 can hold."""
    numbers = column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    return np.where(np.abs(numbers) <= LARGEST, numbers, np.nan)
