"""What a baseline is: fitted to training ratings, then a prediction per query row of fixed tasks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy.sparse as sp

from metajax.data import Interactions
from metajax.data.content_vectors import VectorView
from metajax.data.texts import VECTOR as TEXT_VECTOR
from metajax.tasks.taskset import TaskSet

MOST_ITEMS = 15_000
"""Baselines hold matrices of items by items up to so many."""
MOST_NUMBERS = 20_000_000
"""Of the vectors of all items: beyond, baselines leave them out."""
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
        content: `[num_items, features]` of every item; see `content_features`.
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

    @cached_property
    def common_raters(self) -> np.ndarray:
        """Float32 `[num_items, num_items]`: how many users have rated both items. For few thousands of items."""
        seen = self.matrix(np.ones(len(self.target), np.float32))
        return (seen.T @ seen).toarray(order="C")  # products with sparse matrices copy any other order

    @cached_property
    def content_products(self) -> np.ndarray:
        """Float32 `[num_items, num_items]` inner products of the items' content. For few thousands of items."""
        return products(sp.csr_matrix(self.content, dtype=np.float32))

    def matrix(self, values: np.ndarray) -> sp.csr_matrix:
        """Return the sparse `[num_users, num_items]` matrix with one value a rating."""
        return sp.csr_matrix((values, (self.users, self.items)), shape=(self.num_users, self.num_items))


class Baseline(NamedTuple):
    """A method without meta-learning.

    Attributes:
        name: in tables.
        fit: Training -> Predict. What it returns reads the support and the query's items, never the query's targets.
        ranks_only: its scores have no unit, so that errors are not reported.
        affordable: whether the training ratings are few enough for it, and tell what it needs.
        is_chance: it knows nothing, and learners are not tested against it.
    """

    name: str
    fit: Callable[[Training], Predict]
    ranks_only: bool = False
    affordable: Callable[[Training], bool] = lambda _: True
    is_chance: bool = False


def in_units(baseline: Baseline, unit: float) -> Baseline:
    """Divide targets by the unit before the baseline sees them, and multiply what it predicts, but for what only ranks.

    Penalties and dampings then mean on any scale what they mean on that of stars.
    """
    if unit == 1 or baseline.ranks_only:
        return baseline

    def fit(training: Training) -> Predict:
        predict = baseline.fit(replace(training, target=training.target / unit))
        return lambda tasks: unit * predict(replace(tasks, support_target=tasks.support_target / unit))

    return baseline._replace(fit=fit)


def training_of(interactions: Interactions, ratings: pl.DataFrame) -> Training:
    """Gather what baselines may know from training ratings."""
    users, items, target = interactions.positions(ratings)
    content = content_features(interactions)
    return Training(users, items, target.astype(float), interactions.users.height, interactions.items.height, content)


def content_features(interactions: Interactions) -> sp.csr_matrix:
    """Return `[num_items, features]` of what is known of items.

    Every value of every category and bag is a 0/1 feature. A declared vector, and the vectors of texts, are the
    direction in which they differ from their mean: of length 1, so that a penalty means for them what it means for one
    value. Vectors of more than `MOST_NUMBERS` numbers in all are left out.
    """
    items, blocks = interactions.items, [sp.csr_matrix((interactions.items.height, 0))]
    for feature in interactions.features:
        if feature.of == "item" and feature.kind in ("category", "bag"):
            column = items[feature.name]
            lists = column.cast(pl.List(pl.String)) if feature.kind == "bag" else column.cast(pl.String)
            rows = pl.DataFrame({"row": np.arange(len(column)), "value": lists})
            rows = (rows.explode("value") if feature.kind == "bag" else rows).drop_nulls().unique()
            ids = rows["value"].rank("dense").cast(pl.Int64).to_numpy() - 1
            shape = (len(column), int(ids.max(initial=-1)) + 1)
            blocks.append(sp.csr_matrix((np.ones(len(rows)), (rows["row"].to_numpy(), ids)), shape=shape))
    vectors = [one.name for one in interactions.features if one.of == "item" and one.kind == "vector"]
    for name in dict.fromkeys((*vectors, *(column for column in items.columns if column == TEXT_VECTOR))):
        view = VectorView.fit(items[name])
        if view is not None and items.height * len(view.centre) <= MOST_NUMBERS:
            blocks.append(sp.csr_matrix(view.matrix(items)))
    return sp.csr_matrix(sp.hstack(blocks))


def products(rows: sp.csr_matrix) -> np.ndarray:
    """Return `[rows, rows]` inner products; by a dense product where vectors fill the rows."""
    if is_full(rows):
        dense = rows.toarray()
        return dense @ dense.T
    return (rows @ rows.T).toarray()


def is_full(matrix: sp.csr_matrix) -> bool:
    """Say whether dense arithmetic is the shorter way: a content ridge of MovieLens-1M and titles, 2 s and not 40."""
    return bool(matrix.nnz > 0.05 * np.prod(matrix.shape))  # pyright: ignore[reportArgumentType, reportCallIssue]


def support_batches(tasks: TaskSet, size: int = 256) -> Iterator[tuple[np.ndarray, TaskSet]]:
    """Yield (positions, tasks) in order of support length, each batch cut to its longest support."""
    have = tasks.support_mask.sum(axis=1)
    order = np.argsort(have, kind="stable")
    for first in range(0, len(order), size):
        positions = order[first : first + size]
        yield positions, tasks.take(positions).k_shot(int(have[positions].max(initial=0)))


def supports(tasks: TaskSet, num_items: int) -> sp.csr_matrix:
    """Return float32 `[tasks, num_items]`, 1 where the support holds the item."""
    rows, columns = np.nonzero(tasks.support_mask > 0)
    items = tasks.support_items[rows, columns]
    return sp.csr_matrix((np.ones(len(rows), np.float32), (rows, items)), shape=(len(tasks), num_items))


def in_support(tasks: TaskSet, num_items: int) -> np.ndarray:
    """Return `[tasks, query rows]`, 1 where the support holds the query's item."""
    if _asks_for_most(tasks, num_items):
        return np.take_along_axis(supports(tasks, num_items).toarray(), tasks.query_items, axis=1)
    same = tasks.support_items[:, :, None] == tasks.query_items[:, None, :]
    return (same & (tasks.support_mask[:, :, None] > 0)).any(axis=1).astype(np.float32)


def sums_over_support(tasks: TaskSet, matrix: np.ndarray) -> np.ndarray:
    """Return `[tasks, query rows]`: the sum of matrix[i, q] over the support's items i, with q the query's item.

    Asked for most of the catalogue, it adds whole rows: of 10,000 items 7 times as fast as picking pairs.
    """
    if _asks_for_most(tasks, len(matrix)):
        return np.take_along_axis(supports(tasks, len(matrix)) @ matrix, tasks.query_items, axis=1)
    pairs = matrix[tasks.support_items[:, :, None], tasks.query_items[:, None, :]]
    return np.einsum("tsq,ts->tq", pairs, tasks.support_mask)


def _asks_for_most(tasks: TaskSet, num_items: int) -> bool:
    return 4 * tasks.query_items.shape[1] > num_items


def in_batches(predict: Predict, size: int = 256) -> Predict:
    """Apply a prediction batch by batch, for those that hold `[tasks, support, query]` or `[tasks, items]` at once."""

    def predict_all(tasks: TaskSet) -> np.ndarray:
        means = np.zeros(tasks.query_mask.shape)
        for positions, batch in support_batches(tasks, size):
            means[positions] = predict(batch)
        return means

    return predict_all
