"""Small worlds of ratings, shared by the tests of data."""

import numpy as np
import polars as pl

from metajax.data import Feature, Interactions, interactions_from_frame


def world(seed: int = 0, *, num_users: int = 30, num_items: int = 40, density: float = 0.6) -> Interactions:
    """Users who rated a random part of the items at random times; items with a year and genres."""
    draw = np.random.default_rng(seed)
    users, items = np.nonzero(draw.random((num_users, num_items)) < density)
    order = draw.permutation(len(users))
    ratings = pl.DataFrame(
        {
            "user": users[order] + 1,
            "item": items[order] + 100,
            "target": draw.integers(1, 6, len(users)).astype(float),
            "timestamp": draw.integers(0, 1000, len(users)),
        }
    )
    table = pl.DataFrame(
        {
            "item": np.arange(num_items) + 100,
            "title": [f"Film {number}" for number in range(num_items)],
            "year": 1980 + np.arange(num_items),
            "genres": [["drama", "war"][: number % 3] for number in range(num_items)],
        }
    )
    features = [Feature("year", "item", "number"), Feature("genres", "item", "bag")]
    return interactions_from_frame(ratings, timestamp="timestamp", items=table, features=features, scale=(1, 5))


def pairs(ratings: pl.DataFrame) -> set[tuple]:
    """The (user, item) pairs of some ratings."""
    return set(ratings.select("user", "item").iter_rows())
