"""EASE: a linear autoencoder on who rated what, whatever the rating. It ranks only.

References:
    Steck, 2019, "Embarrassingly shallow autoencoders for sparse data", eq. 8. https://arxiv.org/abs/1905.03375
"""

from collections.abc import Callable

import numpy as np

from metajax.errors import ConfigError
from metajax.evaluation.baselines.base import Baseline, Predict, Training, in_batches
from metajax.tasks.taskset import TaskSet

MOST = 15_000


def ease(*, penalty: float = 250.0, name: str = "EASE") -> Baseline:
    """Score x B with B_ij = -P_ij / P_jj off the diagonal and 0 on it, P = (X^T X + penalty I)^-1.

    The inverse is of items by items or, by Woodbury's identity, of users by users, whichever is smaller.
    """

    def fit(training: Training) -> Predict:
        times_inverse, diagonal = _inverse(training, penalty)

        def predict(tasks: TaskSet) -> np.ndarray:
            rated = np.zeros((len(tasks), training.num_items), np.float32)
            np.put_along_axis(rated, tasks.support_items, 1.0, axis=1)
            rated[:, 0] = ((tasks.support_items == 0) & (tasks.support_mask > 0)).any(axis=1)  # padding holds item 0
            scores = rated - times_inverse(rated) / diagonal
            return np.take_along_axis(scores, tasks.query_items, axis=1)

        return in_batches(predict)

    return Baseline(name, fit, ranks_only=True)


def _inverse(training: Training, penalty: float) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Return x -> x P, and the diagonal of P."""
    seen = training.matrix(np.ones(len(training.target)))
    if min(seen.shape) > MOST:
        raise ConfigError(
            f"EASE inverts a matrix of the smaller side; {min(seen.shape)} users or items are over {MOST}."
        )
    if training.num_items <= training.num_users:
        inverse = np.linalg.inv((seen.T @ seen).toarray() + penalty * np.eye(training.num_items))
        return lambda rated: rated @ inverse, inverse.diagonal()
    middle = np.linalg.inv((seen @ seen.T).toarray() + penalty * np.eye(training.num_users))
    dense = seen.toarray().astype(np.float32)
    # P = (I - X^T M X) / penalty, with M = (X X^T + penalty I)^-1
    diagonal = (1 - np.einsum("ui,uv,vi->i", dense, middle, dense, optimize=True)) / penalty
    return lambda rated: (rated - (rated @ dense.T) @ middle @ dense) / penalty, diagonal
