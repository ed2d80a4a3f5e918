"""What a baseline is: fitted to training ratings, then a prediction per query row of fixed tasks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy.sparse as sp

from metajax.data import Interactions
from metajax.tasks.taskset import TaskSet

Predict = Callable[[TaskSet], np.ndarray]
"""Tasks -> `[tasks, query_rows]` predictive means, not clipped (or scores that only rank)."""


@dataclass(frozen=True)
class Training:
    """What baselines may know.

    Attributes:
        users: int32 `[ratings]` positions in the user table.
        items: int32 `[ratings]` positions in the item table.
        target: float64 `[ratings]`.
        num_users: size of the user table.
        num_items: size of the item table, cold items included.
        content: `[num_items, features]` 0/1 features of every item.
    """

    users: np.ndarray
    items: np.ndarray
    target: np.ndarray
    num_users: int
    num_items: int
    content: sp.csr_matrix

    @property
    def is_implicit(self) -> bool:
        """Whether all targets are alike: it is known who took what up, and nothing of how it was liked."""
        return bool(np.all(self.target == self.target[0]))

    @property
    def mean(self) -> float:
        """Mean target."""
        return float(self.target.mean())

    def counts(self, of: str) -> np.ndarray:
        """Return float64 numbers of ratings of each "users" or "items"."""
        size = self.num_users if of == "users" else self.num_items
        return np.bincount(getattr(self, of), minlength=size).astype(float)

    def matrix(self, values: np.ndarray) -> sp.csr_matrix:
        """Return the sparse `[num_users, num_items]` matrix with one value a rating."""
        return sp.csr_matrix((values, (self.users, self.items)), shape=(self.num_users, self.num_items))


class Baseline(NamedTuple):
    """A method without meta-learning.

    Attributes:
        name: in tables.
        fit: Training -> Predict. What it returns reads the support and the query's items, never the query's targets.
        ranks_only: its scores have no unit, so that errors are not reported.
        affordable: whether the training ratings are few enough for it.
    """

    name: str
    fit: Callable[[Training], Predict]
    ranks_only: bool = False
    affordable: Callable[[Training], bool] = lambda _: True


def training_of(interactions: Interactions, ratings: pl.DataFrame) -> Training:
    """Gather what baselines may know from training ratings."""
    users, items, target = interactions.positions(ratings)
    content = content_features(interactions)
    return Training(users, items, target.astype(float), interactions.users.height, interactions.items.height, content)


def content_features(interactions: Interactions) -> sp.csr_matrix:
    """Return `[num_items, features]`: every value of every category and bag of the items as a 0/1 feature."""
    blocks = [sp.csr_matrix((interactions.items.height, 0))]
    for feature in interactions.features:
        if feature.of == "item" and feature.kind in ("category", "bag"):
            column = interactions.items[feature.name]
            lists = column.cast(pl.List(pl.String)) if feature.kind == "bag" else column.cast(pl.String)
            rows = pl.DataFrame({"row": np.arange(len(column)), "value": lists})
            rows = (rows.explode("value") if feature.kind == "bag" else rows).drop_nulls().unique()
            ids = rows["value"].rank("dense").cast(pl.Int64).to_numpy() - 1
            shape = (len(column), int(ids.max(initial=-1)) + 1)
            blocks.append(sp.csr_matrix((np.ones(len(rows)), (rows["row"].to_numpy(), ids)), shape=shape))
    return sp.csr_matrix(sp.hstack(blocks))


def support_batches(tasks: TaskSet, size: int = 256) -> Iterator[tuple[np.ndarray, TaskSet]]:
    """Yield (positions, tasks) in order of support length, each batch cut to its longest support."""
    have = tasks.support_mask.sum(axis=1)
    order = np.argsort(have, kind="stable")
    for first in range(0, len(order), size):
        positions = order[first : first + size]
        yield positions, tasks.take(positions).k_shot(int(have[positions].max(initial=0)))


def in_batches(predict: Predict, size: int = 256) -> Predict:
    """Apply a prediction batch by batch, for those that hold `[tasks, support, query]` or `[tasks, items]` at once."""

    def predict_all(tasks: TaskSet) -> np.ndarray:
        means = np.zeros(tasks.query_mask.shape)
        for positions, batch in support_batches(tasks, size):
            means[positions] = predict(batch)
        return means

    return predict_all
