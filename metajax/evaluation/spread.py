"""How much wider a method's intervals must be to hold the ratings that they say they hold."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from metajax.evaluation.metrics import clip, coverage, randomised_pit
from metajax.evaluation.predict import Predictions
from metajax.evaluation.values import Scale
from metajax.tasks.taskset import TaskSet

LEVEL = 0.8
"""Of the central interval that is looked at."""
SHOTS = (0, 5)
"""Support sizes that are looked at, beside the full one."""
DOUBT = 500
"""Query rows that a factor of 1 counts for: few rows say little of a share."""
NARROWEST, WIDEST, HALVINGS = 0.5, 2.0, 12


def spread_of(predict: Callable[[float, TaskSet], Predictions], tasks: Sequence[TaskSet], scale: Scale) -> float:
    """Return the factor with which, on average, 80 % of a validation task's ratings lie in the 80 % interval.

    A likelihood weighs how far off ratings are, not how many are, and errors on whom training has not seen are larger:
    intervals come out a few hundredths narrow. Every kind of tasks and every support size counts alike. The factor lies
    between a half and 2, and is drawn towards 1 where rows are few; without levels of ratings, or without a variance,
    it is 1.

    Args:
        predict: (factor, tasks) -> what the trained learner predicts when it is widened by a factor (`Learner.widen`).
        tasks: of validation users and of held-out items.
        scale: of the ratings.

    References:
        Kuleshov, Fenner and Ermon, 2018, "Accurate uncertainties for deep learning using calibrated regression", of
        which this is one level and one factor. https://arxiv.org/abs/1807.00263
    """
    if scale.levels is None or not tasks:
        return 1.0
    claims = [_claim(predict, size, scale) for some in tasks for size in (some, *map(some.k_shot, SHOTS))]
    known = [one for one in claims if one is not None]
    if len(known) < len(claims):
        return 1.0
    narrow, wide = NARROWEST, WIDEST
    for _ in range(HALVINGS):
        middle = np.sqrt(narrow * wide)
        held = np.mean([_held(one, scale.levels, middle) for one in known])
        narrow, wide = (middle, wide) if held < LEVEL else (narrow, middle)
    rows = sum(float(some.query_mask.sum()) for some in tasks)
    return float(np.sqrt(narrow * wide) ** (rows / (rows + DOUBT)))


class _Claim(NamedTuple):
    """What is predicted of tasks: clipped means, and variances fixed + moved factor^2, `[tasks, rows]`."""

    tasks: TaskSet
    means: np.ndarray
    fixed: np.ndarray
    moved: np.ndarray


def _claim(predict: Callable[[float, TaskSet], Predictions], tasks: TaskSet, scale: Scale) -> _Claim | None:
    """Return it, of two predictions; None without a variance."""
    at_one, widest = predict(1.0, tasks), predict(WIDEST, tasks)
    if at_one.variance is None or widest.variance is None:
        return None
    is_row = tasks.query_mask > 0
    moved = np.where(is_row, (widest.variance - at_one.variance) / (WIDEST**2 - 1), 1.0)
    fixed = np.where(is_row, at_one.variance - moved, 0.0)
    return _Claim(tasks, clip(at_one.mean, (scale.low, scale.high)), fixed, moved)


def _held(claim: _Claim, levels: np.ndarray, factor: float) -> float:
    variance = claim.fixed + claim.moved * factor**2
    pit = randomised_pit(claim.means, variance, claim.tasks.query_target, levels)
    return float(np.nanmean(coverage(pit, claim.tasks.query_mask, level=LEVEL)))
