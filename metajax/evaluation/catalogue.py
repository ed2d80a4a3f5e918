"""The catalogue regime: every item that the user has not rated is ranked, with no sampled negatives."""

import numpy as np

from metajax.errors import TaskError
from metajax.evaluation.metrics import check_finite


def catalogue_ranks(
    scores: np.ndarray, wanted: np.ndarray, mask: np.ndarray, excluded: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Rank each wanted item among itself and all items that are not excluded, counting from 1; ties at random.

    Args:
        scores: `[users, items]`.
        wanted: int `[users, rows]`, held-out relevant items.
        mask: `[users, rows]`, which of `wanted` are real.
        excluded: bool `[users, items]`, what is not to be ranked, such as the support.
        seed: of the random order of ties.

    Returns:
        Float `[users, rows]`: ranks, NaN where masked.

    Raises:
        TrainingError: if a score is not finite (a NaN would come first, for nothing is above it).
    """
    check_finite(scores, np.ones(scores.shape))
    order = np.random.default_rng(seed).random(scores.shape, np.float32)
    ranks = np.full(wanted.shape, np.nan)
    for row in range(wanted.shape[1]):
        one = wanted[:, row : row + 1]
        score, place = np.take_along_axis(scores, one, axis=1), np.take_along_axis(order, one, axis=1)
        before = (scores > score) | ((scores == score) & (order < place))
        ranks[:, row] = 1 + (before & ~excluded).sum(axis=1)
    return np.where(mask > 0, ranks, np.nan)


def recall_from_ranks(ranks: np.ndarray, k: int) -> np.ndarray:
    """Share of a user's wanted items among the first k, `[users]`; NaN without one."""
    wanted = np.isfinite(ranks)
    return _ratio((ranks <= k).sum(axis=1), wanted.sum(axis=1))


def hit_rate_from_ranks(ranks: np.ndarray, k: int) -> np.ndarray:
    """1.0 if a wanted item is among the first k, `[users]`; NaN without a wanted item."""
    return np.where(np.isfinite(ranks).any(axis=1), (ranks <= k).any(axis=1).astype(float), np.nan)


def ndcg_from_ranks(ranks: np.ndarray, k: int) -> np.ndarray:
    """Binary nDCG@k, `[users]`: every wanted item has gain 1; NaN without one."""
    wanted = np.isfinite(ranks)
    discounted = np.where(ranks <= k, 1 / np.log2(1 + np.where(wanted, ranks, 1)), 0.0).sum(axis=1)
    best = np.cumsum(1 / np.log2(2 + np.arange(k)))
    count = np.minimum(wanted.sum(axis=1), k)
    return np.where(count > 0, discounted / best[np.maximum(count, 1) - 1], np.nan)


def reciprocal_rank_from_ranks(ranks: np.ndarray) -> np.ndarray:
    """1 / rank of the best wanted item, `[users]`; NaN without one."""
    best = np.min(np.where(np.isfinite(ranks), ranks, np.inf), axis=1)
    return np.where(np.isfinite(best), 1 / best, np.nan)


def top_lists(scores: np.ndarray, excluded: np.ndarray, k: int, *, seed: int = 0) -> np.ndarray:
    """Return int `[users, k]`: the first k items that are not excluded, ties at random.

    Raises:
        TrainingError: if the score of an item that is not excluded is not finite.
        TaskError: if a user has fewer than k items left.
    """
    check_finite(scores, ~excluded)
    if (left := int((~excluded).sum(axis=1).min(initial=k))) < k:
        raise TaskError(f"A user has {left} items that are not excluded but the list is of {k}. Lower k.")
    shuffled = np.random.default_rng(seed).random(scores.shape, np.float32)
    open_scores = np.where(excluded, -np.inf, scores)
    least = np.partition(open_scores, -k, axis=1)[:, -k]
    contenders = (open_scores >= least[:, None]).sum(axis=1).max()  # k, and what ties with the last of them
    front = np.argpartition(-open_scores, contenders - 1, axis=1)[:, :contenders]
    keys = tuple(np.take_along_axis(one, front, axis=1) for one in (shuffled, -open_scores))
    return np.take_along_axis(front, np.lexsort(keys, axis=1)[:, :k], axis=1)


def coverage_of_catalogue(lists: np.ndarray, num_items: int) -> float:
    """Share of the items that are in somebody's list."""
    return len(np.unique(lists)) / num_items


def novelty(lists: np.ndarray, num_ratings: np.ndarray) -> np.ndarray:
    """Mean self-information of a user's list, -log2 of the share of ratings an item has, `[users]`, in bits.

    References:
        Zhou et al., 2010, "Solving the apparent diversity-accuracy dilemma of recommender systems".
        https://doi.org/10.1073/pnas.1000488107
    """
    share = (num_ratings + 1) / (num_ratings + 1).sum()
    return -np.log2(share)[lists].mean(axis=1)


def gini_of_exposure(lists: np.ndarray, num_items: int) -> float:
    """Gini coefficient of how often items are listed: 0 if all alike, towards 1 if few take all."""
    counts = np.sort(np.bincount(lists.ravel(), minlength=num_items))
    ranks = np.arange(1, num_items + 1)
    return float(2 * (ranks * counts).sum() / (num_items * counts.sum()) - (num_items + 1) / num_items)


def popularity_lift(lists: np.ndarray, num_ratings: np.ndarray) -> np.ndarray:
    """Mean number of ratings of a user's listed items over that of a rating's item, `[users]`.

    Above 1 the lists favour what is popular more than raters do.
    """
    return num_ratings[lists].mean(axis=1) / (num_ratings**2).sum() * num_ratings.sum()


def coverage_shares(lists: np.ndarray, num_items: int) -> np.ndarray:
    """Return `[users]` whose mean is the coverage and whose spread is that of the jackknife.

    A user's value is coverage + (n - 1) (mean over users of the coverage without one - the coverage without this
    user): intervals over users then are those of the statistic, which is no mean.

    References:
        Efron and Tibshirani, 1993, "An introduction to the bootstrap", section 11.2 (jackknife pseudo-values; here
        centred on the statistic itself).
    """
    counts = np.bincount(lists.ravel(), minlength=num_items)
    only_here = (counts[lists] == 1).sum(axis=1)  # items of a list are distinct
    covered = (counts > 0).sum()
    return _centred(covered / num_items, (covered - only_here) / num_items)


def gini_shares(lists: np.ndarray, num_items: int) -> np.ndarray:
    """Return `[users]` whose mean is the Gini of exposure and whose spread is that of the jackknife.

    As `coverage_shares`; without a user the order of items by exposure is taken as it is with all.
    """
    counts = np.bincount(lists.ravel(), minlength=num_items)
    from scipy.stats import rankdata  # takes a second, and 20 MB that a service does not need

    ranks = rankdata(counts)
    weighted, total = (ranks * counts).sum(), counts.sum()
    left = max(total - lists.shape[1], 1)
    without = 2 * (weighted - ranks[lists].sum(axis=1)) / (num_items * left) - (num_items + 1) / num_items
    return _centred(gini_of_exposure(lists, num_items), without)


def _centred(value: float, without: np.ndarray) -> np.ndarray:
    return value + (len(without) - 1) * (without.mean() - without)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)
