"""Biased matrix factorisation, by alternating least squares or with beliefs, and variance components.

References:
    Bishop, 2006, "Pattern recognition and machine learning", sections 3.5.1 and 10.1.
    Koren et al., 2009, "Matrix factorization techniques for recommender systems". https://doi.org/10.1109/MC.2009.263
    Lim and Teh, 2007, "Variational Bayesian approach to movie rating prediction", KDD Cup and Workshop.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

ROWS_AT_ONCE = 10_000
LEAST_SHARE = 1e-4
"""Of the variance of all ratings, that users, items and noise are each taken to have."""


class VarianceComponents(NamedTuple):
    """Ratings less their mean as b_u + b_i + noise, each a Gaussian.

    Attributes:
        user: deviation of b_u among users.
        item: deviation of b_i among items.
        noise: deviation of the noise.
        mean_user: mean of b_u, of users alike: not 0 where those who rate much rate otherwise.
    """

    user: float
    item: float
    noise: float
    mean_user: float


def find_variance_components(
    users: np.ndarray, items: np.ndarray, centred: np.ndarray, *, num_users: int, num_items: int, sweeps: int = 100
) -> VarianceComponents:
    """Find how much users, items and single ratings vary, by mean-field expectation maximisation.

    Args:
        users: int `[rows]` positions.
        items: int `[rows]` positions.
        centred: `[rows]` targets less their mean.
        num_users: how many there are, each with a row.
        num_items: how many there are, each with a row.
        sweeps: at most; fewer where nothing moves any more.
    """
    of_user, of_item = np.bincount(users, minlength=num_users), np.bincount(items, minlength=num_items)
    b_user, b_item, total = np.zeros(num_users), np.zeros(num_items), float(centred.var()) or 1.0
    variances = np.array([0.25, 0.25, 0.5]) * total  # of users, of items, of the noise
    for _ in range(sweeps):
        before, (user, item, noise) = variances, variances
        var_user = 1 / (of_user / noise + 1 / user)
        b_user = var_user / noise * np.bincount(users, centred - b_item[items], minlength=num_users)
        var_item = 1 / (of_item / noise + 1 / item)
        b_item = var_item / noise * np.bincount(items, centred - b_user[users], minlength=num_items)
        left = np.mean((centred - b_user[users] - b_item[items]) ** 2 + var_user[users] + var_item[items])
        found = np.array([np.mean(b_user**2 + var_user), np.mean(b_item**2 + var_item), left])
        variances = np.maximum(found, LEAST_SHARE * total)
        if np.abs(np.log(variances / before)).max() < 1e-3:
            break
    user, item, noise = np.sqrt(variances).tolist()
    return VarianceComponents(user, item, noise, float(b_user.mean()))


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
    ridge = np.diag([bias_penalty] + [penalty] * factors)
    sizes, choices = (num_users, num_items), {"sweeps": sweeps, "seed": seed}
    return _by_turns(users, items, centred, sizes, (ridge, ridge), **choices)[:2]


def believed_factors(
    users: np.ndarray,
    items: np.ndarray,
    centred: np.ndarray,
    *,
    num_users: int,
    num_items: int,
    user_variances: np.ndarray,
    item_variances: np.ndarray,
    noise_variance: float,
    sweeps: int = 12,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what ratings say of the biases and factors of items, by mean-field variational inference.

    Where y = b_u + b_i + p_u^T q_i + noise, all Gaussians about 0, a user's (b_u, p_u) and an item's (b_i, q_i) have a
    Gaussian belief each. Users' and items' beliefs are found by turns, as by `biased_factors`, but that each regression
    knows how unsure the other side is. Of few ratings an item it fits no chance: docs/flagship.md, "On few
    ratings", has what that buys.

    Args:
        users: int `[rows]` positions.
        items: int `[rows]` positions.
        centred: `[rows]` targets less their mean.
        num_users: how many there are.
        num_items: how many there are.
        user_variances: `[1 + factors]` of the prior of b_u and p_u; positive.
        item_variances: `[1 + factors]` of the prior of b_i and q_i; positive.
        noise_variance: positive.
        sweeps: over users and then items.
        seed: of the initial factors.

    Returns:
        Means and deviations, `[num_items, 1 + factors]`; of an item without rows, the prior's.
    """
    ridges = np.diag(noise_variance / user_variances), np.diag(noise_variance / item_variances)
    sizes, choices = (num_users, num_items), {"noise_variance": noise_variance, "sweeps": sweeps, "seed": seed}
    _, item, unsure = _by_turns(users, items, centred, sizes, ridges, **choices)
    one, two = np.triu_indices(len(item_variances))
    return item, np.sqrt(unsure[:, one == two])


def _by_turns(
    users: np.ndarray,
    items: np.ndarray,
    centred: np.ndarray,
    sizes: tuple[int, int],
    ridges: tuple[np.ndarray, np.ndarray],
    *,
    sweeps: int,
    seed: int,
    noise_variance: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve for all users, then for all items, and so on; return both, and items' covariances as `_solve` does."""
    from scipy.sparse import csr_matrix  # a service, which fits nothing, does without

    (ridge, item_ridge), rng = ridges, np.random.default_rng(seed)
    item = np.hstack([np.zeros((sizes[1], 1)), rng.normal(0, 0.1, (sizes[1], len(ridge) - 1))])
    item[np.bincount(items, minlength=sizes[1]) == 0] = 0
    matrix = lambda values: csr_matrix((values, (users, items)), shape=sizes)  # noqa: E731
    seen = matrix(np.ones(len(centred)))
    by_item, user, unsure = seen.T.tocsr(), np.zeros((sizes[0], len(ridge))), None
    for _ in range(sweeps):
        user, of_users = _solve(seen, matrix(centred - item[items, 0]), item, ridge, unsure, noise_variance)
        residual = matrix(centred - user[users, 0]).T.tocsr()
        item, unsure = _solve(by_item, residual, user, item_ridge, of_users, noise_variance)
    return user, item, np.empty((0, 0)) if unsure is None else unsure


def design(vectors: np.ndarray) -> np.ndarray:
    """Return [1, factors]: what the other side's (bias, factors) multiply."""
    return np.hstack([np.ones((len(vectors), 1)), vectors[:, 1:]])


def _solve(
    seen: Any,
    residual: Any,
    other: np.ndarray,
    ridge: np.ndarray,
    unsure: np.ndarray | None = None,
    noise_variance: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Solve every row's ridge regression on the other side's bias and factors at once.

    Args:
        seen: sparse `[rows, others]`, 1 where there is a rating.
        residual: sparse `[rows, others]` ratings less the other side's bias.
        other: `[others, 1 + factors]` bias and factors of the other side, or the means of beliefs about them.
        ridge: `[1 + factors, 1 + factors]` penalties; noise variance over prior variances.
        unsure: `[others, (1 + factors) (2 + factors) / 2]` covariances of those beliefs, upper triangles; None, or no
            rows, where there are none.
        noise_variance: to return covariances too, as `unsure` has them; there are none by default.
    """
    given = design(other)
    one, two = np.triu_indices(len(ridge))
    outer, with_bias = given[:, one] * given[:, two], None
    if unsure is not None and len(unsure):
        outer += np.where(one > 0, unsure, 0)  # the design's first column is 1, of which there is no doubt
        with_bias = np.hstack([np.zeros((len(other), 1)), unsure[:, 1 : len(ridge)]])
    solved = np.empty((len(seen.indptr) - 1, len(ridge)))
    covariances = np.empty((0 if noise_variance is None else len(solved), len(one)), np.float32)

    def solve_some(first: int) -> None:
        rows = slice(first, first + ROWS_AT_ONCE)
        wanted = residual[rows] @ given
        if with_bias is not None:
            wanted -= seen[rows] @ with_bias
        systems = np.empty((len(wanted), *ridge.shape))
        systems[:, one, two] = systems[:, two, one] = seen[rows] @ outer
        if noise_variance is None:
            solved[rows] = np.linalg.solve(systems + ridge, wanted[..., None])[..., 0]
            return
        inverses = np.linalg.inv(systems + ridge)
        solved[rows] = (inverses @ wanted[..., None])[..., 0]
        covariances[rows] = noise_variance * inverses[:, one, two]

    with ThreadPoolExecutor() as pool:
        list(pool.map(solve_some, range(0, len(solved), ROWS_AT_ONCE)))
    return solved, covariances
