"""The value that model selection lowers, on tasks of held-out training users."""

from collections.abc import Callable

import numpy as np

from metajax.evaluation.metrics import clip, mean_absolute_error, ndcg
from metajax.tasks.taskset import TaskSet


def validation_of(
    tasks: TaskSet, *, shots: tuple[int, ...], scale: tuple[float, float], ranking_only: bool = False
) -> Callable[[Callable[[TaskSet], np.ndarray]], float]:
    """Return (predict) -> value, lower is better.

    The value is the mean, over the support sizes `shots` and the full support, of the mean absolute error over tasks;
    with `ranking_only`, of 1 - nDCG@5.

    Args:
        tasks: of validation users.
        shots: support sizes beside the full one.
        scale: (lowest, highest) target; means are clipped to it.
        ranking_only: scores have no unit.
    """
    sizes = [tasks, *(tasks.k_shot(shot) for shot in shots)]

    def value(means: np.ndarray) -> float:
        if ranking_only:
            return 1 - float(np.nanmean(ndcg(means, tasks.query_target, tasks.query_mask, k=5)))
        return float(np.nanmean(mean_absolute_error(clip(means, scale), tasks.query_target, tasks.query_mask)))

    return lambda predict: float(np.mean([value(predict(size)) for size in sizes]))
