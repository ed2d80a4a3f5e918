"""Metrics of one task each, over padded arrays `[tasks, rows]`; NaN where a task leaves a metric undefined.

Point predictions are predictive means, clipped to the scale by `clip` first and never rounded. Ranking metrics break
ties by a seeded random permutation, never by storage order: a constant predictor gets the value of chance.

Shared arguments: `scores`, `target` and `mask` are `[tasks, rows]`; `k` is the length of the list; `relevant` is the
least target that counts as relevant; `seed` is of the tie-breaking permutation. All return float64 `[tasks]`.

A prediction of a real row that is not finite raises TrainingError: left out, it would flatter the method.
"""

from typing import Literal

import numpy as np
from scipy.special import ndtr

from metajax.errors import TrainingError

Gain = Literal["exponential", "linear"]


def clip(mean: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Clip predictive means to the (lowest, highest) possible target; what is infinite is no prediction but NaN."""
    return np.where(np.isfinite(mean), np.clip(mean, *scale), np.nan)


def nearest_level(mean: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Round predictive means to the nearest of the ascending `levels`, the lower on a tie.

    For a Gaussian whose levels stand for the intervals half way to their neighbours, this is the predictive median.
    """
    return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, mean)]


def mean_absolute_error(mean: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Average |mean - target| over a task's rows, in units of the target; NaN without rows."""
    return _row_mean(np.abs(mean - target), mask)


def mean_squared_error(mean: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Average (mean - target)^2 over a task's rows; RMSE is the square root of its mean over users."""
    return _row_mean((mean - target) ** 2, mask)


def ndcg(
    scores: np.ndarray, target: np.ndarray, mask: np.ndarray, *, k: int, gain: Gain = "exponential", seed: int = 0
) -> np.ndarray:
    """Normalised discounted cumulative gain of the first k rows by score: sum gain(y) / log2(1 + rank), over the best.

    The gain is 2^y - 1 ("exponential", the default) or y ("linear"). NaN where the best is 0.

    References:
        Järvelin and Kekäläinen, 2002, "Cumulated gain-based evaluation of IR techniques".
        https://doi.org/10.1145/582415.582418
        Burges et al., 2005, "Learning to rank using gradient descent" (the exponential gain).
        https://doi.org/10.1145/1102351.1102363
    """
    gains = np.where(mask > 0, np.exp2(target) - 1 if gain == "exponential" else target, 0.0)
    discounts = 1 / np.log2(2 + np.arange(min(k, gains.shape[1])))
    ranked = np.take_along_axis(gains, ranking(scores, mask, seed=seed), axis=1)[:, :k] @ discounts
    best = -np.sort(-gains, axis=1)[:, :k] @ discounts
    return _ratio(ranked, best)


def stars(target: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return targets of a scale within 0 to 5 as they are, of any other brought to it: what gains of nDCG are made of.

    2^y - 1 of a rating below 0 is a loss, and of 100 leaves nothing of any other.
    """
    return target if (low >= 0 and high <= 5) or high <= low else 5 * (target - low) / (high - low)


def precision(
    scores: np.ndarray, target: np.ndarray, mask: np.ndarray, *, k: int, relevant: float, seed: int = 0
) -> np.ndarray:
    """Share of the first min(k, rows) that is relevant; NaN without rows."""
    hits = _hits(scores, target, mask, relevant, seed)[:, :k].sum(axis=1)
    return _ratio(hits, np.minimum(k, mask.sum(axis=1)))


def recall(
    scores: np.ndarray, target: np.ndarray, mask: np.ndarray, *, k: int, relevant: float, seed: int = 0
) -> np.ndarray:
    """Share of the relevant rows that is among the first k; NaN without a relevant row."""
    hits = _hits(scores, target, mask, relevant, seed)
    return _ratio(hits[:, :k].sum(axis=1), hits.sum(axis=1))


def hit_rate(
    scores: np.ndarray, target: np.ndarray, mask: np.ndarray, *, k: int, relevant: float, seed: int = 0
) -> np.ndarray:
    """1.0 if one of the first k is relevant, else 0.0; NaN without a relevant row."""
    hits = _hits(scores, target, mask, relevant, seed)
    return np.where(hits.any(axis=1), hits[:, :k].any(axis=1).astype(float), np.nan)


def reciprocal_rank(
    scores: np.ndarray, target: np.ndarray, mask: np.ndarray, *, k: int, relevant: float, seed: int = 0
) -> np.ndarray:
    """1 / rank of the first relevant row, 0.0 if that is beyond k; NaN without a relevant row. Its mean is the MRR."""
    hits = _hits(scores, target, mask, relevant, seed)
    first = np.argmax(hits, axis=1)
    return np.where(hits.any(axis=1), np.where(first < k, 1 / (1 + first), 0.0), np.nan)


def average_precision(
    scores: np.ndarray, target: np.ndarray, mask: np.ndarray, *, k: int, relevant: float, seed: int = 0
) -> np.ndarray:
    """Mean precision at the ranks of relevant rows up to k, divided by min(k, relevant rows); NaN without one.

    Its mean over tasks is the MAP.
    """
    hits = _hits(scores, target, mask, relevant, seed)
    precisions = np.cumsum(hits, axis=1) / (1 + np.arange(hits.shape[1]))
    total = (precisions * hits)[:, :k].sum(axis=1)
    return _ratio(total, np.minimum(k, hits.sum(axis=1)))


def auc(scores: np.ndarray, target: np.ndarray, mask: np.ndarray, *, relevant: float) -> np.ndarray:
    """Chance that a relevant row scores above an irrelevant one, a tie counting a half; NaN without one of each."""
    good = (target >= relevant) & (mask > 0)
    bad = (target < relevant) & (mask > 0)
    check_finite(scores, mask)
    padding = (mask <= 0).sum(axis=1, keepdims=True)  # ranked below all real rows
    from scipy.stats import rankdata  # takes a second, and 20 MB that a service does not need

    ranks = rankdata(np.where(mask > 0, scores, -np.inf), axis=1) - padding
    num_good, num_bad = good.sum(axis=1), bad.sum(axis=1)
    wins = (ranks * good).sum(axis=1) - num_good * (num_good + 1) / 2  # Mann and Whitney's U
    return _ratio(wins, num_good * num_bad)


def log_score(mean: np.ndarray, variance: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Negative log-likelihood per row of a Gaussian, in nats."""
    return _row_mean(0.5 * (np.log(2 * np.pi * variance) + (target - mean) ** 2 / variance), mask)


def crps(mean: np.ndarray, variance: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of a Gaussian, per row, in units of the target.

    References:
        Gneiting and Raftery, 2007, "Strictly proper scoring rules, prediction, and estimation", section 4.2.
        https://doi.org/10.1198/016214506000001437
    """
    deviation = np.sqrt(variance)
    z = (target - mean) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return _row_mean(deviation * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)), mask)


def randomised_pit(
    mean: np.ndarray, variance: np.ndarray, target: np.ndarray, levels: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Randomised probability integral transform of discrete targets, `[tasks, rows]`; uniform if calibrated.

    A level stands for the interval half way to its neighbours (open at the ends); the value is drawn uniformly between
    the Gaussian's probabilities below that interval's two ends.

    Args:
        mean: `[tasks, rows]`.
        variance: `[tasks, rows]`, positive.
        target: `[tasks, rows]`, each one of the levels.
        levels: ascending possible targets.
        seed: of the draw.

    References:
        Czado et al., 2009, "Predictive model assessment for count data", section 2.
        https://doi.org/10.1111/j.1541-0420.2009.01191.x
    """
    ends = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
    level = np.abs(target[..., None] - levels).argmin(axis=-1)
    low, high = (ndtr((end - mean) / np.sqrt(variance)) for end in (ends[level], ends[level + 1]))
    return low + np.random.default_rng(seed).uniform(size=target.shape) * (high - low)


def coverage(pit: np.ndarray, mask: np.ndarray, *, level: float) -> np.ndarray:
    """Share of a task's rows inside the central interval of probability `level`, by their randomised PIT."""
    return _row_mean((np.abs(pit - 0.5) <= level / 2).astype(float), mask)


def ranking(scores: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return int `[tasks, rows]` row positions by descending score, ties at random, padding last."""
    check_finite(scores, mask)
    shuffled = np.random.default_rng(seed).random(scores.shape)
    return np.lexsort((shuffled, -scores, mask <= 0), axis=1)


def check_finite(values: np.ndarray, mask: np.ndarray) -> None:
    """Refuse predictions, or what was made of them, that are not finite.

    Raises:
        TrainingError: if a real row's value is NaN or infinite.
    """
    bad = (~np.isfinite(values) & (mask > 0)).any(axis=1)
    if bad.any():
        raise TrainingError(
            f"Predictions are not finite in {bad.sum()} of {len(values)} tasks, and figures of the others alone would "
            "flatter. Lower the step sizes (inner and outer), or evaluate an earlier checkpoint."
        )


def _hits(scores: np.ndarray, target: np.ndarray, mask: np.ndarray, relevant: float, seed: int) -> np.ndarray:
    """Return bool `[tasks, rows]`: whether the row at each rank is relevant."""
    good = (target >= relevant) & (mask > 0)
    return np.take_along_axis(good, ranking(scores, mask, seed=seed), axis=1)


def _row_mean(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    check_finite(values, mask)
    return _ratio(np.where(mask > 0, values, 0).sum(axis=1), mask.sum(axis=1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    defined = denominator > 0
    return np.where(defined, numerator / np.where(defined, denominator, 1), np.nan)
