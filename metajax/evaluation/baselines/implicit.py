"""Baselines of who rated what, whatever the rating, beside EASE: they rank only."""

from functools import partial

import numpy as np
import scipy.sparse as sp

from metajax.evaluation.baselines.base import (
    MOST_ITEMS,
    Baseline,
    Predict,
    Training,
    in_batches,
    sums_over_support,
    supports,
)
from metajax.tasks.taskset import TaskSet


def implicit_als(
    *,
    factors: int = 64,
    weight: float = 10.0,
    penalty: float = 30.0,
    sweeps: int = 10,
    seed: int = 0,
    name: str = "iALS fold-in",
) -> Baseline:
    """Score p^T q, with 1 wanted where there is a rating, 0 elsewhere; the new user's p by the same equation.

    Args:
        factors: length of p and q.
        weight: by which a rating counts more than none.
        penalty: of factors, in training and for the new user.
        sweeps: over users and then items.
        seed: of the initial factors.
        name: in tables.

    References:
        Hu, Koren and Volinsky, 2008, "Collaborative filtering for implicit feedback datasets", eq. 4 and 5.
        https://doi.org/10.1109/ICDM.2008.22
    """

    def fit(training: Training) -> Predict:
        seen = _seen(training)
        by_item = sp.csr_matrix(seen.T)
        item = np.random.default_rng(seed).normal(0, 0.1, (training.num_items, factors)).astype(np.float32)
        item[training.counts("items") == 0] = 0
        for _ in range(sweeps):
            user = _solve(seen, item, weight, penalty)
            item = _solve(by_item, user, weight, penalty)

        def predict(tasks: TaskSet) -> np.ndarray:
            user = _solve(supports(tasks, training.num_items), item, weight, penalty)
            return _at_query(user @ item.T, tasks)

        return in_batches(predict)

    return Baseline(name, fit, ranks_only=True)


def cosine_knn(*, shrinkage: float = 20.0, power: float = 0.5, name: str = "item-kNN of clicks") -> Baseline:
    """Score by the sum of an item's similarities to what the user has rated: common raters over (n_i n_j)^power.

    All rated items count: the supports of cold users are short.

    Args:
        shrinkage: added to both numbers of raters.
        power: 0.5 is the cosine; below it, popular items come first.
        name: in tables.

    References:
        Sarwar et al., 2001, "Item-based collaborative filtering recommendation algorithms", section 3.1.1.
        https://doi.org/10.1145/371920.372071
    """

    def fit(training: Training) -> Predict:
        raters = np.maximum(training.counts("items"), 1) + shrinkage  # an item without raters has no column either
        if _common_raters_pay(training):
            per_item = (raters**-power).astype(np.float32)
            similarity = training.common_raters * per_item[:, None] * per_item
            np.fill_diagonal(similarity, 0)  # an item is not similar to itself
            return in_batches(partial(sums_over_support, matrix=similarity), 64)
        scaled = sp.csr_matrix(_seen(training) @ sp.diags(raters**-power).astype(np.float32))
        of_items = sp.csr_matrix(scaled.T)

        def predict(tasks: TaskSet) -> np.ndarray:
            rated = supports(tasks, training.num_items)
            own = np.asarray(of_items.multiply(of_items).sum(axis=1)).T
            return _at_query((rated @ of_items @ scaled - rated.multiply(own)).toarray(), tasks)

        return in_batches(predict)

    return Baseline(name, fit, ranks_only=True)


def _common_raters_pay(training: Training) -> bool:
    """Say whether adding up rows of items by items is less work than going by way of the raters."""
    ratings, items = len(training.target), training.num_items
    by_raters = ratings / items * ratings / training.num_users  # of one rated item: its raters, and all that they rated
    return items <= MOST_ITEMS and by_raters > 4 * items


def _seen(training: Training) -> sp.csr_matrix:
    return training.matrix(np.ones(len(training.target), np.float32))


def _at_query(everything: np.ndarray, tasks: TaskSet) -> np.ndarray:
    return np.take_along_axis(np.asarray(everything), tasks.query_items, axis=1)


def _solve(seen: sp.csr_matrix, other: np.ndarray, weight: float, penalty: float) -> np.ndarray:
    """Solve every row's weighted ridge regression on the other side's factors."""
    width = other.shape[1]
    everywhere = other.T @ other + penalty * np.eye(width, dtype=other.dtype)
    have = np.diff(seen.indptr)
    solved = np.zeros((len(have), width), other.dtype)
    for first in range(0, len(have), 1024):
        rows = first + np.flatnonzero(have[first : first + 1024])
        systems = np.empty((len(rows), width, width), other.dtype)
        for place, row in enumerate(rows):
            its = other[seen.indices[seen.indptr[row] : seen.indptr[row + 1]]]
            systems[place] = everywhere + weight * (its.T @ its)
        wanted = (1 + weight) * np.asarray(seen[rows] @ other)
        solved[rows] = np.linalg.solve(systems, wanted[..., None])[..., 0]
    return solved
