"""Neural processes: what is encoded, pooled and decoded, by the formulas in numpy; and that adapting is learned."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from learners.table import AMORTISED, LEARNERS
from learners.worlds import linear_model, random_task, random_tasks

from metajax.errors import ConfigError
from metajax.learners import attentive_neural_process, cnp, tanp
from metajax.learners.dense import dense, init_dense, side_by_side
from metajax.learners.gaussian import bounded_variance, divergence, negative_log_likelihood
from metajax.losses import binary_cross_entropy, squared_error
from metajax.types import Examples, Prediction

WIDTHS = {"user_width": 3, "item_width": 3}


def stirred(learner):
    """Meta-parameters of which nothing is 0."""
    flat, unravel = ravel_pytree(learner.init(jax.random.key(0)))
    return unravel(flat + 0.3 * jax.random.normal(jax.random.key(5), flat.shape))


def begun(learner, meta_params, task):
    """The state before any rating, and the support with represented items."""
    support = task.support._replace(items=learner.represent(meta_params, task.support.items))
    return learner.begin(meta_params, task.user), support


def dense_by_hand(params, inputs):
    inputs, params = np.asarray(inputs), jax.tree.map(np.asarray, params)
    for number in range(len(params)):
        inputs = inputs @ params[f"layers_{number}"]["kernel"] + params[f"layers_{number}"]["bias"]
        inputs = np.maximum(inputs, 0) if number < len(params) - 1 else inputs
    return inputs


def residuals(meta_params, task):
    """Vectors of the support's items, and what the shared model leaves of its targets."""
    model, params = linear_model(), meta_params["model"]
    user, items = model.embed_user(params["user"], task.user), model.embed_item(params["item"], task.support.items)
    return np.asarray(items), np.asarray(task.support.target - model.score(params["head"], user, items))


def test_a_dense_network_by_hand():
    params = init_dense(jax.random.key(0), (4, 5, 6, 2), jnp.dtype(float))
    inputs = jax.random.normal(jax.random.key(1), (3, 4))
    np.testing.assert_allclose(dense(params, inputs), dense_by_hand(params, inputs), rtol=1e-12)
    np.testing.assert_allclose(dense(params, inputs)[0], dense(params, inputs[0]), rtol=1e-12)


def test_what_is_put_side_by_side():
    made = side_by_side(2, jnp.array([1.0, 2.0]), jnp.array([[3.0], [4.0]]))
    np.testing.assert_array_equal(made, [[1, 2, 3], [1, 2, 4]])


def test_the_likelihood_is_that_of_a_gaussian_and_reads_no_padding():
    rows = Examples(None, jnp.array([3.0, 4.0, jnp.nan]), jnp.array([1.0, 1.0, 0.0]))
    prediction = Prediction(jnp.array([2.5, 4.5, 1.0]), jnp.array([0.5, 2.0, 1.0]))
    expected = -np.mean(np.log([np.exp(-0.25) / np.sqrt(np.pi), np.exp(-0.0625) / np.sqrt(4 * np.pi)]))
    np.testing.assert_allclose(negative_log_likelihood(prediction, rows), expected, rtol=1e-12)
    gradient = jax.grad(lambda mean: negative_log_likelihood(prediction._replace(mean=mean), rows))(prediction.mean)
    np.testing.assert_allclose(gradient, [-0.5, 0.125, 0], rtol=1e-12)


def test_the_divergence_is_the_integral():
    """KL of two Gaussians in two independent dimensions, against the trapezoidal rule."""
    mean, variance = np.array([0.3, -1.0]), np.array([0.5, 2.0])
    prior_mean, prior_variance = np.array([1.0, 0.5]), np.array([1.5, 0.8])
    grid = np.linspace(-20, 20, 20001)[:, None]

    def log_density(center, spread):
        return -0.5 * (np.log(2 * np.pi * spread) + (grid - center) ** 2 / spread)

    ours = log_density(mean, variance)
    integral = np.trapezoid(np.exp(ours) * (ours - log_density(prior_mean, prior_variance)), grid, axis=0).sum()
    np.testing.assert_allclose(divergence(*map(jnp.asarray, (mean, variance, prior_mean, prior_variance))), integral)
    assert divergence(*map(jnp.asarray, (mean, variance, mean, variance))) == 0


def test_the_variance_is_bounded_below():
    np.testing.assert_allclose(bounded_variance(jnp.array([-1e3, 0.0]), 0.1), [0.01, (0.1 + np.log(2)) ** 2])


@pytest.mark.parametrize("prior_count", [2.0, 0.0])
def test_the_conditional_neural_process_by_hand(prior_count):
    """With a prior that counts as no rating r is the mean of the encodings, as in the paper."""
    learner = cnp(linear_model(), squared_error(), **WIDTHS, width=4)
    meta_params = stirred(learner) | {"log_prior_count": jnp.log(jnp.asarray(prior_count))}
    task = random_task(jax.random.key(1), real_support=3)
    items, residual = residuals(meta_params, task)
    encodings = dense_by_hand(meta_params["encoder"], np.column_stack([items, residual]))[:3]
    pooled = (prior_count * np.asarray(meta_params["prior"]) + encodings.sum(axis=0)) / (prior_count + 3)
    begin, support = begun(learner, meta_params, task)
    state = learner.adapt(meta_params, begin, support)
    np.testing.assert_allclose(state.total, encodings.sum(axis=0), rtol=1e-12)
    inputs = np.column_stack([np.tile(state.user, (5, 1)), items, np.tile(pooled, (5, 1))])
    outputs = dense_by_hand(meta_params["decoder"], inputs)
    prediction = learner.predict(meta_params, state, support.items)
    score = task.support.target - residual
    np.testing.assert_allclose(prediction.mean, score + outputs[:, 0], rtol=1e-12)
    np.testing.assert_allclose(prediction.variance, (0.1 + np.log1p(np.exp(outputs[:, 1]))) ** 2, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", AMORTISED)
def test_adapting_is_learned(name):
    """Users differ in a constant and nothing else: five ratings tell it, to a learner that was trained to ask."""
    learner = LEARNERS[name]()

    def world(key):
        bias_key, key = jax.random.split(key)
        tasks, bias = random_tasks(key, 16), jax.random.normal(bias_key, (16, 1))
        shift = lambda rows: rows._replace(target=3 + bias + 0 * rows.target)  # noqa: E731
        return tasks._replace(support=shift(tasks.support), query=shift(tasks.query))

    optimizer = optax.adam(0.01)

    def step(carry, key):
        meta_params, state = carry
        loss = lambda m: jnp.mean(jax.vmap(lambda task: learner.loss(m, task, key, jnp.float32(0))[0])(world(key)))  # noqa: E731
        updates, state = optimizer.update(jax.grad(loss)(meta_params), state)
        return (optax.apply_updates(meta_params, updates), state), None

    with jax.numpy_dtype_promotion("standard"):
        meta_params = learner.init(jax.random.key(0))
        carry = (meta_params, optimizer.init(meta_params))
        (meta_params, _), _ = jax.jit(lambda c, keys: jax.lax.scan(step, c, keys))(
            carry, jax.random.split(jax.random.key(1), 300)
        )

    def error(task, real):
        begin, support = begun(learner, meta_params, task)
        state = learner.adapt(meta_params, begin, support._replace(mask=support.mask * real))
        prediction = learner.predict(meta_params, state, learner.represent(meta_params, task.query.items))
        return (prediction.mean - task.query.target) ** 2, prediction.variance

    tasks = world(jax.random.key(2))
    before, unsure = jax.vmap(lambda task: error(task, 0.0))(tasks)
    after, sure = jax.vmap(lambda task: error(task, 1.0))(tasks)
    assert after.mean() < 0.25 * before.mean()
    assert sure.mean() < 0.5 * unsure.mean()


@pytest.mark.parametrize("name", AMORTISED)
def test_choices_that_make_no_sense_are_told(name):
    make = {"cnp": cnp, "tanp": tanp, "attentive_neural_process": attentive_neural_process}[name]
    with pytest.raises(ConfigError, match="likelihood of a Gaussian, got the loss binary cross-entropy"):
        make(linear_model(), binary_cross_entropy(), **WIDTHS)
    with pytest.raises(ConfigError, match="min_deviation of a neural process must be positive, got 0"):
        make(linear_model(), squared_error(), **WIDTHS, min_deviation=0.0)
