"""TaNP: its parts by hand, the whole by the formulas in numpy, and what of its loss is learned and what written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from learners.test_neural_process import WIDTHS, begun, dense_by_hand, residuals, stirred
from learners.worlds import linear_model, random_task

from metajax.errors import ConfigError
from metajax.learners import tanp
from metajax.learners.dense import dense, init_dense
from metajax.learners.tanp import clustering_loss, modulated_dense, soft_assignment

SIZES = {**WIDTHS, "width": 6, "latent_width": 4, "num_clusters": 3}


@pytest.fixture(scope="module")
def ready():
    learner = tanp(linear_model(), **SIZES)
    meta_params = stirred(learner)
    meta_params["frequency"] = jnp.array([0.5, 0.3, 0.2])
    return learner, meta_params


def loss_of(learner, meta_params, task):
    return learner.loss(meta_params, task, jax.random.key(3), jnp.asarray(0.0))


def test_the_soft_assignment_by_hand():
    """Squared distances 0, 1 and 4: kernels 1, 1/2 and 1/5."""
    assignment = soft_assignment(jnp.zeros(2), jnp.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]]))
    np.testing.assert_allclose(assignment, np.array([1, 0.5, 0.2]) / 1.7, rtol=1e-12)
    np.testing.assert_allclose(assignment.sum(), 1, rtol=1e-12)


def test_the_clustering_loss_by_hand():
    """C = (1/2, 1/2), f = (1/4, 3/4): p = (3/4, 1/4); nothing is lost where p is c."""
    even = jnp.array([0.5, 0.5])
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(clustering_loss(even, jnp.array([0.25, 0.75])), expected, rtol=1e-12)
    np.testing.assert_allclose(clustering_loss(even, even), 0, atol=1e-15)


def test_no_modulation_is_the_plain_decoder_and_some_is_not():
    params = init_dense(jax.random.key(0), (4, 5, 5, 2), jnp.dtype(float))
    inputs, zeros = jax.random.normal(jax.random.key(1), (3, 4)), jnp.zeros((2, 5))
    np.testing.assert_array_equal(modulated_dense(params, inputs, zeros, zeros), dense(params, inputs))
    scaled = {**params, "layers_0": jax.tree.map(lambda leaf: 1.5 * leaf, params["layers_0"])}
    scaled["layers_1"] = {"kernel": params["layers_1"]["kernel"], "bias": params["layers_1"]["bias"] + 0.2}
    moved = modulated_dense(params, inputs, zeros.at[0].set(0.5), zeros.at[1].set(0.2))
    np.testing.assert_allclose(moved, dense(scaled, inputs), rtol=1e-12)


def test_the_prediction_by_hand(ready):
    learner, meta_params = ready
    task = random_task(jax.random.key(1), real_support=3)
    items, residual = residuals(meta_params, task)
    begin, support = begun(learner, meta_params, task)
    state = learner.adapt(meta_params, begin, support)
    rows = np.column_stack([np.tile(state.user, (5, 1)), items, residual])[:3]
    pooled, embedding = (
        dense_by_hand(meta_params[name], rows).mean(axis=0) for name in ("latent_encoder", "task_encoder")
    )
    z = dense_by_hand(meta_params["latent"], pooled)[:4]
    centroids = np.asarray(meta_params["centroids"])
    kernel = 1 / (1 + ((embedding - centroids) ** 2).sum(axis=1))
    embedding = embedding + kernel / kernel.sum() @ centroids
    gamma, beta = np.tanh(dense_by_hand(meta_params["modulation"], embedding)).reshape(2, 3, 6)
    hidden = np.column_stack([np.tile(state.user, (5, 1)), items, np.tile(z, (5, 1))])
    for number in range(3):
        one = jax.tree.map(np.asarray, meta_params["decoder"][f"layers_{number}"])
        hidden = np.maximum((1 + gamma[number]) * (hidden @ one["kernel"] + one["bias"]) + beta[number], 0)
    outputs = dense_by_hand({"layers_0": meta_params["decoder"]["layers_3"]}, hidden)
    prediction = learner.predict(meta_params, state, support.items)
    np.testing.assert_allclose(prediction.mean, task.support.target - residual + outputs[:, 0], rtol=1e-11)
    np.testing.assert_allclose(prediction.variance, (0.1 + np.log1p(np.exp(outputs[:, 1]))) ** 2, rtol=1e-11)


def test_the_divergence_vanishes_where_the_query_tells_nothing_new(ready):
    """q(z | S u Q) = q(z | S) where Q is empty, and where Q is S once more; elsewhere it is above 0."""
    learner, meta_params = ready
    task = random_task(jax.random.key(1))
    empty = task._replace(query=task.query._replace(mask=jnp.zeros(4)))
    assert loss_of(learner, meta_params, empty)[1]["kl"] == 0
    again = loss_of(learner, meta_params, task._replace(query=task.support))[1]["kl"]
    np.testing.assert_allclose(again, 0, atol=1e-12)
    assert loss_of(learner, meta_params, task)[1]["kl"] > 1e-3


def test_the_loss_is_the_sum_of_its_parts(ready):
    learner, meta_params = ready
    total, parts = loss_of(learner, meta_params, random_task(jax.random.key(1)))
    expected = parts["negative_log_likelihood"] + parts["kl"] + 0.1 * parts["clustering"]
    np.testing.assert_allclose(total, expected, rtol=1e-12)


def test_the_frequency_is_written_and_all_else_gets_the_gradient_of_the_loss(ready):
    learner, meta_params = ready
    task = random_task(jax.random.key(1))
    gradient = jax.grad(lambda m: loss_of(learner, m, task)[0])(meta_params)
    begin, support = begun(learner, meta_params, task)
    state = learner.adapt(meta_params, begin, support)
    assignment = soft_assignment(state.task_total / 5, meta_params["centroids"])
    written = meta_params["frequency"] - gradient["frequency"]
    np.testing.assert_allclose(written, 0.9 * meta_params["frequency"] + 0.1 * assignment, rtol=1e-12)
    labels = learner.labels(meta_params)
    assert labels.pop("frequency") == "write"
    assert set(jax.tree.leaves(labels)) == {"learn"}

    learned = meta_params | {"frequency": jnp.zeros(0)}
    flat, unravel = ravel_pytree(learned)
    direction = jax.random.normal(jax.random.key(2), flat.shape)
    along = jax.jit(
        lambda step: loss_of(learner, unravel(flat + step * direction) | {"frequency": meta_params["frequency"]}, task)[
            0
        ]
    )
    slope = ravel_pytree(gradient | {"frequency": jnp.zeros(0)})[0] @ direction
    np.testing.assert_allclose(slope, (along(1e-5) - along(-1e-5)) / 2e-5, rtol=1e-6)


def test_sizes_that_make_no_sense_are_told():
    with pytest.raises(ConfigError, match="num_clusters of a neural process must be positive, got 0"):
        tanp(linear_model(), **(SIZES | {"num_clusters": 0}))
