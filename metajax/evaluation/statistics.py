"""How sure a number is: bootstrap over users, the paired sign-flip test, Holm's correction.

The user is the unit: values come averaged over draws and seeds. Columns are statistics that share users, so that one
set of resamples serves a whole table and differences between its columns are paired. NaN: undefined for that user.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import norm

RESAMPLES = 2_000
FLIPS = 10_000
FEW = 10
"""Patterns that reach the observed sum: of fewer their share says little, and is never 0, however strong an effect."""
_CHUNK = 500
_TIE = 1e-12


def bootstrap_means(values: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Resample users with replacement and return the means.

    Two calls with as many users and the same seed draw the same users: the difference of their results is paired. For
    a statistic such as RMSE, apply the square root to the result and take percentiles then.

    Args:
        values: `[users, columns]`; NaN users of a column are left out of its means.
        seed: of the draws.
        resamples: how many.

    Returns:
        float64 `[resamples, columns]`; NaN where a resample drew no user for whom the column is defined.

    References:
        Efron, 1979, "Bootstrap methods: another look at the jackknife". https://doi.org/10.1214/aos/1176344552
    """
    defined = np.isfinite(values)
    filled = np.where(defined, values, 0.0)
    weights = defined.astype(np.float64)
    num_users = len(values)
    random = np.random.default_rng(seed)
    means = np.full((resamples, values.shape[1]), np.nan)
    for rows in _chunks(resamples if num_users else 0):
        drawn = random.integers(num_users, size=(rows.stop - rows.start, num_users))
        drawn += np.arange(len(drawn))[:, None] * num_users
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        total = counts @ weights
        np.divide(counts @ filled, total, out=means[rows], where=total > 0)
    return means


def sign_flip_test(differences: np.ndarray, *, seed: int, flips: int = FLIPS) -> np.ndarray:
    """Test per column whether paired differences are symmetric about zero, two-sided.

    Args:
        differences: `[users, columns]`, method minus reference; a NaN user takes no part.
        seed: of the flips.
        flips: how many random sign patterns.

    Returns:
        `[columns]` p = (1 + patterns whose |sum| reaches the observed one) / (1 + flips); where fewer than `FEW` do,
        the share of all patterns by a saddlepoint, so that a correction for many comparisons does not end at 1 / flips;
        1 for a column without differences.

    References:
        Phipson and Smyth, 2010, "Permutation p-values should never be zero". https://doi.org/10.2202/1544-6115.1585
        Robinson, 1982, "Saddlepoint approximations for permutation tests". https://www.jstor.org/stable/2345420
    """
    filled = np.where(np.isfinite(differences), differences, 0.0)
    # A pattern that ties with the observed one counts, whatever the order in which floats were added.
    observed = np.abs(filled.sum(axis=0)) - _TIE * np.abs(filled).sum(axis=0)
    random = np.random.default_rng(seed)
    reached = np.zeros(filled.shape[1])
    for rows in _chunks(flips):
        signs = 2.0 * random.integers(2, size=(rows.stop - rows.start, len(filled)), dtype=np.int8) - 1.0
        reached += (np.abs(signs @ filled) >= observed).sum(axis=0)
    p = (1 + reached) / (1 + flips)
    few = reached < FEW
    p[few] = _tail(filled[:, few])
    return p


def _tail(differences: np.ndarray) -> np.ndarray:
    """Return `[columns]` the share of all sign patterns whose |sum| reaches the observed one, by Lugannani and Rice.

    The sum of d_j with random signs has the cumulants' function K(s) = sum of log cosh(s d_j); s is where K'(s) is the
    observed sum, less half of the least step between two sums (the continuity correction, where all d_j are one size).
    The share is never below that of the two patterns which are the observed one and its mirror image.
    """
    sizes = np.abs(differences)
    smallest = np.where(sizes > 0, sizes, np.inf).min(axis=0, initial=np.inf)
    observed, largest = np.abs(differences.sum(axis=0)) - smallest, np.maximum(sizes.max(axis=0, initial=0), _TIE)
    least = 2.0 ** (1 - (sizes > 0).sum(axis=0))
    low, high = np.zeros_like(observed), 50 / largest
    for _ in range(60):
        s = (low + high) / 2
        is_low = (sizes * np.tanh(s * sizes)).sum(axis=0) < observed
        low, high = np.where(is_low, s, low), np.where(is_low, high, s)
    scaled = s * sizes
    log_cosh = scaled + np.log1p(np.exp(-2 * scaled)) - np.log(2)
    r = np.sqrt(np.maximum(2 * (s * observed - log_cosh.sum(axis=0)), _TIE))
    u = s * np.sqrt((sizes**2 / np.cosh(scaled) ** 2).sum(axis=0))
    is_edge = u < r * 1e-3  # nearly all differences have one sign: no curvature is left
    share = norm.sf(r) + norm.pdf(r) * (1 / np.where(is_edge, 1, u) - 1 / r)
    return np.clip(np.where(is_edge, 0, 2 * share), least, 1)


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values `[comparisons]` of one table for their number, by Holm's step-down procedure.

    References:
        Holm, 1979, "A simple sequentially rejective multiple test procedure". https://www.jstor.org/stable/4615733
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _chunks(total: int) -> Iterator[slice]:
    """Cut `total` repetitions so that the matrix of a chunk stays small."""
    for start in range(0, total, _CHUNK):
        yield slice(start, min(start + _CHUNK, total))
