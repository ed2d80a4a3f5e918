"""Item-kNN on what the biases leave, with the new user folded in from the support.

References:
    Sarwar et al., 2001, "Item-based collaborative filtering recommendation algorithms".
    https://doi.org/10.1145/371920.372071
"""

import numpy as np

from metajax.errors import ConfigError
from metajax.evaluation.baselines.base import MOST_ITEMS, Baseline, Predict, Training, in_batches
from metajax.evaluation.baselines.bias import bias_predictions, fit_biases
from metajax.tasks.taskset import TaskSet


def item_knn(
    *,
    neighbours: int = 30,
    shrinkage: float = 30.0,
    damping: float = 0.5,
    user_damping: float = 3.0,
    name: str = "item-kNN",
) -> Baseline:
    """Predict bias + sum s_ij r_j / (sum |s_ij| + damping) over the nearest rated items j.

    s is the cosine of two items' residuals, times n / (n + shrinkage), with n their common raters.

    Args:
        neighbours: most items of the support that count.
        shrinkage: pulls similarities of few common raters towards 0.
        damping: pulls predictions towards the bias.
        user_damping: of the new user's bias.
        name: in tables.
    """

    def fit(training: Training) -> Predict:
        if training.num_items > MOST_ITEMS:
            raise ConfigError(f"item-kNN holds a matrix of items by items; {training.num_items} are over {MOST_ITEMS}.")
        biases = fit_biases(training)
        similarity = _similarities(training, biases.item, biases.user, shrinkage)

        def predict(tasks: TaskSet) -> np.ndarray:
            support, query = bias_predictions(biases, tasks, user_damping)
            residual = (tasks.support_target - support) * tasks.support_mask
            alike = similarity[tasks.support_items[:, :, None], tasks.query_items[:, None, :]]
            alike = np.maximum(alike, 0) * tasks.support_mask[:, :, None]
            if alike.shape[1] > neighbours:
                least = np.partition(alike, -neighbours, axis=1)[:, -neighbours][:, None, :]
                alike = np.where(alike >= least, alike, 0)
            return query + np.einsum("tsq,ts->tq", alike, residual) / (alike.sum(axis=1) + damping)

        return in_batches(predict, 64)

    return Baseline(name, fit, affordable=lambda training: training.num_items <= MOST_ITEMS)


def _similarities(training: Training, item: np.ndarray, user: np.ndarray, shrinkage: float) -> np.ndarray:
    residual = training.target - training.mean - item[training.items] - user[training.users]
    matrix = training.matrix(residual.astype(np.float32))
    products, common = (matrix.T @ matrix).toarray(), training.common_raters
    norms = np.sqrt(np.maximum(products.diagonal(), 1e-12))
    similarity = products / norms[:, None] / norms[None, :] * (common / (common + shrinkage))
    np.fill_diagonal(similarity, 0)
    return similarity
