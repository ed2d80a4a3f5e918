"""Bayesian linear regression, Gaussian process and prototypes: exact identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.worlds import linear_model, random_task

from metajax.errors import ConfigError
from metajax.learners import bayesian_linear, gaussian_process, prototypes, ridge
from metajax.losses import binary_cross_entropy, pairwise_ranking, softmax_cross_entropy, squared_error
from metajax.types import Examples

WIDTH = 3


def adapted(learner, meta_params, task):
    items = learner.represent(meta_params, task.support.items)
    return learner.adapt(meta_params, learner.begin(meta_params, task.user), task.support._replace(items=items))


def predicted(learner, meta_params, task):
    state = adapted(learner, meta_params, task)
    return learner.predict(meta_params, state, learner.represent(meta_params, task.query.items))


@pytest.fixture(scope="module")
def task():
    return random_task(jax.random.key(1), support_rows=7, real_support=6)


def test_its_mean_is_that_of_ridge(task):
    """One penalty for all weights is a prior variance of 1 / penalty."""
    learner = bayesian_linear(linear_model(), item_width=WIDTH, prior_variance=1 / 4, bias_variance=1 / 3)
    other = ridge(linear_model(), item_width=WIDTH, penalty=4.0, bias_penalty=3.0)
    meta_params = learner.init(jax.random.key(0))
    like_ridge = other.init(jax.random.key(0)) | {"model": meta_params["model"]}
    found, wanted = predicted(learner, meta_params, task), predicted(other, like_ridge, task)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-10)


def test_its_posterior_is_that_of_the_textbook(task):
    """Posterior covariance (P^-1 + X^T X / s^2)^-1, mean that times X^T r / s^2, and s^2 more for a new rating."""
    learner = bayesian_linear(linear_model(), item_width=WIDTH, prior_variance=0.3, bias_variance=0.5, noise=0.8)
    meta_params = learner.init(jax.random.key(0))
    model, params = linear_model(), meta_params["model"]
    user = model.embed_user(params["user"], task.user)
    design = lambda rows: np.hstack([np.ones((len(rows), 1)), rows])  # noqa: E731
    vectors = model.embed_item(params["item"], task.support.items)[:6]
    queried = model.embed_item(params["item"], task.query.items)
    residual = task.support.target[:6] - model.score(params["head"], user, vectors)
    prior = 0.64 * np.diag([0.5, 0.3, 0.3, 0.3])
    covariance = np.linalg.inv(np.linalg.inv(prior) + design(vectors).T @ design(vectors) / 0.64)
    weights = covariance @ design(vectors).T @ residual / 0.64
    found = predicted(learner, meta_params, task)
    mean = model.score(params["head"], user, queried) + design(queried) @ weights
    np.testing.assert_allclose(found.mean, mean, rtol=1e-6)
    variance = 0.64 + np.einsum("rd,de,re->r", design(queried), covariance, design(queried))
    np.testing.assert_allclose(found.variance, variance, rtol=1e-6)


def test_a_gaussian_process_with_a_linear_kernel_is_bayesian_linear_regression(task):
    choices = {"item_width": WIDTH, "bias_variance": 0.5, "noise": 0.8}
    one = bayesian_linear(linear_model(), prior_variance=0.3, **choices)
    other = gaussian_process(linear_model(), kernel="linear", scale=0.3, max_support=9, **choices)
    key = jax.random.key(0)
    found, wanted = predicted(other, other.init(key), task), predicted(one, one.init(key), task)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-6)
    np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-6)


@pytest.mark.parametrize("make", [bayesian_linear, gaussian_process])
def test_a_rating_lowers_the_variance_there_and_far_away_it_is_the_prior_one(make, task):
    learner = make(linear_model(), item_width=WIDTH)
    meta_params = learner.init(jax.random.key(0))
    items = learner.represent(meta_params, task.support.items)
    one = Examples(items[:1], task.support.target[:1], jnp.ones(1))

    @jax.jit
    def run():
        before = learner.begin(meta_params, task.user)
        after = learner.adapt(meta_params, before, one)
        return [learner.predict(meta_params, state, items).variance for state in (before, after)]

    variances = run()
    assert (variances[1] < variances[0]).all()  # the bias is shared by all items
    assert variances[1][0] / variances[0][0] < variances[1][1] / variances[0][1]
    assert (variances[1] > jnp.exp(2 * meta_params["log_noise"])).all()


@pytest.mark.parametrize("make", [ridge, bayesian_linear])
@pytest.mark.parametrize(("x64", "tolerance"), [(True, 1e-10), (False, 1e-5)], ids=["float64", "float32"])
def test_five_hundred_ratings_one_by_one_are_all_at_once(make, x64, tolerance):
    with jax.enable_x64(x64):
        learner = make(linear_model(), item_width=WIDTH)
        dtype = jnp.float64 if x64 else jnp.float32
        cast = lambda tree: jax.tree.map(lambda leaf: leaf.astype(dtype), tree)  # noqa: E731
        meta_params = cast(learner.init(jax.random.key(0)))
        task = cast(random_task(jax.random.key(1), support_rows=500))
        items = learner.represent(meta_params, task.support.items)
        rows = task.support._replace(items=items)

        def step(state, row):
            return learner.adapt(meta_params, state, jax.tree.map(lambda leaf: leaf[None], row)), None

        start = learner.begin(meta_params, task.user)
        streamed, _ = jax.jit(lambda: jax.lax.scan(step, start, rows))()
        at_once = learner.adapt(meta_params, start, rows)
        queried = learner.represent(meta_params, task.query.items)
        one, other = (learner.predict(meta_params, state, queried) for state in (streamed, at_once))
        np.testing.assert_allclose(one.mean, other.mean, rtol=tolerance)
        if one.variance is not None:
            np.testing.assert_allclose(one.variance, other.variance, rtol=tolerance)


def test_beyond_its_capacity_a_process_forgets_the_oldest(task):
    learner = gaussian_process(linear_model(), item_width=WIDTH, max_support=2)
    meta_params = learner.init(jax.random.key(0))
    last = task._replace(support=jax.tree.map(lambda leaf: leaf[4:6], task.support))
    found, wanted = predicted(learner, meta_params, task), predicted(learner, meta_params, last)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-12)


def test_prototypes_are_shrunken_means(task):
    learner = prototypes(linear_model(), squared_error(), item_width=WIDTH, relevant=3.0, strength=2.0, scale=0.1)
    meta_params = learner.init(jax.random.key(0))
    meta_params["prior"] = jnp.arange(6.0).reshape(2, 3)
    items = np.asarray(learner.represent(meta_params, task.support.items))[:6]
    liked = np.asarray(task.support.target[:6]) >= 3
    centres = [
        (2 * np.asarray(meta_params["prior"])[side] + items[which].sum(axis=0)) / (2 + which.sum())
        for side, which in enumerate((liked, ~liked))
    ]
    queried = np.asarray(learner.represent(meta_params, task.query.items))
    away = [((queried - centre) ** 2).sum(axis=1) for centre in centres]
    model, params = linear_model(), meta_params["model"]
    shared = model.score(params["head"], model.embed_user(params["user"], task.user), jnp.asarray(queried))
    found = predicted(learner, meta_params, task).mean
    np.testing.assert_allclose(found, shared + 0.1 * (away[1] - away[0]), rtol=1e-6)


@pytest.mark.parametrize("loss", [binary_cross_entropy(), pairwise_ranking()], ids=["clicks", "ranking"])
def test_prototypes_learn_from_clicks(loss):
    """Users like one half-space of items; what they clicked tells which side they are on."""
    learner = prototypes(linear_model(), loss, item_width=WIDTH)

    def world(key):
        task = random_task(key, support_rows=8, query_rows=8)
        side = jnp.where(jax.random.bernoulli(jax.random.fold_in(key, 1)), 1.0, -1.0)
        clicked = lambda rows: rows._replace(target=(side * rows.items["about"][:, 0] > 0).astype(float))  # noqa: E731
        return task._replace(support=clicked(task.support), query=clicked(task.query))

    def mean(meta_params, key):
        tasks = jax.vmap(world)(jax.random.split(key, 32))
        one = lambda task: learner.loss(meta_params, task, key, jnp.asarray(0.0))[0]  # noqa: E731
        return jnp.mean(jax.vmap(one)(tasks))

    step = jax.jit(lambda m, key: jax.tree.map(lambda leaf, g: leaf - 0.1 * g, m, jax.grad(mean)(m, key)))
    meta_params = learner.init(jax.random.key(0))
    before = mean(meta_params, jax.random.key(9))
    for seed in range(150):
        meta_params = step(meta_params, jax.random.key(seed))
    assert mean(meta_params, jax.random.key(9)) < 0.6 * before


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match="noise of a Bayesian linear head must be positive"):
        bayesian_linear(linear_model(), item_width=WIDTH, noise=0.0)
    with pytest.raises(ConfigError, match="likelihood of a Gaussian, got the loss pairwise ranking"):
        bayesian_linear(linear_model(), pairwise_ranking(), item_width=WIDTH)
    with pytest.raises(ConfigError, match="length of a Gaussian process must be positive"):
        gaussian_process(linear_model(), item_width=WIDTH, length=-1.0)
    with pytest.raises(ConfigError, match="strength and scale of prototypes must be positive"):
        prototypes(linear_model(), squared_error(), item_width=WIDTH, strength=0.0)
    with pytest.raises(ConfigError, match="one score a row, and softmax cross-entropy wants 5"):
        prototypes(linear_model(), softmax_cross_entropy((1, 2, 3, 4, 5)), item_width=WIDTH)
