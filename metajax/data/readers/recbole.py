"""RecBole's atomic files: NAME.inter with NAME.user and NAME.item beside it, tab-separated, `column:type` headers.

References:
    https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from pathlib import Path

import polars as pl

from metajax.data.columns import Feature, Kind, Side
from metajax.data.interactions import Interactions, interactions_from_frame
from metajax.errors import DataError

KINDS: dict[str, Kind] = {"token": "category", "token_seq": "bag", "float": "number", "float_seq": "vector"}  # nosec B105 # kinds of columns, no passwords


def read_atomic(path: Path, *, strict: bool = False) -> Interactions:
    """Read a .inter file with user_id, item_id and maybe rating and timestamp; without a rating each row counts 1.0.

    Raises:
        DataError: for a header without a type, a type that is unknown, a missing user_id or item_id, or a feature
            that is declared float and is not.
    """
    ratings, _ = _read(path)
    if "rating" not in ratings.columns:
        ratings = ratings.with_columns(rating=pl.lit(1.0))
    users, user_features = _side(path.with_suffix(".user"), "user")
    items, item_features = _side(path.with_suffix(".item"), "item")
    return interactions_from_frame(
        ratings,
        user="user_id",
        item="item_id",
        target="rating",
        timestamp="timestamp" if "timestamp" in ratings.columns else None,
        users=users,
        items=items,
        features=user_features + item_features,
        name=path.stem,
        strict=strict,
    )


def _side(path: Path, side: Side) -> tuple[pl.DataFrame | None, list[Feature]]:
    if not path.is_file():
        return None, []
    frame, kinds = _read(path)
    dtypes = {"number": pl.Float64, "vector": pl.List(pl.Float32)}
    try:
        frame = frame.cast({name: dtypes[kind] for name, kind in kinds.items() if kind in dtypes})
    except pl.exceptions.InvalidOperationError as error:
        raise DataError(f"{path} holds a value that is not the number its header promises: {error}") from error
    return frame, [Feature(name, side, kind) for name, kind in kinds.items() if name not in (f"{side}_id", "title")]


def _read(path: Path) -> tuple[pl.DataFrame, dict[str, Kind]]:
    frame = pl.read_csv(path, separator="\t", infer_schema=False, quote_char=None)
    kinds: dict[str, Kind] = {}
    for header in frame.columns:
        name, _, kind = header.partition(":")
        if kind not in KINDS:
            raise DataError(
                f"The header {header!r} of {path} has no known type. Wanted name:type, type one of {list(KINDS)}."
            )
        kinds[name] = KINDS[kind]
    frame = frame.rename({header: header.partition(":")[0] for header in frame.columns})
    lists = {name: pl.col(name).str.split(" ") for name, kind in kinds.items() if kind in ("bag", "vector")}
    frame = frame.with_columns(**lists)
    return frame, kinds
