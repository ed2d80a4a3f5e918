"""The attentive neural process: what is remembered, attended to and decoded, exactly."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners import checks
from learners.test_neural_process import WIDTHS, begun, dense_by_hand, residuals, stirred
from learners.worlds import linear_model, random_task

from metajax.errors import ConfigError
from metajax.learners import attentive_neural_process, cnp
from metajax.learners.attentive_neural_process import attend
from metajax.learners.support_memory import empty_memory, remember
from metajax.types import Examples

SIZES = {**WIDTHS, "width": 4, "num_heads": 2, "max_support": 6}
VECTOR = jax.ShapeDtypeStruct((3,), float)
NO_PRIOR = jnp.full(2, -jnp.inf)


def random_rows(seed, mask):
    keys = jax.random.split(jax.random.key(seed))
    rows = len(mask)
    return Examples(jax.random.normal(keys[0], (rows, 3)), jax.random.normal(keys[1], (rows,)), jnp.asarray(mask))


@pytest.fixture
def attention():
    return stirred(attentive_neural_process(linear_model(), **SIZES))["cross"]


def test_a_memory_keeps_the_latest_real_rows():
    first, second = random_rows(1, [1.0, 0.0, 1.0]), random_rows(2, [1.0, 1.0, 0.0])
    memory = remember(remember(empty_memory(3, VECTOR, jnp.dtype(float)), first), second)
    expected = [first.target[2], second.target[0], second.target[1]]
    np.testing.assert_array_equal(memory.target, expected)
    np.testing.assert_array_equal(memory.items, jnp.stack([first.items[2], second.items[0], second.items[1]]))
    roomy = remember(remember(empty_memory(6, VECTOR, jnp.dtype(float)), first), second)
    np.testing.assert_array_equal(roomy.target, [0, 0, first.target[0], *expected])
    np.testing.assert_array_equal(roomy.mask, [0, 0, 1, 1, 1, 1])


@pytest.mark.parametrize("capacity", [3, 5, 8])
def test_remembering_in_parts_is_remembering_at_once(capacity):
    rows = random_rows(1, [1.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    empty = empty_memory(capacity, VECTOR, jnp.dtype(float))
    parts = empty
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        parts = remember(parts, jax.tree.map(lambda leaf, a=start, b=stop: leaf[a:b], rows))
    chex.assert_trees_all_equal(parts, remember(empty, rows))
    chex.assert_trees_all_equal(remember(parts, rows._replace(mask=jnp.zeros(6))), parts)


def test_one_row_without_a_prior_is_that_row(attention):
    rows = random_rows(1, [0.0, 1.0, 0.0])
    values = jax.random.normal(jax.random.key(2), (3, 4))
    made = attend(attention | {"prior_logit": NO_PRIOR}, rows.items, rows.items, values, rows.mask)
    np.testing.assert_allclose(made, np.tile(values[1], (3, 1)), rtol=1e-12)


def test_no_row_is_the_prior(attention):
    values = jax.random.normal(jax.random.key(2), (3, 4))
    rows = random_rows(1, [0.0, 0.0, 0.0])
    made = attend(attention, rows.items, rows.items, values, rows.mask)
    np.testing.assert_allclose(made, np.tile(attention["prior_value"], (3, 1)), rtol=1e-12)


def test_the_attention_by_hand(attention):
    """Two heads of two values each, and the prior as one row more."""
    asked, rows = random_rows(1, [1.0, 1.0]).items, random_rows(2, [1.0, 1.0, 0.0])
    values = np.asarray(jax.random.normal(jax.random.key(3), (3, 4)))
    query, key = np.asarray(asked @ attention["query"]), np.asarray(rows.items @ attention["key"])
    prior_logit, prior_value = np.asarray(attention["prior_logit"]), np.asarray(attention["prior_value"])
    expected = np.zeros((2, 4))
    for head, part in enumerate((slice(0, 2), slice(2, 4))):
        logits = query[:, part] @ key[:2, part].T / np.sqrt(2)
        logits = np.column_stack([np.full(2, prior_logit[head]), logits])
        weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected[:, part] = weights @ np.vstack([prior_value[part], values[:2, part]])
    np.testing.assert_allclose(
        attend(attention, asked, rows.items, jnp.asarray(values), rows.mask), expected, rtol=1e-12
    )


def test_where_all_items_are_alike_it_is_the_conditional_neural_process():
    """Keys of 0 weigh all rows alike, and the prior as e^logit rows."""
    attentive, conditional = (make(linear_model(), **WIDTHS, width=4) for make in (attentive_neural_process, cnp))
    meta_params = stirred(attentive)
    cross = meta_params["cross"]
    meta_params["cross"] = cross | {"key": jnp.zeros((3, 4)), "prior_logit": jnp.full(4, jnp.log(2.0))}
    shared = {name: meta_params[name] for name in ("model", "encoder", "decoder")}
    shared |= {"prior": cross["prior_value"], "log_prior_count": jnp.log(jnp.asarray(2.0))}
    task = random_task(jax.random.key(1), real_support=3)
    predictions = []
    for learner, params in ((attentive, meta_params), (conditional, shared)):
        begin, support = begun(learner, params, task)
        items = learner.represent(params, task.query.items)
        predictions.append(learner.predict(params, learner.adapt(params, begin, support), items))
    chex.assert_trees_all_close(*predictions, rtol=1e-12)


def test_the_prediction_by_hand():
    learner = attentive_neural_process(linear_model(), **SIZES)
    meta_params, task = stirred(learner), random_task(jax.random.key(1))
    items, residual = residuals(meta_params, task)
    begin, support = begun(learner, meta_params, task)
    state = learner.adapt(meta_params, begin, support)
    encodings = dense_by_hand(meta_params["encoder"], np.column_stack([items, residual]))
    about_user = attend(meta_params["cross"], support.items, support.items, jnp.asarray(encodings), jnp.ones(5))
    outputs = dense_by_hand(
        meta_params["decoder"], np.column_stack([np.tile(state.user, (5, 1)), items, np.asarray(about_user)])
    )
    prediction = learner.predict(meta_params, state, support.items)
    np.testing.assert_allclose(prediction.mean, task.support.target - residual + outputs[:, 0], rtol=1e-11)
    np.testing.assert_allclose(prediction.variance, (0.1 + np.log1p(np.exp(outputs[:, 1]))) ** 2, rtol=1e-11)


def test_training_on_a_shorter_memory_is_the_likelihood_of_what_is_predicted():
    learner = attentive_neural_process(linear_model(), **SIZES, self_attention=True)
    meta_params, task = stirred(learner), random_task(jax.random.key(1), real_support=4)
    begin, support = begun(learner, meta_params, task)
    items = learner.represent(meta_params, task.query.items)
    mean, variance = learner.predict(meta_params, learner.adapt(meta_params, begin, support), items)
    expected = 0.5 * np.mean(np.log(2 * np.pi * variance) + (task.query.target - mean) ** 2 / variance)
    loss, _ = learner.loss(meta_params, task, jax.random.key(0), jnp.asarray(0.0))
    np.testing.assert_allclose(loss, expected, rtol=1e-11)


def test_self_attention_keeps_the_promises_and_changes_the_prediction():
    learner = attentive_neural_process(linear_model(), **SIZES, self_attention=True)
    ready = checks.prepare(learner)._replace(meta_params=stirred(learner))
    for check in (checks.check_padding, checks.check_order_of_rows, checks.check_gradient):
        check(ready)
    plain = attentive_neural_process(linear_model(), **SIZES)
    task = random_task(jax.random.key(1))
    without = checks.prepare(plain).predict(ready.meta_params, task)
    assert jnp.abs(ready.predict(ready.meta_params, task) - without).max() > 1e-3


def test_sizes_that_make_no_sense_are_told():
    with pytest.raises(
        ConfigError, match=r"Heads share the width out, got width=4 for num_heads=3\. Choose a multiple"
    ):
        attentive_neural_process(linear_model(), **(SIZES | {"num_heads": 3}))
    with pytest.raises(ConfigError, match="max_support of a neural process must be positive, got 0"):
        attentive_neural_process(linear_model(), **(SIZES | {"max_support": 0}))
