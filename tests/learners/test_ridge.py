"""The closed form: primal = dual = least squares on the augmented system = streaming."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.worlds import linear_model, random_task

from metajax.errors import ConfigError
from metajax.learners import ridge
from metajax.learners.linear_posterior import LinearPosterior, condition_dual, condition_primal, relative_variance
from metajax.losses import softmax_cross_entropy


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    root = jnp.asarray(np.tril(rng.normal(size=(4, 4))) + 2 * np.eye(4))
    prior = LinearPosterior(jnp.asarray(rng.normal(size=4)), root)
    features, target = jnp.asarray(rng.normal(size=(6, 4))), jnp.asarray(rng.normal(size=6))
    mask = jnp.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    return prior, features, target, mask


@pytest.mark.parametrize("condition", [condition_primal, condition_dual])
def test_posterior_is_least_squares_on_the_augmented_system(condition, problem):
    prior, features, target, mask = problem
    real = np.asarray(mask) > 0
    inverse_root = np.linalg.inv(prior.root)
    system = np.vstack([np.asarray(features)[real], inverse_root])
    right = np.concatenate([np.asarray(target)[real], inverse_root @ prior.weights])
    weights = np.linalg.lstsq(system, right)[0]
    posterior = condition(prior, features, target, mask)
    np.testing.assert_allclose(posterior.weights, weights, rtol=1e-10)
    np.testing.assert_allclose(posterior.root @ posterior.root.T, np.linalg.inv(system.T @ system), rtol=1e-9)


def test_variance_falls_with_every_row_and_is_the_covariance_form(problem):
    prior, features, target, mask = problem
    before = relative_variance(prior, features)
    np.testing.assert_allclose(before, np.diag(features @ prior.root @ prior.root.T @ features.T), rtol=1e-10)
    assert jnp.all(relative_variance(condition_primal(prior, features, target, mask), features) < before)


def test_prediction_is_the_ridge_formula():
    """Mean = prior mean + [1, v] w, with w from the normal equations over real rows."""
    learner = ridge(linear_model(), item_width=3, penalty=2.0, bias_penalty=0.5)
    meta_params = learner.init(jax.random.key(0))
    meta_params["log_penalty"], meta_params["log_bias_penalty"] = jnp.log(2.0), jnp.log(0.5)
    task = random_task(jax.random.key(1), real_support=4)
    model, params = linear_model(), meta_params["model"]
    user = model.embed_user(params["user"], task.user)
    design, prior = {}, {}
    for part in ("support", "query"):
        vectors = model.embed_item(params["item"], getattr(task, part).items)
        prior[part] = model.score(params["head"], user, vectors)
        design[part] = np.hstack([np.ones((len(vectors), 1)), vectors])
    x, y = design["support"][:4], (task.support.target - prior["support"])[:4]
    weights = np.linalg.solve(x.T @ x + np.diag([0.5, 2.0, 2.0, 2.0]), x.T @ y)
    support = task.support._replace(items=learner.represent(meta_params, task.support.items))
    state = learner.adapt(meta_params, learner.begin(meta_params, task.user), support)
    mean = learner.predict(meta_params, state, learner.represent(meta_params, task.query.items)).mean
    np.testing.assert_allclose(mean, prior["query"] + design["query"] @ weights, rtol=1e-9)


def test_penalties_are_learned():
    learner = ridge(linear_model(), item_width=3)
    task = random_task(jax.random.key(1))
    meta_params = learner.init(jax.random.key(0))
    gradient = jax.grad(lambda m: learner.loss(m, task, jax.random.key(0), jnp.asarray(0.0))[0])(meta_params)
    assert gradient["log_penalty"] != 0
    assert gradient["log_bias_penalty"] != 0


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match=r"penalties must be positive, got penalty=0"):
        ridge(linear_model(), item_width=3, penalty=0)
    with pytest.raises(ConfigError, match="predicts the target itself"):
        ridge(linear_model(), softmax_cross_entropy((1.0, 2.0, 3.0)), item_width=3)
