"""The value that model selection lowers, on tasks of held-out training users."""

from collections.abc import Callable

import numpy as np

from metajax.errors import DataError
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


def wants_something(tasks: TaskSet, relevant: float) -> bool:
    """Say whether any query of the first draw holds a target of `relevant` or more."""
    first = tasks.take(np.flatnonzero(tasks.draw == tasks.draw.min()))
    return bool(np.any((first.query_mask > 0) & (first.query_target >= relevant)))


def catalogue_validation_of(
    tasks: TaskSet, *, shots: tuple[int, ...], relevant: float, candidates: np.ndarray
) -> Callable[[Callable[[TaskSet], np.ndarray]], float]:
    """Return (score the catalogue) -> value, lower is better: 1 - catalogue nDCG@10, over the same support sizes.

    Args:
        tasks: of validation users; the first draw counts.
        shots: support sizes beside the full one.
        relevant: targets from here on are wanted.
        candidates: bool `[items]`, what is ranked; a user's whole support never is.

    Raises:
        DataError: if no task's query holds such a target, so that there is nothing to find.
    """
    if not wants_something(tasks, relevant):
        raise DataError(
            f"No query of a validation user holds a rating of {relevant:g} or more, which is what lists are judged by. "
            "Lower --evaluation.relevant, or train on more users."
        )
    blocks = list(tasks.take(np.flatnonzero(tasks.draw == tasks.draw.min())).blocks(len(candidates)))

    def gains(some: TaskSet, scores: np.ndarray) -> np.ndarray:
        excluded = np.tile(~candidates, (len(some), 1))
        rows, columns = np.nonzero(some.support_mask > 0)
        excluded[rows, some.support_items[rows, columns]] = True
        wanted = (some.query_mask > 0) & (some.query_target >= relevant)
        return ndcg_from_ranks(catalogue_ranks(scores, some.query_items, wanted, excluded), 10)

    def value(score: Callable[[TaskSet], np.ndarray], shot: int | None) -> float:
        told = [(some, some if shot is None else some.k_shot(shot)) for some in blocks]
        return 1 - float(np.nanmean(np.concatenate([gains(some, score(size)) for some, size in told])))

    return lambda score: float(np.mean([value(score, shot) for shot in (None, *shots)]))
