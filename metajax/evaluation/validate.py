"""The value that model selection lowers, on tasks of held-out training users."""

from collections.abc import Callable

import numpy as np

from metajax.evaluation.catalogue import catalogue_ranks, ndcg_from_ranks
from metajax.evaluation.metrics import clip, mean_absolute_error, ndcg, stars
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
            return 1 - float(np.nanmean(ndcg(means, stars(tasks.query_target, *scale), tasks.query_mask, k=5)))
        return float(np.nanmean(mean_absolute_error(clip(means, scale), tasks.query_target, tasks.query_mask)))

    return lambda predict: float(np.mean([value(predict(size)) for size in sizes]))


def catalogue_validation_of(
    tasks: TaskSet, *, shots: tuple[int, ...], relevant: float, candidates: np.ndarray
) -> Callable[[Callable[[TaskSet], np.ndarray]], float]:
    """Return (score the catalogue) -> value, lower is better: 1 - catalogue nDCG@10, over the same support sizes.

    Args:
        tasks: of validation users; the first draw counts.
        shots: support sizes beside the full one.
        relevant: targets from here on are wanted.
        candidates: bool `[items]`, what is ranked; a user's whole support never is.
    """
    tasks = tasks.take(np.flatnonzero(tasks.draw == tasks.draw.min()))
    excluded = np.tile(~candidates, (len(tasks), 1))
    rows, columns = np.nonzero(tasks.support_mask > 0)
    excluded[rows, tasks.support_items[rows, columns]] = True
    wanted = (tasks.query_mask > 0) & (tasks.query_target >= relevant)

    def value(scores: np.ndarray) -> float:
        return 1 - float(np.nanmean(ndcg_from_ranks(catalogue_ranks(scores, tasks.query_items, wanted, excluded), 10)))

    return lambda score: float(np.mean([value(score(size)) for size in (tasks, *map(tasks.k_shot, shots))]))
