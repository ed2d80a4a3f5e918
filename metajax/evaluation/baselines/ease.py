"""EASE: a linear autoencoder on who rated what, whatever the rating. It ranks only.

References:
    Steck, 2019, "Embarrassingly shallow autoencoders for sparse data", eq. 8. https://arxiv.org/abs/1905.03375
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from metajax.data.inverse import positive_inverse
from metajax.errors import ConfigError
from metajax.evaluation.baselines.base import (
    MOST_ITEMS,
    Baseline,
    Predict,
    Training,
    in_batches,
    in_support,
    sums_over_support,
)
from metajax.tasks.taskset import TaskSet

MOST_CELLS = 2**28
"""Users by items that are held at once: 1 GB, and twice that while the diagonal is made."""


def ease(*, penalty: float = 250.0, name: str = "EASE") -> Baseline:
    """Score x B with B_ij = -P_ij / P_jj off the diagonal and 0 on it, P = (X^T X + penalty I)^-1.

    The inverse is of items by items or, by Woodbury's identity, of users by users, whichever is smaller.
    """

    def fit(training: Training) -> Predict:
        products, diagonal = _inverse(training, penalty)

        def predict(tasks: TaskSet) -> np.ndarray:
            return in_support(tasks, training.num_items) - products(tasks) / diagonal[tasks.query_items]

        return in_batches(predict, 64)

    return Baseline(name, fit, ranks_only=True, affordable=_is_affordable)


def _is_affordable(training: Training) -> bool:
    """Say whether the inverse fits in memory and, where it is of users, who has rated what."""
    cells = 0 if training.num_items <= training.num_users else training.num_items * training.num_users
    return _smaller_side(training) <= MOST_ITEMS and cells <= MOST_CELLS


def _smaller_side(training: Training) -> int:
    return min(training.num_items, training.num_users)


def _inverse(training: Training, penalty: float) -> tuple[Callable[[TaskSet], np.ndarray], np.ndarray]:
    """Return tasks -> (x P) at the query items, with x the support as 0/1 of every item, and the diagonal of P."""
    if (smaller := _smaller_side(training)) > MOST_ITEMS:
        raise ConfigError(f"EASE inverts a matrix of the smaller side; {smaller} users or items are over {MOST_ITEMS}.")
    if training.num_items <= training.num_users:
        inverse = positive_inverse(training.common_raters + penalty * np.eye(training.num_items))
        small = inverse.astype(np.float32)
        return partial(sums_over_support, matrix=small), inverse.diagonal()
    seen = training.matrix(np.ones(len(training.target)))
    middle = positive_inverse((seen @ seen.T).toarray() + penalty * np.eye(training.num_users))
    raters = seen.T.astype(np.float32).toarray(order="C")  # [items, users]
    # P = (I - X^T M X) / penalty, with M = (X X^T + penalty I)^-1
    diagonal = (1 - np.einsum("iu,iu->i", raters @ middle, raters)) / penalty

    def products_by_users(tasks: TaskSet) -> np.ndarray:
        rated = np.einsum("tsu,ts->tu", raters[tasks.support_items], tasks.support_mask)
        everything = (rated @ middle) @ raters.T
        at_query = np.take_along_axis(everything, tasks.query_items, axis=1)
        return (in_support(tasks, len(raters)) - at_query) / penalty

    return products_by_users, diagonal
