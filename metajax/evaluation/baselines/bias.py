"""Damped user and item biases, and a per-user ridge on the items' content on top of them."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from metajax.data.biases import damped_biases
from metajax.evaluation.baselines.base import Baseline, Predict, Training, in_batches, is_full, products
from metajax.tasks.taskset import TaskSet

MOST_ITEMS = 12_000
"""Up to here the inner products of all items' content are held at once; beyond, those of a batch's rated items."""


class Biases(NamedTuple):
    """mu, and b_i of every item; of items without ratings it is estimated from content."""

    mean: float
    item: np.ndarray
    user: np.ndarray


def fit_biases(
    training: Training,
    *,
    damping: float = 5.0,
    sweeps: int = 10,
    content_penalty: float = 6.0,
    content_damping: float = 10.0,
) -> Biases:
    """Find the damped biases of users and items, and estimate those of unrated items.

    Args:
        training: ratings and content.
        damping: pulls biases towards 0.
        sweeps: how often to alternate.
        content_penalty: of the ridge regression of rated items' biases on their content.
        content_damping: a rated item weighs n / (n + content_damping) in that regression.
    """
    num_item = training.counts("items")
    user, item = damped_biases(
        training.users,
        training.items,
        training.target - training.mean,
        num_users=training.num_users,
        num_items=training.num_items,
        damping=damping,
        sweeps=sweeps,
    )
    weight = num_item / (num_item + content_damping)
    estimated = _content_estimate(training, item, weight, content_penalty)
    return Biases(training.mean, np.where(num_item > 0, item, estimated), user)


def damped_bias(*, damping: float = 5.0, user_damping: float = 3.0, name: str = "bias") -> Baseline:
    """Predict mu + b_u + b_i, with b_u = sum of the support's y - mu - b_i over (n + user_damping)."""

    def fit(training: Training) -> Predict:
        biases = fit_biases(training, damping=damping)
        return lambda tasks: bias_predictions(biases, tasks, user_damping)[1]

    return Baseline(name, fit)


def content_ridge(*, penalty: float = 15.0, user_damping: float = 3.0, name: str = "bias + content ridge") -> Baseline:
    """Add to the biases a ridge regression of the support's residuals on the items' content, for each user alone.

    In dual form: k_q^T (K + penalty I)^-1 r, with K the inner products of content.
    """

    def fit(training: Training) -> Predict:
        biases = fit_biases(training)
        content = sp.csr_matrix(training.content, dtype=np.float32)
        whole = training.content_products if training.num_items <= MOST_ITEMS else None

        def predict(tasks: TaskSet) -> np.ndarray:
            support, query = bias_predictions(biases, tasks, user_damping)
            gram, rows, mask = whole, tasks.support_items, tasks.support_mask
            if gram is None:
                rated, places = np.unique(rows, return_inverse=True)
                gram, rows = products(content[rated]), places.reshape(rows.shape)
            system = gram[rows[:, :, None], rows[:, None, :]] * mask[:, :, None] * mask[:, None, :]
            system[:, np.arange(mask.shape[1]), np.arange(mask.shape[1])] += penalty
            residual = (tasks.support_target - support) * mask
            dual = np.linalg.solve(system, residual[..., None])[..., 0] * mask
            if whole is not None:
                return query + np.einsum("tsq,ts->tq", whole[rows[:, :, None], tasks.query_items[:, None, :]], dual)
            of_tasks = np.repeat(np.arange(len(tasks)), mask.shape[1])
            at_support = (of_tasks, tasks.support_items.ravel())
            duals = sp.csr_matrix((dual.ravel(), at_support), shape=(len(tasks), training.num_items))
            weights = sp.csr_matrix(duals @ content).toarray()  # of the content itself, [tasks, features]
            asked, at_query = np.unique(tasks.query_items, return_inverse=True)
            moved = (content[asked] @ weights.T).T
            return query + np.take_along_axis(moved, at_query.reshape(tasks.query_items.shape), axis=1)

        return in_batches(predict, 64)

    return Baseline(name, fit, affordable=lambda training: training.content.shape[1] > 0)  # else it is the bias


def bias_predictions(biases: Biases, tasks: TaskSet, user_damping: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the biases' predictions of support and query, the user's own bias folded in from the support."""
    residual = (tasks.support_target - biases.mean - biases.item[tasks.support_items]) * tasks.support_mask
    user = residual.sum(axis=1) / (tasks.support_mask.sum(axis=1) + user_damping)
    known = biases.mean + user[:, None]
    return known + biases.item[tasks.support_items], known + biases.item[tasks.query_items]


def _content_estimate(training: Training, item: np.ndarray, weight: np.ndarray, penalty: float) -> np.ndarray:
    """Estimate biases from content by weighted ridge regression; densely where vectors fill the content.

    The dense system is the smaller one: of the features, or in dual form of the rated items.
    """
    content, rated = training.content, np.flatnonzero(weight)
    width = int(content.shape[1])  # pyright: ignore[reportOptionalSubscript]
    if width == 0:
        return np.zeros_like(item)
    if is_full(content) and width <= len(rated):
        dense = content.toarray()
        return dense @ np.linalg.solve((dense.T * weight) @ dense + penalty * np.eye(width), dense.T @ (weight * item))
    if is_full(content) and training.num_items <= MOST_ITEMS:
        gram = training.content_products.astype(float)
        system = gram[np.ix_(rated, rated)] + np.diag(penalty / weight[rated])
        return gram[:, rated] @ np.linalg.solve(system, item[rated])
    weighted = sp.diags(weight) @ content
    system = sp.csc_matrix(content.T @ weighted + penalty * sp.identity(width))
    return content @ spsolve(system, weighted.T @ item)
