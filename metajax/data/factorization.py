"""Biased matrix factorisation by alternating least squares.

References:
    Koren et al., 2009, "Matrix factorization techniques for recommender systems". https://doi.org/10.1109/MC.2009.263
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp

ROWS_AT_ONCE = 10_000


def biased_factors(
    users: np.ndarray,
    items: np.ndarray,
    centred: np.ndarray,
    *,
    num_users: int,
    num_items: int,
    factors: int,
    penalty: float = 4.0,
    bias_penalty: float = 5.0,
    sweeps: int = 12,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Alternate between the ridge regressions of all users on the items' factors and of all items on the users'.

    Each lowers sum (y - b_u - b_i - p_u^T q_i)^2 + penalty (|p|^2 + |q|^2) + bias_penalty (b_u^2 + b_i^2), y the
    centred targets.

    Args:
        users: int `[rows]` positions.
        items: int `[rows]` positions.
        centred: `[rows]` targets less their mean.
        num_users: how many there are.
        num_items: how many there are; one without rows has zeros.
        factors: length of p and q.
        penalty: of factors.
        bias_penalty: of biases.
        sweeps: over users and then items.
        seed: of the initial factors.

    Returns:
        `[num_users, 1 + factors]` and `[num_items, 1 + factors]`: the bias and the factors of each.
    """
    rng = np.random.default_rng(seed)
    item = np.hstack([np.zeros((num_items, 1)), rng.normal(0, 0.1, (num_items, factors))])
    item[np.bincount(items, minlength=num_items) == 0] = 0
    ridge = np.diag([bias_penalty] + [penalty] * factors)
    matrix = lambda values: sp.csr_matrix((values, (users, items)), shape=(num_users, num_items))  # noqa: E731
    seen = matrix(np.ones(len(centred)))
    by_item = seen.T.tocsr()
    user = np.zeros((num_users, 1 + factors))
    for _ in range(sweeps):
        user = _solve(seen, matrix(centred - item[items, 0]), item, ridge)
        item = _solve(by_item, matrix(centred - user[users, 0]).T.tocsr(), user, ridge)
    return user, item


def design(vectors: np.ndarray) -> np.ndarray:
    """Return [1, factors]: what the other side's (bias, factors) multiply."""
    return np.hstack([np.ones((len(vectors), 1)), vectors[:, 1:]])


def _solve(seen: sp.csr_matrix, residual: sp.csr_matrix, other: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Solve every row's ridge regression on the other side's factors at once."""
    given = design(other)
    one, two = np.triu_indices(len(ridge))
    outer = given[:, one] * given[:, two]
    solved = np.empty((len(seen.indptr) - 1, len(ridge)))

    def solve_some(first: int) -> None:
        rows = slice(first, first + ROWS_AT_ONCE)
        wanted = (residual[rows] @ given)[..., None]
        systems = np.empty((len(wanted), *ridge.shape))
        systems[:, one, two] = systems[:, two, one] = seen[rows] @ outer
        solved[rows] = np.linalg.solve(systems + ridge, wanted)[..., 0]

    with ThreadPoolExecutor() as pool:
        list(pool.map(solve_some, range(0, len(solved), ROWS_AT_ONCE)))
    return solved
