"""How sure a number is: bootstrap over users, the paired sign-flip test, Holm's correction.

The user is the unit: values come averaged over draws and seeds. Columns are statistics that share users, so that one
set of resamples serves a whole table and differences between its columns are paired. NaN: undefined for that user.
"""

from collections.abc import Iterator

import numpy as np

RESAMPLES = 2_000
FLIPS = 10_000
TILTED = 200
"""Patterns drawn for a p-value that `FLIPS` cannot tell: its logarithm is right to some tenths."""
FEW = 10
"""Patterns that reach the observed sum: of fewer their share says little, and is never 0, however strong an effect."""
_CHUNK = 500
_TIE, _EQUAL = 1e-12, 1e-9


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
        the share of all patterns by importance sampling, so that a correction for many comparisons does not end at
        1 / flips; 1 for a column without differences.

    References:
        Phipson and Smyth, 2010, "Permutation p-values should never be zero". https://doi.org/10.2202/1544-6115.1585
        Siegmund, 1976, "Importance sampling in the Monte Carlo study of sequential tests".
        https://doi.org/10.1214/aos/1176343541
    """
    filled = np.where(np.isfinite(differences), differences, 0.0)
    # Averages of equal values differ in their last digits: those users are equal.
    filled[np.abs(filled) < _EQUAL * np.abs(filled).max(axis=0, initial=0.0)] = 0.0
    # A pattern that ties with the observed one counts, whatever the order in which floats were added.
    observed = np.abs(filled.sum(axis=0)) - _TIE * np.abs(filled).sum(axis=0)
    random = np.random.default_rng(seed)
    reached = np.zeros(filled.shape[1])
    for rows in _chunks(flips):
        signs = 2.0 * random.integers(2, size=(rows.stop - rows.start, len(filled)), dtype=np.int8) - 1.0
        reached += (np.abs(signs @ filled) >= observed).sum(axis=0)
    p = (1 + reached) / (1 + flips)
    few = reached < FEW
    p[few] = _tail(filled[:, few], p[few], seed)
    return p


def _tail(differences: np.ndarray, otherwise: np.ndarray, seed: int) -> np.ndarray:
    """Return `[columns]` the share of all sign patterns whose |sum| reaches the observed one, by importance sampling.

    Signs are drawn tilted, P(-) = 1 / (1 + exp(2 s |d|)), with s such that their sum is the observed one on average;
    each pattern that reaches it then counts by its likelihood ratio, exp(K(s) - s sum), K(s) = sum of log cosh(s d).
    That has no bias whatever the sizes: approximations of the tail miss where few differences are large. The share is
    never below that of the two patterns which are the observed one and its mirror image; `otherwise` it is, where no
    pattern that was drawn reaches the sum.
    """
    share = otherwise.copy()
    drawn = np.random.default_rng(seed).random((TILTED, len(differences)), np.float32)
    for column, sizes in enumerate(np.abs(differences).T):
        takes_part, total, observed = sizes > 0, sizes.sum(), abs(differences[:, column].sum())
        if not observed > 0:
            continue
        sizes, least = sizes[takes_part], 2.0 ** (1 - takes_part.sum())
        if total - observed < _TIE * total:
            share[column] = least
            continue
        scaled = _tilt(sizes, observed) * sizes
        base = np.log1p(np.exp(-2 * scaled)).sum() - len(sizes) * np.log(2)
        is_minus = drawn[:, takes_part] < 1 / (1 + np.exp(np.minimum(2 * scaled, 700)))
        lost, ratio = (is_minus @ np.stack([sizes, scaled], axis=1)).T
        reaches = 2 * lost <= total - observed + _TIE * total
        if reaches.any():
            share[column] = max(2 * np.exp(base + 2 * ratio[reaches]).sum() / TILTED, least)
    return np.minimum(share, 1)


def _tilt(sizes: np.ndarray, observed: float) -> float:
    """Return s with sum of d tanh(s d) = observed, less than that of d: by Newton's method, which comes from below."""
    s = 0.0
    for _ in range(200):
        tanh = np.tanh(s * sizes)
        missing = observed - sizes @ tanh
        if missing < 1e-9 * observed:
            break
        s += float(missing / (sizes**2 @ (1 - tanh**2)))
    return s


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
