"""Per-task values of every metric: what a method's predictions are worth on fixed tasks.

Every function returns a dict of float64 `[tasks]` arrays, NaN where a task leaves a metric undefined.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metajax.evaluation import catalogue, metrics
from metajax.evaluation.config import EvaluationConfig
from metajax.tasks.taskset import TaskSet

Values = dict[str, np.ndarray]

CENTRAL = (50, 80, 95)
PIT_BINS = 10
MOST_LEVELS = 100


@dataclass(frozen=True)
class Scale:
    """Which targets there can be.

    Attributes:
        low: lowest.
        high: highest.
        levels: float64, ascending distinct targets; None where they are too many to be levels.
    """

    low: float
    high: float
    levels: np.ndarray | None

    @classmethod
    def of(cls, scale: tuple[float, float], targets: np.ndarray) -> "Scale":
        """Find the levels among training targets."""
        levels = np.unique(targets).astype(float)
        return cls(*scale, levels if 2 <= len(levels) <= MOST_LEVELS else None)


def errors(means: np.ndarray, tasks: TaskSet, scale: Scale) -> Values:
    """Return errors of the clipped mean, and of the same mean rounded to a level, which is another prediction."""
    target, mask = tasks.query_target, tasks.query_mask
    values = {
        "mae": metrics.mean_absolute_error(means, target, mask),
        "mse": metrics.mean_squared_error(means, target, mask),
    }
    if scale.levels is not None:
        rounded = np.where(mask > 0, metrics.nearest_level(np.where(mask > 0, means, 0), scale.levels), 0)
        values["mae_rounded"] = metrics.mean_absolute_error(rounded, target, mask)
        values["mse_rounded"] = metrics.mean_squared_error(rounded, target, mask)
    return values


def rankings(scores: np.ndarray, tasks: TaskSet, scale: Scale, config: EvaluationConfig) -> Values:
    """Return ranking metrics of the query regime: the user's own held-out items are ranked."""
    target, mask = tasks.query_target, tasks.query_mask
    judged = {
        "precision": metrics.precision,
        "recall": metrics.recall,
        "hit_rate": metrics.hit_rate,
        "mrr": metrics.reciprocal_rank,
        "map": metrics.average_precision,
    }
    values = {}
    for k in config.cutoffs:
        values[f"ndcg@{k}"] = metrics.ndcg(scores, metrics.stars(target, scale.low, scale.high), mask, k=k)
        for name, metric in judged.items():
            values[f"{name}@{k}"] = metric(scores, target, mask, k=k, relevant=config.threshold)
    values["auc"] = metrics.auc(scores, target, mask, relevant=config.threshold)
    return values


def probabilities(
    means: np.ndarray, variance: np.ndarray | None, constant: float, tasks: TaskSet, scale: Scale
) -> Values:
    """Return log score, CRPS and calibration of a Gaussian around the clipped mean.

    Of a method with a variance of its own, also the shares of its rows in ten bins of the randomised PIT.

    Args:
        means: `[tasks, query_rows]`, clipped.
        variance: `[tasks, query_rows]` of the method, or None: then `constant` is its variance.
        constant: one variance for all rows; a method with a variance of its own is scored by this one too
            ("nll_constant", "crps_constant"), which tells what its variance is worth. Of 0, as where all ratings are
            alike, nothing is scored by it.
        tasks: with the query's targets.
        scale: whose levels the calibration needs; without them it is left out.
    """
    target, mask = tasks.query_target, tasks.query_mask
    same = np.full(mask.shape, constant)
    if constant == 0 and variance is None:
        return {}
    own = same if variance is None else np.where(mask > 0, variance, 1.0)
    values = {"nll": metrics.log_score(means, own, target, mask), "crps": metrics.crps(means, own, target, mask)}
    if variance is not None and constant > 0:
        values["nll_constant"] = metrics.log_score(means, same, target, mask)
        values["crps_constant"] = metrics.crps(means, same, target, mask)
    if scale.levels is None:
        return values
    pit = metrics.randomised_pit(means, own, target, scale.levels)
    for percent in CENTRAL:
        values[f"coverage_{percent}"] = metrics.coverage(pit, mask, level=percent / 100)
    if variance is None:
        return values
    bins = np.minimum((pit * PIT_BINS).astype(int), PIT_BINS - 1)
    rows = mask.sum(axis=1)
    for position in range(PIT_BINS):
        inside = ((bins == position) & (mask > 0)).sum(axis=1)
        values[f"pit_{position + 1}"] = np.where(rows > 0, inside / np.maximum(rows, 1), np.nan)
    return values


def catalogue_rankings(
    score: Callable[[TaskSet], np.ndarray],
    tasks: TaskSet,
    candidates: np.ndarray,
    rated: Callable[[np.ndarray], np.ndarray],
    num_ratings: np.ndarray,
    config: EvaluationConfig,
) -> Values:
    """Return metrics of the catalogue regime: relevant query items among all that the user has not rated.

    Beside accuracy stand novelty and popularity lift of the lists, and what all lists together leave out: coverage and
    Gini of exposure, as each user's share in them (see `catalogue.coverage_shares`). Users are scored in blocks that
    bound the memory.

    Args:
        score: tasks -> `[tasks, num_items]`.
        tasks: whose query items, all of them candidates, are wanted where their target is relevant.
        candidates: bool `[num_items]`, what is ranked.
        rated: user positions -> bool `[users, num_items]`, what they have rated; left out of the ranking unless it is
            in the query.
        num_ratings: `[num_items]` in training.
        config: cutoffs and threshold.
    """
    blocks = [
        _catalogue_block(score(some), some, candidates, rated(some.user), config)
        for some in tasks.blocks(len(candidates))
    ]
    values = {name: np.concatenate([block[0][name] for block in blocks]) for name in blocks[0][0]}
    lists = [block[1] for block in blocks if block[1] is not None]
    if len(lists) == len(blocks):
        beyond = beyond_accuracy(np.concatenate(lists), num_ratings[candidates])
        k = min(config.catalogue_cutoffs)
        values |= {f"catalogue_{name}@{k}": value for name, value in beyond.items()}
    return values


def _catalogue_block(
    scores: np.ndarray, tasks: TaskSet, candidates: np.ndarray, rated: np.ndarray, config: EvaluationConfig
) -> tuple[Values, np.ndarray | None]:
    """Return accuracy, and the first candidates of every list, if all have so many.

    Args:
        scores: `[tasks, num_items]`.
        tasks: whose query items, all of them candidates, are wanted where their target is relevant.
        candidates: bool `[num_items]`, what is ranked.
        rated: bool `[tasks, num_items]`.
        config: cutoffs and threshold.
    """
    in_query = np.zeros(scores.shape, bool)
    rows, columns = np.nonzero(tasks.query_mask > 0)  # padding holds item 0, which is not in the query
    in_query[rows, tasks.query_items[rows, columns]] = True
    relevant = (tasks.query_target >= config.threshold) & (tasks.query_mask > 0)
    excluded = (rated & ~in_query) | ~candidates
    ranks = catalogue.catalogue_ranks(scores, tasks.query_items, relevant, excluded)
    values = {"catalogue_mrr": catalogue.reciprocal_rank_from_ranks(ranks)}
    for k in config.catalogue_cutoffs:
        values[f"catalogue_ndcg@{k}"] = catalogue.ndcg_from_ranks(ranks, k)
        values[f"catalogue_recall@{k}"] = catalogue.recall_from_ranks(ranks, k)
        values[f"catalogue_hit_rate@{k}"] = catalogue.hit_rate_from_ranks(ranks, k)
    k = min(config.catalogue_cutoffs)
    if (~excluded).sum(axis=1).min() < k:
        return values, None
    return values, catalogue.top_lists(scores[:, candidates], excluded[:, candidates], k)


def beyond_accuracy(lists: np.ndarray, num_ratings: np.ndarray) -> Values:
    """Return what lists of the first k candidates are like, `[users, k]`, whatever their accuracy."""
    return {
        "novelty": catalogue.novelty(lists, num_ratings),
        "popularity_lift": catalogue.popularity_lift(lists, num_ratings),
        "coverage": catalogue.coverage_shares(lists, len(num_ratings)),
        "gini": catalogue.gini_shares(lists, len(num_ratings)),
    }
