"""Per-task values: rounding, distributions, beyond accuracy, and figures of all lists as shares of users."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from metajax.evaluation import catalogue
from metajax.evaluation.config import EvaluationConfig
from metajax.evaluation.values import Scale, catalogue_rankings, errors, probabilities
from metajax.tasks import TaskSet, taskset

SCALE = Scale.of((1.0, 5.0), np.array([1.0, 2, 3, 4, 5, 5, 3]))


def task_set(target, *, real=None):
    target = np.asarray(target, np.float32)
    mask = np.ones_like(target) if real is None else np.asarray(real, np.float32)
    count, rows = target.shape
    zero = np.zeros((count, 1), np.int32)
    items = np.broadcast_to(np.arange(rows, dtype=np.int32), target.shape)
    return TaskSet("toy", zero[:, 0], zero[:, 0], zero, 0 * target[:, :1], 0 * target[:, :1], items, target, mask)


def test_rounding_is_another_prediction_with_figures_of_its_own():
    tasks = task_set([[4.0, 2.0, 9.0]], real=[[1, 1, 0]])
    values = errors(np.array([[3.6, 2.4, np.nan]]), tasks, SCALE)
    assert values["mae"][0] == pytest.approx(0.4)
    assert values["mae_rounded"][0] == pytest.approx(0)
    assert values["mse_rounded"][0] == pytest.approx(0)
    assert errors(np.array([[2.5, 2.0, 1.0]]), tasks, SCALE)["mae_rounded"][0] == pytest.approx(1)  # a tie goes down


def test_targets_that_are_no_levels_are_not_rounded():
    scale = Scale.of((0.0, 1.0), np.linspace(0, 1, 500))
    assert scale.levels is None
    tasks = task_set([[0.4]])
    assert set(errors(np.array([[0.5]]), tasks, scale)) == {"mae", "mse"}
    assert set(probabilities(np.array([[0.5]]), np.array([[0.1]]), 0.2, tasks, scale)) == {
        "nll", "crps", "nll_constant", "crps_constant",
    }  # fmt: skip


def test_log_score_is_of_the_methods_own_variance_or_of_the_constant_one():
    tasks = task_set([[4.0, 2.0]])
    means, own = np.array([[3.5, 2.5]]), np.array([[0.25, 4.0]])
    with_own = probabilities(means, own, 0.5, tasks, SCALE)
    without = probabilities(means, None, 0.5, tasks, SCALE)
    assert with_own["nll"][0] == pytest.approx(-norm.logpdf([4, 2], means[0], np.sqrt(own[0])).mean())
    constant = -norm.logpdf([4, 2], means[0], np.sqrt(0.5)).mean()
    assert with_own["nll_constant"][0] == pytest.approx(constant)
    assert without["nll"][0] == pytest.approx(constant)
    assert "nll_constant" not in without
    assert "pit_1" not in without


def test_where_all_ratings_are_alike_a_variance_of_nothing_scores_nothing():
    tasks, means = task_set([[1.0, 1.0]]), np.ones((1, 2))
    assert probabilities(means, None, 0.0, tasks, SCALE) == {}
    own = probabilities(means, np.full((1, 2), 0.5), 0.0, tasks, SCALE)
    assert "nll_constant" not in own
    assert all(np.isfinite(value).all() for value in own.values())


def test_a_true_distribution_is_calibrated_and_a_narrow_one_is_not():
    """Ratings are drawn from the rounded Gaussian that is predicted."""
    rng = np.random.default_rng(7)  # another stream than that of the randomised PIT
    means = rng.uniform(1, 5, (400, 50))
    target = np.clip(np.round(means + rng.normal(0, 0.9, means.shape)), 1, 5)
    tasks = task_set(target)
    values = probabilities(means, np.full(means.shape, 0.81), 1.0, tasks, SCALE)
    assert values["coverage_80"].mean() == pytest.approx(0.8, abs=0.01)
    shares = [values[f"pit_{one}"].mean() for one in range(1, 11)]
    np.testing.assert_allclose(shares, 0.1, atol=0.01)
    narrow = probabilities(means, np.full(means.shape, 0.1), 1.0, tasks, SCALE)
    assert narrow["coverage_80"].mean() < 0.6
    assert narrow["nll"].mean() > values["nll"].mean()


def test_shares_of_users_average_to_the_figure_of_all_lists():
    rng = np.random.default_rng(0)
    lists = np.array([rng.permutation(30)[:4] for _ in range(25)])
    shares = catalogue.coverage_shares(lists, 30)
    assert shares.mean() == pytest.approx(catalogue.coverage_of_catalogue(lists, 30))
    without = np.array([catalogue.coverage_of_catalogue(np.delete(lists, one, axis=0), 30) for one in range(25)])
    np.testing.assert_allclose(shares - shares.mean(), 24 * (without.mean() - without), atol=1e-12)
    gini = catalogue.gini_shares(lists, 30)
    assert gini.mean() == pytest.approx(catalogue.gini_of_exposure(lists, 30))
    without = np.array([catalogue.gini_of_exposure(np.delete(lists, one, axis=0), 30) for one in range(25)])
    assert np.corrcoef(gini, -without)[0, 1] > 0.9  # the order of items is kept: first order only


def test_only_candidates_are_ranked_and_listed():
    """Item 3 scores best but is no candidate; items 0 and 1 are rated, and in the query."""
    tasks = task_set([[5.0, 5.0]])
    scores = np.array([[0.2, 0.1, 0.5, 0.9, 0.4, 0.3]])
    candidates = np.array([True, True, True, False, True, True])
    rated = np.array([[True, True, False, False, False, False]])
    config = EvaluationConfig(catalogue_cutoffs=(2,))
    values = catalogue_rankings(
        lambda _: scores, tasks, candidates, lambda _: rated, np.array([8.0, 4, 2, 9, 1, 1]), config
    )
    assert values["catalogue_mrr"][0] == pytest.approx(1 / 4)  # before item 0 (in the query): items 2, 4 and 5
    assert values["catalogue_coverage@2"][0] == pytest.approx(2 / 5)
    counts = np.array([8.0, 4, 2, 1, 1])
    assert values["catalogue_popularity_lift@2"][0] == pytest.approx(1.5 * counts.sum() / (counts**2).sum())


def test_users_in_blocks_are_ranked_as_all_at_once(monkeypatch):
    """But for ties, of which there are none here; coverage is of all lists together."""
    random = np.random.default_rng(0)
    targets = random.integers(1, 6, (7, 3)).astype(float)
    tasks = task_set(targets.tolist())
    scores = random.random((7, 20))
    tasks = replace(tasks, user=np.arange(7, dtype=np.int32))
    given = (tasks, np.ones(20, bool), lambda user: np.zeros((len(user), 20), bool), np.ones(20), EvaluationConfig())
    whole = catalogue_rankings(lambda some: scores[some.user], *given)
    monkeypatch.setattr(taskset, "MOST_CELLS", 60)
    assert [len(block) for block in tasks.blocks(20)] == [3, 3, 1]
    parts = catalogue_rankings(lambda some: scores[some.user], *given)
    assert whole.keys() == parts.keys() >= {"catalogue_ndcg@10", "catalogue_coverage@10"}
    for name, values in whole.items():
        np.testing.assert_array_equal(parts[name], values)
