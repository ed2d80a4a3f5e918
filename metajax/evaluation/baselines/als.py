"""Biased matrix factorisation by alternating least squares, with ridge fold-in of the new user.

References:
    Koren et al., 2009, "Matrix factorization techniques for recommender systems". https://doi.org/10.1109/MC.2009.263
"""

import numpy as np

from metajax.data.factorization import biased_factors, design
from metajax.evaluation.baselines.base import Baseline, Predict, Training, in_batches
from metajax.evaluation.baselines.bias import fit_biases
from metajax.tasks.taskset import TaskSet


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
            support = design(item)[tasks.support_items] * tasks.support_mask[..., None]
            residual = (tasks.support_target - mean - item[tasks.support_items, 0]) * tasks.support_mask
            system = np.einsum("tsd,tse->tde", support, support) + ridge
            user = np.linalg.solve(system, np.einsum("tsd,ts->td", support, residual)[..., None])[..., 0]
            query = design(item)[tasks.query_items]
            return mean + item[tasks.query_items, 0] + np.einsum("tqd,td->tq", query, user)

        return in_batches(predict)

    return Baseline(name, fit)


def fit_items(
    training: Training, factors: int, penalty: float, bias_penalty: float, sweeps: int, seed: int
) -> np.ndarray:
    """Return `[num_items, 1 + factors]`: each item's bias and factors."""
    _, item = biased_factors(
        training.users,
        training.items,
        training.target - training.mean,
        num_users=training.num_users,
        num_items=training.num_items,
        factors=factors,
        penalty=penalty,
        bias_penalty=bias_penalty,
        sweeps=sweeps,
        seed=seed,
    )
    rated = training.counts("items") > 0
    item[~rated, 0] = fit_biases(training).item[~rated]
    return item
