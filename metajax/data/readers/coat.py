"""Coat: 290 people rated 24 coats that they chose and 16 that were drawn at random.

References:
    Schnabel et al., 2016, "Recommendations as treatments: debiasing learning and evaluation".
    https://arxiv.org/abs/1602.05352
"""

from pathlib import Path

import numpy as np
import polars as pl

from metajax.data.columns import Feature, Side
from metajax.data.interactions import Interactions, interactions_from_frame
from metajax.errors import DataError

FILES = {"self_selected": "train.ascii", "random": "test.ascii"}


def read_coat(folder: Path, *, strict: bool = False) -> Interactions:
    """Read train.ascii, test.ascii and user_item_features/; users and items are their rows and columns, from 0.

    The domain of a rating is "self_selected" or "random", so that `cross_domain` adapts to what people chose and judges
    on what was drawn. A coat that was drawn though its rater had chosen it counts as drawn: its first rating (there are
    366 such) goes to quarantine as a duplicate pair, which `strict` refuses. The propensities are not read.

    Raises:
        DataError: if a file is no matrix of numbers, its shape does not fit the others', or a feature is not 1 in
            exactly one column of its group.
    """
    sides: tuple[Side, ...] = ("user", "item")
    tables: dict[Side, pl.DataFrame] = {side: _features(folder / "user_item_features", side) for side in sides}
    shape = tables["user"].height, tables["item"].height
    ratings = [_ratings(folder / name, domain, shape) for domain, name in FILES.items()]
    return interactions_from_frame(
        pl.concat(ratings),
        domain="domain",
        users=tables["user"],
        items=tables["item"],
        features=[
            Feature(name, side, "category") for side, table in tables.items() for name in table.columns if name != side
        ],
        name="coat",
        scale=(1.0, 5.0),
        strict=strict,
    )


def _ratings(path: Path, domain: str, shape: tuple[int, int]) -> pl.DataFrame:
    matrix = _matrix(path)
    if matrix.shape != shape:
        raise DataError(
            f"{path} is a matrix of {matrix.shape}, but the features are of {shape[0]} users and {shape[1]} items. "
            "Get the files anew."
        )
    users, items = np.nonzero(matrix)
    return pl.DataFrame({"user": users, "item": items, "target": matrix[users, items]}).with_columns(
        domain=pl.lit(domain)
    )


def _features(folder: Path, side: Side) -> pl.DataFrame:
    """Turn 0/1 columns, named GROUP:VALUE by the lines of the map file, into one column a group."""
    path = folder / f"{side}_features.ascii"
    matrix, names = _matrix(path), (folder / f"{side}_features_map.txt").read_text(encoding="utf-8").split("\n")
    names = [name.strip().partition(":") for name in names if name.strip()]
    if matrix.shape[1] != len(names):
        raise DataError(f"{path} has {matrix.shape[1]} columns, but its map names {len(names)}. Get the files anew.")
    table: dict[str, np.ndarray] = {side: np.arange(len(matrix))}
    for group in dict.fromkeys(name for name, _, _ in names):
        columns = [number for number, name in enumerate(names) if name[0] == group]
        flags = matrix[:, columns]
        if not ((flags == 1).sum(axis=1) == 1).all():
            raise DataError(f"{path}: a row is not 1 in exactly one column of {group!r}. Get the files anew.")
        table[group] = np.array([names[column][2] for column in columns])[flags.argmax(axis=1)]
    return pl.DataFrame(table)


def _matrix(path: Path) -> np.ndarray:
    try:
        return np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} is no matrix of numbers: {error}. Get the files anew.") from error
