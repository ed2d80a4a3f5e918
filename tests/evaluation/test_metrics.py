"""Metrics against examples worked by hand, naive loops, and what chance must give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr

from metajax.errors import TaskError, TrainingError
from metajax.evaluation import catalogue, metrics

MASK = np.array([[1.0, 1.0, 1.0, 0.0]])
TARGET = np.array([[3.0, 5.0, 1.0, 5.0]])
SCORES = np.array([[0.5, 0.2, 0.1, 9.0]])  # ranks the rows 0, 1, 2; the padding row must not count


RANKING = (
    (metrics.ndcg, {"k": 5}),
    (metrics.precision, {"k": 5, "relevant": 4}),
    (metrics.recall, {"k": 5, "relevant": 4}),
    (metrics.hit_rate, {"k": 2, "relevant": 4}),
    (metrics.reciprocal_rank, {"k": 5, "relevant": 4}),
    (metrics.average_precision, {"k": 5, "relevant": 4}),
    (metrics.auc, {"relevant": 4}),
)


def test_errors_by_hand():
    mean = np.array([[4.0, 5.0, 3.0, 9.0]])
    assert metrics.mean_absolute_error(mean, TARGET, MASK)[0] == 1
    assert metrics.mean_squared_error(mean, TARGET, MASK)[0] == pytest.approx(5 / 3)
    assert metrics.clip(np.array([0.2, 7.0]), (1, 5)).tolist() == [1, 5]
    assert np.isnan(metrics.mean_absolute_error(mean, TARGET, 0 * MASK)[0])


@pytest.mark.parametrize(("gain", "gains"), [("exponential", [7, 31, 1]), ("linear", [3, 5, 1])])
def test_ndcg_by_hand(gain, gains):
    discounts = 1 / np.log2([2, 3, 4])
    expected = np.dot(gains[:2], discounts[:2]) / np.dot(sorted(gains, reverse=True)[:2], discounts[:2])
    assert metrics.ndcg(SCORES, TARGET, MASK, k=2, gain=gain)[0] == pytest.approx(expected)


def test_ranking_metrics_by_hand():
    """Relevant is a target of 5: the row that is ranked second."""
    at = {"k": 2, "relevant": 5.0}
    assert metrics.precision(SCORES, TARGET, MASK, **at)[0] == 0.5
    assert metrics.recall(SCORES, TARGET, MASK, **at)[0] == 1
    assert metrics.hit_rate(SCORES, TARGET, MASK, k=1, relevant=5.0)[0] == 0
    assert metrics.reciprocal_rank(SCORES, TARGET, MASK, **at)[0] == 0.5
    assert metrics.average_precision(SCORES, TARGET, MASK, **at)[0] == 0.5
    assert metrics.auc(SCORES, TARGET, MASK, relevant=5.0)[0] == 0.5
    for metric in (metrics.recall, metrics.hit_rate, metrics.reciprocal_rank, metrics.average_precision):
        assert np.isnan(metric(SCORES, TARGET, MASK, k=2, relevant=6.0)[0])


def test_average_precision_divides_by_what_is_possible():
    """Three relevant rows, k = 2, both hits: 1, not 2/3."""
    target = np.array([[5.0, 5.0, 5.0]])
    assert metrics.average_precision(-np.arange(3.0)[None], target, np.ones((1, 3)), k=2, relevant=4.0)[0] == 1


@given(st.integers(0, 10_000))
def test_metrics_are_their_naive_loops(seed):
    rng = np.random.default_rng(seed)
    scores, target = rng.normal(size=(1, 7)), rng.integers(1, 6, (1, 7)).astype(float)
    mask = (np.arange(7) < rng.integers(1, 8)).astype(float)[None]
    real = np.flatnonzero(mask[0])
    order = sorted(real, key=lambda row: -scores[0, row])
    good = [target[0, row] >= 4 for row in order]
    assert metrics.precision(scores, target, mask, k=3, relevant=4)[0] == pytest.approx(np.mean(good[:3]))
    gains = [2 ** target[0, row] - 1 for row in order]

    def discounted(values):
        return sum(value / np.log2(2 + place) for place, value in enumerate(values[:3]))

    expected = discounted(gains) / discounted(sorted(gains, reverse=True))
    assert metrics.ndcg(scores, target, mask, k=3)[0] == pytest.approx(expected)
    if any(good):
        at = {"k": 3, "relevant": 4}
        first = good.index(True)
        hits = [np.mean(good[: place + 1]) for place in range(min(3, len(good))) if good[place]]
        assert metrics.recall(scores, target, mask, **at)[0] == pytest.approx(sum(good[:3]) / sum(good))
        assert metrics.hit_rate(scores, target, mask, **at)[0] == any(good[:3])
        assert metrics.reciprocal_rank(scores, target, mask, **at)[0] == (1 / (1 + first) if first < 3 else 0)
        average = metrics.average_precision(scores, target, mask, **at)[0]
        assert average == pytest.approx(sum(hits) / min(3, sum(good)))


@given(st.integers(0, 10_000))
def test_auc_is_the_share_of_pairs_in_order(seed):
    """Few levels of score, so that there are ties; padding, whose scores are above all, does not count."""
    rng = np.random.default_rng(seed)
    scores, target = rng.integers(0, 4, (1, 9)).astype(float), rng.integers(1, 6, (1, 9)).astype(float)
    mask = (np.arange(9) < rng.integers(2, 10)).astype(float)[None]
    scores[mask == 0] = 9
    real = np.flatnonzero(mask[0])
    pairs = [
        np.sign(scores[0, a] - scores[0, b]) / 2 + 0.5 for a in real for b in real if target[0, a] >= 4 > target[0, b]
    ]
    expected = np.mean(pairs) if pairs else np.nan
    np.testing.assert_allclose(metrics.auc(scores, target, mask, relevant=4)[0], expected)


@given(st.integers(0, 10_000))
def test_only_the_order_of_scores_counts_and_padding_does_not(seed):
    rng = np.random.default_rng(seed)
    scores, target = rng.integers(0, 4, (3, 8)).astype(float), rng.integers(1, 6, (3, 8)).astype(float)
    mask = (np.arange(8) < np.array([[8], [5], [3]])).astype(float)
    stretched = np.where(mask > 0, np.exp(3 * scores) - 7, rng.normal(size=scores.shape))
    rubbish = np.where(mask > 0, target, 5)
    for metric, rest in RANKING:
        np.testing.assert_array_equal(metric(scores, target, mask, **rest), metric(stretched, rubbish, mask, **rest))


@pytest.mark.parametrize("stored", ["best first", "worst first"])
def test_a_constant_predictor_gets_chance_whatever_the_storage_order(stored):
    """Ties are broken at random: neither the best-first nor the worst-first storage order may win."""
    rng = np.random.default_rng(0)
    target = np.sort(rng.integers(1, 6, (4000, 10)), axis=1).astype(float)
    target = target[:, ::-1] if stored == "best first" else target
    mask, constant, noise = np.ones(target.shape), np.full(target.shape, 3.0), rng.random(target.shape)
    for metric, rest in RANKING:
        chance = np.nanmean(metric(noise, target, mask, **rest))
        assert np.nanmean(metric(constant, target, mask, **rest)) == pytest.approx(chance, abs=0.015)
    assert np.nanmean(metrics.auc(constant, target, mask, relevant=4)) == 0.5


def test_crps_is_its_integral():
    def gap(y, mean, deviation, target):
        return (ndtr((y - mean) / deviation) - (y >= target)) ** 2

    below = quad(gap, -20, 4.0, args=(3.0, 1.5, 4.0))[0]
    above = quad(gap, 4.0, 30, args=(3.0, 1.5, 4.0))[0]
    one = np.ones((1, 1))
    assert metrics.crps(3 * one, 2.25 * one, 4 * one, one)[0] == pytest.approx(below + above, rel=1e-6)


def test_pit_is_uniform_for_a_calibrated_forecast():
    rng = np.random.default_rng(1)
    levels = np.arange(1.0, 6.0)
    mean, one = rng.uniform(1, 5, (200, 100)), np.ones((200, 100))
    drawn = mean + rng.normal(size=mean.shape)
    target = levels[np.abs(drawn[..., None] - levels).argmin(-1)]
    pit = metrics.randomised_pit(mean, one, target, levels)
    np.testing.assert_allclose(np.quantile(pit, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.01)
    for level in (0.5, 0.8, 0.95):
        assert metrics.coverage(pit, one, level=level).mean() == pytest.approx(level, abs=0.01)
    assert metrics.log_score(one, one, one, one)[0] == pytest.approx(0.5 * np.log(2 * np.pi))


def test_catalogue_ranks_by_hand():
    """Item 1 scores best but is excluded; item 3 is wanted and second of the rest."""
    scores = np.array([[0.3, 0.9, 0.8, 0.5]])
    excluded = np.array([[False, True, False, False]])
    ranks = catalogue.catalogue_ranks(scores, np.array([[3, 0]]), np.array([[1.0, 0.0]]), excluded)
    assert ranks[0, 0] == 2
    assert np.isnan(ranks[0, 1])
    assert catalogue.recall_from_ranks(ranks, 1)[0] == 0
    assert catalogue.hit_rate_from_ranks(ranks, 2)[0] == 1
    assert catalogue.ndcg_from_ranks(ranks, 2)[0] == pytest.approx(1 / np.log2(3))
    assert catalogue.reciprocal_rank_from_ranks(ranks)[0] == 0.5


def test_a_constant_gets_chance_in_the_catalogue():
    """A wanted item among 50 is among the first ten in one of five cases."""
    shape = (4000, 50)
    ranks = catalogue.catalogue_ranks(
        np.zeros(shape), np.zeros((4000, 1), int), np.ones((4000, 1)), np.zeros(shape, bool)
    )
    assert catalogue.recall_from_ranks(ranks, 10).mean() == pytest.approx(0.2, abs=0.02)


def test_beyond_accuracy_by_hand():
    lists = np.array([[0, 1], [0, 2]])
    counts = np.array([3.0, 1.0, 0.0, 0.0])
    assert catalogue.coverage_of_catalogue(lists, 4) == 0.75
    assert catalogue.gini_of_exposure(np.array([[0, 1, 2, 3]]), 4) == pytest.approx(0)
    assert catalogue.gini_of_exposure(np.array([[0, 0, 0, 0]]), 4) == pytest.approx(0.75)
    assert catalogue.novelty(lists, counts)[0] == pytest.approx(-(np.log2(4 / 8) + np.log2(2 / 8)) / 2)
    np.testing.assert_allclose(
        catalogue.popularity_lift(lists, counts), [(3 + 1) / 2 / (10 / 4), (3 + 0) / 2 / (10 / 4)]
    )
    top = catalogue.top_lists(np.array([[0.1, 0.9, 0.5]]), np.array([[False, True, False]]), 2)
    assert top.tolist() == [[2, 0]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_not_finite_are_refused(value):
    """Left out they would flatter, clipped they would be 5 stars, and as NaN they would lead the catalogue."""
    broken = np.where(np.arange(4) == 1, value, SCORES)
    for metric, rest in RANKING:
        with pytest.raises(TrainingError, match="not finite in 1 of 1 tasks"):
            metric(broken, TARGET, MASK, **rest)
    for metric in (metrics.mean_absolute_error, metrics.mean_squared_error):
        with pytest.raises(TrainingError, match="not finite in 1 of 1 tasks"):
            metric(metrics.clip(broken, (1, 5)), TARGET, MASK)
    with pytest.raises(TrainingError, match="not finite in 1 of 1 tasks"):
        catalogue.catalogue_ranks(broken, np.array([[1]]), np.ones((1, 1)), np.zeros((1, 4), bool))


def test_what_is_not_finite_in_padding_does_not_matter():
    broken = np.where(MASK > 0, SCORES, np.nan)
    for metric, rest in RANKING:
        np.testing.assert_array_equal(metric(broken, TARGET, MASK, **rest), metric(SCORES, TARGET, MASK, **rest))


def test_a_list_longer_than_what_is_left_is_refused():
    with pytest.raises(TaskError, match="A user has 1 items that are not excluded but the list is of 2"):
        catalogue.top_lists(np.zeros((1, 3)), np.array([[True, False, True]]), 2)


def test_top_lists_are_those_of_a_full_sort_with_ties_at_random():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (50, 40)).astype(float)
    excluded = rng.random(scores.shape) < 0.3
    shuffled = np.random.default_rng(0).random(scores.shape, np.float32)
    sorted_all = np.lexsort((shuffled, -scores, excluded), axis=1)[:, :7]
    np.testing.assert_array_equal(catalogue.top_lists(scores, excluded, 7), sorted_all)


def test_gains_are_made_of_stars():
    target = np.array([[-1.0, 0.0, 1.0]])
    np.testing.assert_array_equal(metrics.stars(target, -1, 1), [[0, 2.5, 5]])
    np.testing.assert_array_equal(metrics.stars(target, 0, 5), target)
    np.testing.assert_array_equal(metrics.stars(10 * target, 0, 100)[0, 1:], [0, 0.5])
    np.testing.assert_array_equal(metrics.stars(target, 7, 7), target)  # all are alike
