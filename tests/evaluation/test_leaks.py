"""Planted leaks are caught: query targets that are read, a user's state that reaches the next."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import toy

from metajax.evaluation import metrics
from metajax.evaluation.predict import catalogue_scorer, predictor
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
    assert all(support.target.shape[-1] == 5 for support in seen)  # the support alone; the query's rows are not passed


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
    np.testing.assert_allclose(together, alone(learner, meta_params, features, tasks), rtol=1e-5)
    turned = predictor(learner)(meta_params, features, tasks.take(np.arange(5, -1, -1))).mean
    np.testing.assert_allclose(together, turned[::-1], rtol=1e-5)


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


def test_shuffled_query_targets_bring_ranking_to_chance(learner, world):
    features, tasks = world
    meta_params = learner.init(jax.random.key(0))
    means = np.repeat(predictor(learner)(meta_params, features, tasks).mean, 500, axis=0)
    rng = np.random.default_rng(0)
    target = rng.permuted(np.repeat(tasks.query_target, 500, axis=0), axis=1)
    auc = metrics.auc(means, target, np.ones(target.shape), relevant=float(np.median(target)))
    assert np.nanmean(auc) == pytest.approx(0.5, abs=0.02)


def test_catalogue_scores_are_the_query_predictions(learner, world):
    features, tasks = world
    meta_params = learner.init(jax.random.key(0))
    scores = catalogue_scorer(learner)(meta_params, features, tasks)
    at_query = np.take_along_axis(scores, tasks.query_items, axis=1)
    np.testing.assert_allclose(at_query, predictor(learner)(meta_params, features, tasks).mean, rtol=1e-5)
