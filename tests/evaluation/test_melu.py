"""The protocol's own check: the baselines on MeLU's split come out at independently measured numbers."""

import numpy as np
import pytest

from metajax.data import load, splits
from metajax.evaluation import metrics
from metajax.evaluation.baselines import als_fold_in, content_ridge, damped_bias, training_of, user_mean
from metajax.evaluation.protocols import lay_out

TASKS = {"user_cold": 668, "item_cold": 2863, "both_cold": 723}
KNOWN = {  # MAE, RMSE, nDCG@5, mean over the ten draws
    ("user mean", "user_cold"): (0.814, 1.027, 0.662),
    ("user mean", "item_cold"): (0.896, 1.122, 0.625),
    ("user mean", "both_cold"): (0.890, 1.114, 0.630),
    ("bias", "user_cold"): (0.734, 0.931, 0.793),
    ("bias", "item_cold"): (0.872, 1.084, 0.696),
    ("bias", "both_cold"): (0.871, 1.085, 0.690),
    ("bias + content ridge", "user_cold"): (0.716, 0.914, 0.804),
    ("bias + content ridge", "item_cold"): (0.864, 1.080, 0.705),
    ("bias + content ridge", "both_cold"): (0.862, 1.079, 0.702),
    ("ALS fold-in", "user_cold"): (0.703, 0.897, 0.813),
}
SHOTS = (0, 1, 3, 5, 10, 20, None)
KNOWN_SHOTS = {  # MAE at user_cold by support size, mean over draws 0 to 2
    "bias": (0.777, 0.776, 0.766, 0.759, 0.749, 0.740, 0.735),
    "ALS fold-in": (0.810, 0.794, 0.770, 0.758, 0.740, 0.722, 0.704),
}


@pytest.fixture(scope="module")
def split():
    return splits.melu(load("ml-1m"))


@pytest.mark.slow
@pytest.mark.data
def test_baselines_come_out_at_the_known_numbers(data_root, request):
    data_root("ml-1m")
    split = request.getfixturevalue("split")
    scenarios = {name: lay_out(one, split.interactions) for name, one in split.scenarios.items()}
    assert {name: len(np.unique(tasks.user)) for name, tasks in scenarios.items()} == TASKS
    assert all((tasks.query_mask.sum(axis=1) == 10).all() and tasks.draw.max() == 9 for tasks in scenarios.values())
    training = training_of(split.interactions, split.train)
    for baseline in (user_mean(), damped_bias(), content_ridge(), als_fold_in()):
        predict = baseline.fit(training)
        for scenario, tasks in scenarios.items():
            if (known := KNOWN.get((baseline.name, scenario))) is None:
                continue
            judged = metrics.clip(predict(tasks), split.interactions.scale), tasks.query_target, tasks.query_mask
            found = (
                metrics.mean_absolute_error(*judged).mean(),
                np.sqrt(metrics.mean_squared_error(*judged).mean()),
                np.nanmean(metrics.ndcg(*judged, k=5)),
            )
            np.testing.assert_allclose(found, known, atol=0.005, err_msg=f"{baseline.name}, {scenario}")


@pytest.mark.slow
@pytest.mark.data
def test_the_k_shot_curves_are_the_known_ones(data_root, request):
    data_root("ml-1m")
    split = request.getfixturevalue("split")
    tasks = lay_out(split.scenarios["user_cold"], split.interactions)
    tasks = tasks.take(np.flatnonzero(tasks.draw < 3))
    training = training_of(split.interactions, split.train)
    for baseline in (damped_bias(), als_fold_in()):
        predict = baseline.fit(training)
        means = [predict(tasks if k is None else tasks.k_shot(k)) for k in SHOTS]
        clipped = [metrics.clip(one, split.interactions.scale) for one in means]
        found = [metrics.mean_absolute_error(one, tasks.query_target, tasks.query_mask).mean() for one in clipped]
        np.testing.assert_allclose(found, KNOWN_SHOTS[baseline.name], atol=0.005, err_msg=baseline.name)
