"""The Gram form of inner steps is a rearrangement: the loss and every derivative of copying kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.data.columns import Column
from metajax.learners import gradient
from metajax.learners.flows import first_order, full, truncated
from metajax.learners.gradient import gradient_learner
from metajax.learners.gram import MOST_STEPS, adapted_query_loss, pays
from metajax.learners.objectives import multi_step
from metajax.learners.rules import sgd
from metajax.learners.selection import paths
from metajax.losses import ordinal, softmax_cross_entropy, squared_error
from metajax.models import two_tower
from metajax.types import Examples, Task

COLUMNS = (Column("age", "user", "category", 3), Column("genre", "item", "category", 6))
LEVELS = (1.0, 2.0, 3.0)
FLOWS = {"full": full(), "first_order": first_order()}
COPYING = {"full": full(forward_over_reverse=True), "first_order": truncated(0)}  # the same, by the general path


@pytest.fixture(autouse=True)
def _promotion():
    with jax.numpy_dtype_promotion("standard"):  # parameters of nnx are float32 until they are cast
        yield


def make_model(hidden=(4, 3), **choices):
    model = two_tower(COLUMNS, embedding_dim=2, embedding_scale=1.0, hidden=hidden, **choices)
    return model._replace(init=lambda key: jax.tree.map(lambda leaf: leaf.astype(float), model.init(key)))


def make_task(real=5, rows=6):
    def examples(seed, real):
        random = np.random.default_rng(seed)
        mask = (np.arange(rows) < real).astype(float)
        return Examples({"genre": jnp.asarray(random.integers(0, 6, rows))}, random.choice(LEVELS, rows), mask)

    return Task({"age": jnp.asarray(1)}, examples(0, real), examples(1, 4))


def outer_gradient(learner):
    def loss(meta_params, task):
        return learner.loss(meta_params, task, jax.random.key(1), jnp.zeros(()))[0]

    return jax.jit(jax.value_and_grad(loss))


@pytest.mark.parametrize(
    ("flow", "steps", "loss", "outputs", "hidden"),
    [
        ("full", 1, ordinal(LEVELS), 1, (4, 3)),
        ("full", 3, squared_error(), 1, (4, 3)),
        ("first_order", 2, softmax_cross_entropy(LEVELS), 3, (4,)),
    ],
)
def test_it_is_what_copying_kernels_gives(flow, steps, loss, outputs, hidden):
    choices = {"fast": paths("head/*"), "rule": sgd(0.3, learned=True), "inner_steps": steps}
    model = make_model(hidden, outputs=outputs)
    learner, copying = (gradient_learner(model, loss, flow=one[flow], **choices) for one in (FLOWS, COPYING))
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    found, wanted = outer_gradient(learner), outer_gradient(copying)
    for task in (make_task(), make_task(real=0)):
        both = found(meta_params, task), wanted(meta_params, task)
        jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12), *both)


def test_it_is_taken_where_it_holds_and_nowhere_else(monkeypatch):
    taken = []

    def watched(*arguments, **choices):
        taken.append(True)
        return adapted_query_loss(*arguments, **choices)

    monkeypatch.setattr(gradient, "adapted_query_loss", watched)

    def takes_it(model=None, **choices):
        taken.clear()
        choices = {"fast": paths("head/*"), "rule": sgd(0.1), "inner_steps": 1} | choices
        learner = gradient_learner(model or make_model(), squared_error(), **choices)
        jax.eval_shape(lambda key: outer_gradient(learner)(learner.init(key), make_task()), jax.random.key(0))
        return bool(taken)

    assert takes_it()
    assert takes_it(flow=first_order())
    assert not takes_it(flow=full(remat=True))
    assert not takes_it(fast=paths("head/output/*"))
    assert not takes_it(fast=paths("*"))
    assert not takes_it(objective=multi_step(1))
    assert not takes_it(inner_steps=0)
    assert not takes_it(inner_steps=MOST_STEPS + 1)
    assert not takes_it(make_model(context=2))


def test_long_supports_have_kernels_of_their_own():
    model = make_model()
    head = model.init(jax.random.key(0))["head"]
    assert pays(model.dense_head, head, rows=1000, steps=1)
    assert pays(model.dense_head, head, rows=8, steps=2)
    assert not pays(model.dense_head, head, rows=9, steps=2)  # of four inputs
