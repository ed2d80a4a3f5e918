"""How much wider predictions must be: against ratings drawn from a known distribution."""

import numpy as np
import pytest

from metajax.evaluation.predict import Predictions
from metajax.evaluation.spread import DOUBT, spread_of
from metajax.evaluation.values import Scale
from metajax.tasks import TaskSet

LEVELS = np.arange(1.0, 6.0)
SCALE = Scale(1.0, 5.0, LEVELS)


def tasks_of(target, support_rows=2):
    """Return tasks with this query target, `[tasks, rows]`."""
    count, rows = target.shape
    return TaskSet(
        name="validation",
        draw=np.zeros(count, np.int32),
        user=np.arange(count, dtype=np.int32),
        support_items=np.zeros((count, support_rows), np.int32),
        support_target=np.full((count, support_rows), 3, np.float32),
        support_mask=np.ones((count, support_rows), np.float32),
        query_items=np.zeros((count, rows), np.int32),
        query_target=target.astype(np.float32),
        query_mask=np.ones((count, rows), np.float32),
    )


@pytest.fixture(scope="module")
def drawn():
    """Means, and ratings that lie around them with a deviation of 1.2 and are rounded to levels."""
    rng = np.random.default_rng(7)  # not that of the randomised PIT
    means = rng.uniform(2, 4, (2000, 10))
    return means, tasks_of(np.clip(np.round(rng.normal(means, 1.2)), 1, 5))


def claiming(means, deviation, between=0.0):
    """Predict with this deviation, of which the part `between` members is not widened."""

    def predict(factor, tasks):
        variance = between**2 + factor**2 * (deviation**2 - between**2)
        return Predictions(means[: len(tasks)], np.full(tasks.query_mask.shape, variance))

    return predict


@pytest.mark.parametrize("deviation", [0.9, 1.2, 1.6])
def test_it_finds_how_wide_intervals_should_have_been(drawn, deviation):
    means, tasks = drawn
    assert spread_of(claiming(means, deviation), [tasks], SCALE) == pytest.approx(1.2 / deviation, rel=0.02)


def test_what_members_disagree_by_is_not_widened(drawn):
    """1.2^2 = .6^2 + factor^2 (.9^2 - .6^2)."""
    means, tasks = drawn
    wanted = np.sqrt((1.2**2 - 0.6**2) / (0.9**2 - 0.6**2))
    assert spread_of(claiming(means, 0.9, between=0.6), [tasks], SCALE) == pytest.approx(wanted, rel=0.03)


def test_few_rows_say_little(drawn):
    means, tasks = drawn
    few = tasks.take(np.arange(5))
    many = spread_of(claiming(means, 0.6), [tasks], SCALE)
    assert spread_of(claiming(means, 0.6), [few], SCALE) < many ** (3 * 50 / (50 + DOUBT))


def test_every_kind_of_tasks_counts_alike(drawn):
    """Ten times as many tasks of one kind as of the other change nothing."""
    means, tasks = drawn
    exact = tasks_of(np.round(means))  # ratings that are never off
    both = lambda count: spread_of(claiming(means, 1.2), [tasks.take(np.arange(count)), exact], SCALE)  # noqa: E731
    assert both(2000) == pytest.approx(both(200), rel=0.05)
    assert both(2000) < 0.9


def test_without_levels_variance_or_tasks_it_is_one(drawn):
    means, tasks = drawn
    assert spread_of(claiming(means, 0.5), [tasks], Scale(1.0, 5.0, None)) == 1.0
    assert spread_of(lambda _, some: Predictions(means[: len(some)], None), [tasks], SCALE) == 1.0
    assert spread_of(claiming(means, 0.5), [], SCALE) == 1.0
