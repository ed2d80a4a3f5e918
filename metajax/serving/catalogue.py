"""The items of a version in the words of its clients: ids as text, titles, and a search of titles."""

import heapq
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np


class Catalogue:
    """Items by position, id and title."""

    def __init__(self, item_ids: Sequence[Any], titles: Sequence[str | None] | None, num_ratings: np.ndarray) -> None:
        """Index the ids; `num_ratings` are of each item in training."""
        self.ids = [str(item) for item in item_ids]
        self.titles = list(titles) if titles else [None] * len(self.ids)
        self.num_ratings = num_ratings
        self._positions = {item: position for position, item in enumerate(self.ids)}
        self._lower = [(title or item).lower() for item, title in zip(self.ids, self.titles, strict=True)]
        self.rated_often_enough = lru_cache(8)(self._rated_often_enough)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.ids)

    def position(self, item: str) -> int | None:
        """Return where an item is, or None."""
        return self._positions.get(item)

    def search(self, query: str, n: int) -> list[int]:
        """Return up to n positions of items whose title (or id) holds the query: beginnings first, then the popular."""
        wanted = query.strip().lower()
        found = (position for position, title in enumerate(self._lower) if wanted in title)
        return heapq.nsmallest(
            n, found, key=lambda one: (not self._lower[one].startswith(wanted), -self._popularity(one))
        )

    def _popularity(self, position: int) -> int:
        return int(self.num_ratings[position])

    def _rated_often_enough(self, min_ratings: int) -> np.ndarray:
        allowed = self.num_ratings >= min_ratings
        allowed.flags.writeable = False  # shared by requests
        return allowed
