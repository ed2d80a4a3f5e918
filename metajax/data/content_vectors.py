"""A column of vectors, such as embeddings of texts or images, as one part of the content estimate."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

KIND = "vector"


@dataclass(frozen=True)
class VectorView:
    """A column of the item table whose vectors are compared by the cosine of what they differ from their mean in.

    Attributes:
        column: of the item table.
        centre: `[width]` mean of the vectors that were fitted to.
        scale: of the cosines, in squared units of the rating.
        fitted: `[items, width]` float16 in base64, row by row: directions of the items that were fitted to.
        kind: always "vector".
    """

    column: str
    centre: tuple[float, ...]
    scale: float = 0.0
    fitted: str = ""
    kind: str = KIND

    @classmethod
    def fit(cls, column: pl.Series) -> "VectorView | None":
        """Read the vectors of the items that are fitted to; None where they are not of one length, or all alike."""
        known = column.cast(pl.List(pl.Float64)).drop_nulls()
        widths = known.list.len().unique()
        if len(widths) != 1 or not widths[0]:
            return None
        numbers = np.nan_to_num(known.explode().to_numpy().reshape(-1, widths[0]), nan=0.0, posinf=0.0, neginf=0.0)
        if not np.ptp(numbers, axis=0).any():
            return None
        view = cls(column.name, tuple(numbers.mean(axis=0).tolist()))
        directions = view.matrix(pl.DataFrame({column.name: column}))
        return cls(view.column, view.centre, fitted=base64.b64encode(directions.astype("<f2").tobytes()).decode())

    def matrix(self, items: pl.DataFrame) -> np.ndarray:
        """Return `[items, width]` directions, rounded as they are kept; 0 where nothing is known, or of another length.

        An item whose vector is the mean has no direction either.
        """
        made = np.zeros((items.height, len(self.centre)))
        if self.column in items.columns:
            column = items[self.column].cast(pl.List(pl.Float64))
            known = (column.list.len() == len(self.centre)).fill_null(value=False)
            numbers = column.filter(known).explode().to_numpy().reshape(-1, len(self.centre))
            made[known.to_numpy()] = np.where(np.isfinite(numbers), numbers, self.centre) - np.asarray(self.centre)
        length = np.sqrt(np.sum(made**2, axis=1, keepdims=True))
        return (made / np.where(length > 1e-9, length, np.inf)).astype(np.float16).astype(float)

    def fitted_matrix(self) -> np.ndarray:
        """Return `[items, width]` directions of the items that were fitted to."""
        return np.frombuffer(base64.b64decode(self.fitted), "<f2").reshape(-1, len(self.centre)).astype(float)


def read_vector_view(document: Mapping[str, Any], *, num_fitted: int) -> VectorView:
    """Undo `dataclasses.asdict`.

    Raises:
        KeyError, TypeError, ValueError: for what that did not write.
    """
    centre = tuple(float(one) for one in document["centre"])
    view = VectorView(str(document["column"]), centre, float(document["scale"]), str(document["fitted"]))
    if not centre or not np.isfinite([*centre, view.scale]).all():
        raise ValueError("the centre or the scale of a view of vectors is out of range")
    directions = view.fitted_matrix()
    if len(directions) != num_fitted or not np.isfinite(directions).all():
        raise ValueError("the vectors of a view and the items of the estimate differ in number, or are not finite")
    return view
