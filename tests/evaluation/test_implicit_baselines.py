"""Baselines of who rated what, against the formulas of one user written out."""

import sys

import numpy as np
import pytest
from evaluation.test_baselines import rows
from evaluation.test_baselines import tasks as tasks
from evaluation.test_baselines import training as training

from metajax.evaluation.baselines import cosine_knn, implicit_als

COLD = 11


@pytest.mark.parametrize("most", [0, 12], ids=["by way of raters", "by rows of items"])
def test_similar_items_are_summed(training, tasks, monkeypatch, most):
    monkeypatch.setattr(sys.modules[cosine_knn.__module__], "MOST_ITEMS", most)
    seen = training.matrix(np.ones(len(training.target))).toarray()
    raters = np.maximum(seen.sum(axis=0), 1) + 3
    alike = seen.T @ seen / np.outer(raters, raters) ** 0.4
    np.fill_diagonal(alike, 0)
    found = cosine_knn(shrinkage=3, power=0.4).fit(training)(tasks)
    for task in range(3):
        items, _ = rows(tasks, task)
        wanted = [alike[items, asked].sum() for asked in tasks.query_items[task]]
        np.testing.assert_allclose(found[task], wanted, rtol=1e-5, atol=1e-6)


def test_a_new_user_is_solved_for_among_all_items(training, tasks):
    """1 is wanted of rated items, with a weight of 1 + 4, and 0 of all others, with a weight of 1."""
    predict = implicit_als(factors=3, weight=4.0, penalty=2.0, sweeps=6).fit(training)
    found = predict(tasks)
    assert found[2] == pytest.approx([0, 0])  # nothing is known of the third user
    assert found[0, 1] == 0  # nobody has rated item 11
    factors = fitted_items(training, 3, 4.0, 2.0, 6)
    for task in range(2):
        items, _ = rows(tasks, task)
        weight = np.ones(len(factors))
        weight[items] += 4.0
        wanted = np.zeros(len(factors))
        wanted[items] = 1
        system = (factors * weight[:, None]).T @ factors + 2 * np.eye(3)
        user = np.linalg.solve(system, factors.T @ (weight * wanted))
        np.testing.assert_allclose(found[task], factors[tasks.query_items[task]] @ user, rtol=1e-3, atol=1e-4)


def fitted_items(training, width, weight, penalty, sweeps):
    """Alternate, by dense equations."""
    seen = training.matrix(np.ones(len(training.target))).toarray()
    items = np.random.default_rng(0).normal(0, 0.1, (training.num_items, width))
    items[COLD] = 0

    def solved(seen, other):
        return np.stack([
            np.linalg.solve((other * (1 + weight * row)[:, None]).T @ other + penalty * np.eye(width),
                            other.T @ ((1 + weight) * row))
            for row in seen
        ])  # fmt: skip

    for _ in range(sweeps):
        items = solved(seen.T, solved(seen, items))
    return items
