"""Planted leaks are caught: query targets that are read, a user's state that reaches the next."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from training import toy

from metajax.evaluation.catalogue import catalogue_ranks, ndcg_from_ranks, recall_from_ranks
from metajax.evaluation.config import EvaluationConfig
from metajax.evaluation.measure import Method, Setting, measure
from metajax.evaluation.predict import Predictions, catalogue_scorer, predictor
from metajax.evaluation.values import Scale
from metajax.learners import anil, ridge
from metajax.losses import squared_error
from metajax.tasks import TaskSet
from metajax.types import Examples

pytestmark = pytest.mark.usefixtures("as_users_run")


@pytest.fixture
def world():
    _, features = toy.data()
    rng = np.random.default_rng(0)
    items = np.stack([rng.permutation(30)[:9] for _ in range(6)]).astype(np.int32)
    about = np.asarray(features.items["about"])
    target = (about[items] @ np.array([0.5, -1.0, 0.3]) + rng.normal(size=(6, 1))).astype(np.float32)
    ones = np.ones((6, 9), np.float32)
    return features, TaskSet(
        "toy", np.zeros(6, np.int32), np.zeros(6, np.int32),
        items[:, :5], target[:, :5], ones[:, :5], items[:, 5:], target[:, 5:], ones[:, 5:],
    )  # fmt: skip


@pytest.fixture(params=["anil", "ridge"])
def learner(request):
    made = {
        "anil": lambda: anil(toy.model(), squared_error(), inner_step_size=0.1),
        "ridge": lambda: ridge(toy.model(), item_width=3),
    }
    return made[request.param]()


def test_query_targets_do_not_reach_predictions(learner, world):
    features, tasks = world
    meta_params = learner.init(jax.random.key(0))
    honest = predictor(learner)(meta_params, features, tasks).mean
    shuffled = TaskSet(**{**vars(tasks), "query_target": tasks.query_target[:, ::-1] + 7})
    np.testing.assert_array_equal(honest, predictor(learner)(meta_params, features, shuffled).mean)


def test_a_learner_that_reads_query_targets_is_exposed(learner, world):
    """Whatever reads a query target in prediction reads NaN there, so that every figure would be NaN."""
    features, tasks = world
    meta_params = learner.init(jax.random.key(0))
    seen = []

    def watching(meta_params, state, support):
        seen.append(support)
        return learner.adapt(meta_params, state, support)

    predictor(learner._replace(adapt=watching))(meta_params, features, tasks)
    assert seen
    assert all(support.target.shape[-1] == 8 for support in seen)  # five and padding; the query's four are not passed


def leaking(learner):
    """Plant a leak: the state that a user begins with is moved by the other users of the batch."""

    def adapt(meta_params, state, support):
        adapted = learner.adapt(meta_params, state, support)
        return jax.tree.map(lambda leaf: jax.lax.pmean(leaf, "users"), adapted)

    return learner._replace(adapt=adapt)


def alone(learner, meta_params, features, tasks):
    predict = predictor(learner)
    return np.concatenate(
        [predict(meta_params, features, tasks.take(np.array([one]))).mean for one in range(len(tasks))]
    )


def test_no_user_reaches_the_next(learner, world):
    features, tasks = world
    meta_params = learner.init(jax.random.key(0))
    together = predictor(learner)(meta_params, features, tasks).mean
    np.testing.assert_allclose(together, alone(learner, meta_params, features, tasks), rtol=1e-5, atol=1e-6)
    turned = predictor(learner)(meta_params, features, tasks.take(np.arange(5, -1, -1))).mean
    np.testing.assert_allclose(together, turned[::-1], rtol=1e-5, atol=1e-6)


def test_a_learner_that_leaks_between_users_differs_from_one_alone(learner, world):
    features, tasks = world
    meta_params = learner.init(jax.random.key(0))
    device_items = jnp.asarray(tasks.support_items)
    represented = learner.represent(meta_params, features.items)
    items = jax.tree.map(lambda leaf: leaf[device_items], represented)
    support = Examples(items, jnp.asarray(tasks.support_target), jnp.asarray(tasks.support_mask))

    def predictions(adapting):
        def one(support):
            state = adapting.adapt(meta_params, adapting.begin(meta_params, {}), support)
            return adapting.predict(meta_params, state, represented).mean

        return jax.vmap(one, axis_name="users")(support)

    honest, leaked = predictions(learner), predictions(leaking(learner))
    assert jnp.abs(honest - leaked).max() > 1e-3


def shuffled_often(tasks, times=1500):
    """Repeat the tasks, every user's query targets in another order each time."""
    rng = np.random.default_rng(0)
    many = tasks.take(np.tile(np.arange(len(tasks)), times))
    return replace(many, query_target=rng.permuted(many.query_target, axis=1))


def chance(means, tasks, times=1500):
    """Return every metric of the query regime where a prediction meets each of its user's targets equally often."""
    rng = np.random.default_rng(1)
    many = tasks.take(np.tile(np.arange(len(tasks)), times))
    met = rng.permuted(np.tile(means, (times, 1)), axis=1)
    return averages(measure(method(lambda _: met), many, setting(tasks)))


def method(means):
    return Method("toy", "learner", lambda tasks: Predictions(means(tasks), None), means, noise={"toy": 1.0})


def setting(tasks):
    targets = tasks.query_target
    scale = Scale(float(targets.min()), float(targets.max()), np.unique(np.round(targets)).astype(float))
    config = EvaluationConfig(cutoffs=(1, 3), relevant=float(np.median(targets)))
    return Setting(pl.Series("user", np.arange(6)), np.ones(30), scale, {}, lambda _: np.zeros((1, 30), bool), config)


def averages(values):
    return {name: float(np.nanmean(one)) for name, one in values.items()}


def test_shuffled_query_targets_bring_every_metric_to_chance(learner, world):
    """Errors, log score, CRPS, calibration and rankings; a method that reads the targets stays perfect, and is seen."""
    features, tasks = world
    tasks = replace(tasks, query_target=np.clip(np.round(3 + tasks.query_target), 1, 5))
    meta_params = learner.init(jax.random.key(0))
    predict = predictor(learner)
    shuffled = shuffled_often(tasks)
    found = averages(measure(method(lambda some: predict(meta_params, features, some).mean), shuffled, setting(tasks)))
    wanted = chance(predict(meta_params, features, tasks).mean, tasks)
    assert {
        "mae",
        "mse",
        "ndcg@3",
        "precision@1",
        "recall@3",
        "hit_rate@1",
        "mrr@3",
        "map@3",
        "auc",
        "nll",
        "crps",
    } <= {*found}
    assert found == pytest.approx(wanted, rel=0.05, abs=0.02)
    reading = averages(measure(method(lambda some: some.query_target.astype(float)), shuffled, setting(tasks)))
    assert (reading["mae"], reading["auc"], reading["ndcg@3"]) == (0, 1, 1)
    assert reading != pytest.approx(wanted, rel=0.05, abs=0.02)


def test_shuffled_query_items_bring_the_catalogue_to_chance(learner, world):
    """Of the items that are left, each is as likely to be wanted as any other, whatever their scores."""
    features, tasks = world
    meta_params = learner.init(jax.random.key(0))
    scores = np.tile(catalogue_scorer(learner)(meta_params, features, tasks), (1500, 1))
    rng = np.random.default_rng(0)
    excluded = np.zeros(scores.shape, bool)
    support = np.tile(tasks.support_items, (1500, 1))
    np.put_along_axis(excluded, support, True, axis=1)
    left = np.argsort(np.where(excluded, 2, rng.random(scores.shape)), axis=1)[:, :4].astype(np.int32)
    ranks = catalogue_ranks(scores, left, np.ones(left.shape), excluded)
    num_left = scores.shape[1] - support.shape[1]
    assert np.nanmean(recall_from_ranks(ranks, 5)) == pytest.approx(5 / num_left, abs=0.02)
    assert np.nanmean(ranks) == pytest.approx((num_left + 1) / 2, rel=0.03)
    gains = 1 / np.log2(2 + np.arange(5))
    assert np.nanmean(ndcg_from_ranks(ranks, 5)) == pytest.approx(
        gains.sum() * 4 / num_left / gains[:4].sum(), abs=0.02
    )
    best = np.argsort(np.where(excluded, np.inf, -scores), axis=1)[:, :4]  # what reads the answer is seen
    assert np.nanmean(recall_from_ranks(catalogue_ranks(scores, best, np.ones(best.shape), excluded), 5)) == 1


def test_catalogue_scores_are_the_query_predictions(learner, world):
    features, tasks = world
    meta_params = learner.init(jax.random.key(0))
    scores = catalogue_scorer(learner)(meta_params, features, tasks)
    at_query = np.take_along_axis(scores, tasks.query_items, axis=1)
    np.testing.assert_allclose(at_query, predictor(learner)(meta_params, features, tasks).mean, rtol=1e-5, atol=1e-6)
