"""Outer regularisers add their term to the loss and leave adaptation alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.worlds import linear_model, random_task
from scipy.integrate import quad
from scipy.stats import norm

from metajax.errors import ConfigError
from metajax.learners import anil, l2_to_prior, noisy_weights
from metajax.learners.regularizers import gaussian_kl
from metajax.losses import squared_error

KEY, START = jax.random.key(0), jnp.asarray(0.0)


@pytest.fixture(scope="module")
def learner():
    return anil(linear_model(), squared_error(), inner_step_size=0.05)


def test_l2_pulls_towards_its_prior(learner):
    task = random_task(jax.random.key(1))
    meta_params = learner.init(jax.random.key(0))
    prior = jax.tree.map(jnp.ones_like, meta_params)
    plain = jax.grad(lambda m: learner.loss(m, task, KEY, START)[0])(meta_params)
    for towards in (None, prior):
        pulled = l2_to_prior(learner, 0.3, prior=towards)
        gradient = jax.grad(lambda m, pulled=pulled: pulled.loss(m, task, KEY, START)[0])(meta_params)
        for g, p, theta in zip(*map(jax.tree.leaves, (gradient, plain, meta_params)), strict=True):
            np.testing.assert_allclose(g, p + 0.3 * (theta - (0.0 if towards is None else 1.0)), rtol=1e-9, atol=1e-12)


def test_l2_leaves_alone_what_a_learner_writes_itself(learner):
    written = learner._replace(labels=lambda meta_params: jax.tree.map(lambda _: "write", meta_params))
    task, meta_params = random_task(jax.random.key(1)), learner.init(jax.random.key(0))
    np.testing.assert_allclose(
        l2_to_prior(written, 0.3).loss(meta_params, task, KEY, START)[0], learner.loss(meta_params, task, KEY, START)[0]
    )


def test_the_kl_of_gaussians_is_the_integral():
    for mean, deviation in [(0.3, 0.5), (-1.0, 1.2), (0.0, 1.0)]:
        exact, _ = quad(
            lambda x, m=mean, s=deviation: norm.pdf(x, m, s) * (norm.logpdf(x, m, s) - norm.logpdf(x)), -12, 12
        )
        found = gaussian_kl({"w": jnp.array([mean])}, {"w": jnp.log(jnp.array([deviation]))})
        np.testing.assert_allclose(found, exact, atol=1e-9)


def test_noisy_weights_predict_with_the_means_and_train_with_draws(learner):
    task = random_task(jax.random.key(1))
    noisy = noisy_weights(learner, 0.0, deviation=1e-9)
    meta_params = noisy.init(jax.random.key(0))
    plain = learner.loss(meta_params["mean"], task, KEY, START)[0]
    np.testing.assert_allclose(noisy.loss(meta_params, task, KEY, START)[0], plain, rtol=1e-6)
    wide = noisy_weights(learner, 0.0, deviation=0.5)
    losses = {float(wide.loss(wide.init(jax.random.key(0)), task, jax.random.key(one), START)[0]) for one in range(3)}
    assert len(losses) == 3
    weighted = noisy_weights(learner, 2.0, deviation=1e-9)
    kl = gaussian_kl(meta_params["mean"], meta_params["log_deviation"])
    np.testing.assert_allclose(weighted.loss(meta_params, task, KEY, START)[0], plain + 2 * kl, rtol=1e-6)


def test_nonsense_is_refused(learner):
    with pytest.raises(ConfigError, match="weight of a regulariser must be 0 or more"):
        l2_to_prior(learner, -1.0)
    with pytest.raises(ConfigError, match="deviation of noisy weights must be positive"):
        noisy_weights(learner, 1.0, deviation=0.0)
