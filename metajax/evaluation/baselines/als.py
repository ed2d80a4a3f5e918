"""Biased matrix factorisation by alternating least squares, with ridge fold-in of the new user.

References:
    Koren et al., 2009, "Matrix factorization techniques for recommender systems". https://doi.org/10.1109/MC.2009.263
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp

from metajax.evaluation.baselines.base import Baseline, Predict, Training, in_batches
from metajax.evaluation.baselines.bias import fit_biases
from metajax.tasks.taskset import TaskSet

ROWS_AT_ONCE = 10_000


def als_fold_in(
    *,
    factors: int = 16,
    penalty: float = 4.0,
    bias_penalty: float = 5.0,
    sweeps: int = 12,
    fold_in_penalty: float = 4.0,
    fold_in_bias_penalty: float = 3.0,
    seed: int = 0,
    name: str = "ALS fold-in",
) -> Baseline:
    """Predict mu + b_u + b_i + p_u^T q_i, with (b_u, p_u) of a new user by ridge regression on the support.

    An item without ratings has q_i = 0 and the bias that its content suggests.

    Args:
        factors: length of p and q.
        penalty: of factors in training.
        bias_penalty: of biases in training.
        sweeps: over users and then items.
        fold_in_penalty: of a new user's factors.
        fold_in_bias_penalty: of a new user's bias.
        seed: of the initial factors.
        name: in tables.
    """

    def fit(training: Training) -> Predict:
        item = fit_items(training, factors, penalty, bias_penalty, sweeps, seed)
        ridge = np.diag([fold_in_bias_penalty] + [fold_in_penalty] * factors)
        mean = training.mean

        def predict(tasks: TaskSet) -> np.ndarray:
            design = _design(item)[tasks.support_items] * tasks.support_mask[..., None]
            residual = (tasks.support_target - mean - item[tasks.support_items, 0]) * tasks.support_mask
            system = np.einsum("tsd,tse->tde", design, design) + ridge
            user = np.linalg.solve(system, np.einsum("tsd,ts->td", design, residual)[..., None])[..., 0]
            query = _design(item)[tasks.query_items]
            return mean + item[tasks.query_items, 0] + np.einsum("tqd,td->tq", query, user)

        return in_batches(predict)

    return Baseline(name, fit)


def fit_items(
    training: Training, factors: int, penalty: float, bias_penalty: float, sweeps: int, seed: int
) -> np.ndarray:
    """Return `[num_items, 1 + factors]`: each item's bias and factors."""
    rng = np.random.default_rng(seed)
    rated = training.counts("items") > 0
    item = np.hstack([np.zeros((training.num_items, 1)), rng.normal(0, 0.1, (training.num_items, factors))])
    item[~rated] = 0
    ridge = np.diag([bias_penalty] + [penalty] * factors)
    seen = training.matrix(np.ones(len(training.target)))
    by_item = seen.T.tocsr()
    user = np.zeros((training.num_users, 1 + factors))
    for _ in range(sweeps):
        user = _solve(seen, training.matrix(_residual(training, item[training.items, 0])), item, ridge)
        residual = training.matrix(_residual(training, user[training.users, 0]))
        item = _solve(by_item, residual.T.tocsr(), user, ridge)
    item[~rated, 0] = fit_biases(training).item[~rated]
    return item


def _residual(training: Training, bias: np.ndarray) -> np.ndarray:
    return training.target - training.mean - bias


def _design(vectors: np.ndarray) -> np.ndarray:
    """Return [1, factors]: what the other side's (bias, factors) multiply."""
    return np.hstack([np.ones((len(vectors), 1)), vectors[:, 1:]])


def _solve(seen: sp.csr_matrix, residual: sp.csr_matrix, other: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Solve every row's ridge regression on the other side's factors at once."""
    design = _design(other)
    one, two = np.triu_indices(len(ridge))
    outer = design[:, one] * design[:, two]
    solved = np.empty((len(seen.indptr) - 1, len(ridge)))

    def solve_some(first: int) -> None:
        rows = slice(first, first + ROWS_AT_ONCE)
        wanted = (residual[rows] @ design)[..., None]
        systems = np.empty((len(wanted), *ridge.shape))
        systems[:, one, two] = systems[:, two, one] = seen[rows] @ outer
        solved[rows] = np.linalg.solve(systems + ridge, wanted)[..., 0]

    with ThreadPoolExecutor() as pool:
        list(pool.map(solve_some, range(0, len(solved), ROWS_AT_ONCE)))
    return solved
