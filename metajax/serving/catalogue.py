"""The items of a version in the words of its clients: ids as text, and titles."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np


class Catalogue:
    """Items by position and id."""

    def __init__(self, item_ids: Sequence[Any], titles: Sequence[str | None] | None, num_ratings: np.ndarray) -> None:
        """Index the ids; `num_ratings` are of each item in training."""
        self.ids = [str(item) for item in item_ids]
        self.titles = list(titles) if titles else [None] * len(self.ids)
        self.num_ratings = num_ratings
        self._positions = {item: position for position, item in enumerate(self.ids)}
        self.rated_often_enough = lru_cache(8)(self._rated_often_enough)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.ids)

    def position(self, item: str) -> int | None:
        """Return where an item is, or None."""
        return self._positions.get(item)

    def positions(self, items: Iterable[str]) -> list[int | None]:
        """Return where each of some items is, or None."""
        return list(map(self._positions.get, items))

    def popular(self, n: int) -> list[int]:
        """Return the n positions that were rated most in training."""
        return np.argsort(-self.num_ratings.astype(np.int64), kind="stable")[:n].tolist()

    def _rated_often_enough(self, min_ratings: int) -> np.ndarray:
        allowed = self.num_ratings >= min_ratings
        allowed.flags.writeable = False  # shared by requests
        return allowed
