"""How much wider a method's intervals must be to hold the ratings that they say they hold."""

from collections.abc import Callable, Sequence

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
NARROWEST, WIDEST, HALVINGS = 0.5, 2.0, 20


def spread_of(predict: Callable[[TaskSet], Predictions], tasks: Sequence[TaskSet], scale: Scale) -> float:
    """Return what to multiply predictive deviations by, so that of validation ratings 80 % lie in the 80 % interval.

    A likelihood weighs how far off ratings are, not how many are, and errors on whom training has not seen are larger:
    intervals come out a few hundredths narrow. Every kind of tasks and every support size counts alike. Without levels
    of ratings, or without a variance, it is 1.

    Args:
        predict: the trained learner.
        tasks: of validation users and of held-out items.
        scale: of the ratings.

    References:
        Kuleshov, Fenner and Ermon, 2018, "Accurate uncertainties for deep learning using calibrated regression", of
        which this is one level and one factor. https://arxiv.org/abs/1807.00263
    """
    if scale.levels is None or not tasks:
        return 1.0
    sizes = [size for some in tasks for size in (some, *map(some.k_shot, SHOTS))]
    predicted = [predict(size) for size in sizes]
    if any(one.variance is None for one in predicted):
        return 1.0

    def held(factor: float) -> float:
        return float(np.mean([_held(size, one, scale, factor) for size, one in zip(sizes, predicted, strict=True)]))

    narrow, wide = NARROWEST, WIDEST
    for _ in range(HALVINGS):
        middle = np.sqrt(narrow * wide)
        narrow, wide = (middle, wide) if held(middle) < LEVEL else (narrow, middle)
    rows = sum(float(some.query_mask.sum()) for some in tasks)
    return float(np.sqrt(narrow * wide) ** (rows / (rows + DOUBT)))


def _held(tasks: TaskSet, predicted: Predictions, scale: Scale, factor: float) -> float:
    is_row = tasks.query_mask > 0
    variance = np.where(is_row, predicted.variance, 1.0) * factor**2  # pyright: ignore[reportOptionalOperand]
    means = clip(predicted.mean, (scale.low, scale.high))
    pit = randomised_pit(means, variance, tasks.query_target, scale.levels)  # pyright: ignore[reportArgumentType]
    return float(np.nanmean(coverage(pit, tasks.query_mask, level=LEVEL)))
