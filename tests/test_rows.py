"""Rows of all tasks at once give what the rows of each task give, and every derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.data.columns import Column
from metajax.learners.dense import dense, init_dense
from metajax.learners.gradient import gradient_learner
from metajax.learners.rules import sgd
from metajax.learners.selection import paths
from metajax.losses import squared_error
from metajax.models import neumf, two_tower
from metajax.models.embeddings import item_width, user_width
from metajax.rows import dense_layer, of_all_tasks, product
from metajax.types import Examples, Task

TASKS, ROWS, INPUTS, OUTPUTS = 3, 4, 5, 2
random = np.random.default_rng(0)
KERNEL, BIAS = jnp.asarray(random.normal(size=(INPUTS, OUTPUTS))), jnp.asarray(random.normal(size=OUTPUTS))
ALL_ROWS = jnp.asarray(random.normal(size=(TASKS, ROWS, INPUTS)))

COLUMNS = (Column("age", "user", "category", 3), Column("genre", "item", "category", 6))

CASES = {
    "product": (product, lambda x, w: x @ w, (KERNEL,)),
    "dense_layer": (dense_layer, lambda x, w, b: x @ w + b[None, :], (KERNEL, BIAS)),
}
case = pytest.mark.parametrize("name", CASES)


def close(found, wanted):
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12), found, wanted)


def sum_of_squares(function):
    return lambda rows, *rest: jnp.sum(function(rows, *rest) ** 2)


def axes_of_shared_products(loss, *arguments):
    """Return how many axes the results of a loss's products have, forward and back, but for those of pairs of tasks."""
    traced = jax.make_jaxpr(jax.grad(loss, argnums=tuple(range(len(arguments)))))(*arguments)
    products = [each for each in equations(traced.jaxpr) if each.primitive.name == "dot_general"]
    assert products
    return {each.outvars[0].aval.ndim for each in products if not any(each.params["dimension_numbers"][1])}


def equations(jaxpr):
    for each in jaxpr.eqns:
        yield each
        for inner in jax.tree.leaves(each.params, is_leaf=lambda leaf: hasattr(leaf, "jaxpr")):
            if hasattr(inner, "jaxpr"):
                yield from equations(inner.jaxpr)


def gradients(loss, shared):
    """Return the derivatives of all tasks' loss by the rows and by what is shared."""

    def total(rows, shared):
        return jnp.sum(jax.vmap(lambda one: loss(one, *shared))(rows))

    return jax.jit(jax.grad(total, argnums=(0, 1)))(ALL_ROWS, shared)


@case
def test_values_and_gradients_are_those_of_a_task_at_a_time(name):
    function, plain, shared = CASES[name]
    close(jax.vmap(lambda one: function(one, *shared))(ALL_ROWS), jnp.stack([plain(one, *shared) for one in ALL_ROWS]))
    close(gradients(sum_of_squares(function), shared), gradients(sum_of_squares(plain), shared))


@case
def test_a_gradient_within_the_tasks_and_its_own_gradient(name):
    function, plain, shared = CASES[name]

    def gradient_of(function):
        by_all = jax.grad(sum_of_squares(function), argnums=tuple(range(1 + len(shared))))
        return lambda *arguments: sum(jnp.sum(leaf**2) for leaf in by_all(*arguments))

    close(gradients(gradient_of(function), shared), gradients(gradient_of(plain), shared))


@case
def test_parameters_of_a_task_s_own_and_of_an_ensemble_s_members(name):
    function, plain, shared = CASES[name]
    own = tuple(jnp.stack([leaf, 2 * leaf, -leaf]) for leaf in shared)
    close(jax.vmap(function)(ALL_ROWS, *own), jax.vmap(plain)(ALL_ROWS, *own))
    ours, theirs = (
        jax.vmap(lambda *member, one=one: gradients(sum_of_squares(one), member))(*own) for one in (function, plain)
    )
    close(ours, theirs)
    close(
        jax.vmap(lambda *member: function(ALL_ROWS[0], *member))(*own),
        jnp.stack([plain(ALL_ROWS[0], *(leaf[number] for leaf in own)) for number in range(3)]),
    )


@case
def test_tasks_that_are_mapped_over_again_are_one_axis_too(name):
    function, plain, shared = CASES[name]
    shards = jnp.stack([ALL_ROWS, -ALL_ROWS])

    def total_of(function):
        each = lambda rows, shared: jax.vmap(jax.vmap(lambda one: sum_of_squares(function)(one, *shared)))(rows)  # noqa: E731
        return lambda rows, shared: jnp.sum(each(rows, shared))

    close(*(jax.grad(total_of(one), argnums=(0, 1))(shards, shared) for one in (function, plain)))
    assert axes_of_shared_products(total_of(function), shards, shared) == {2}
    assert axes_of_shared_products(total_of(plain), shards, shared) == {2, 4}


def test_a_learner_s_dense_network_and_a_head_have_products_of_all_rows():
    params = init_dense(jax.random.key(0), (INPUTS, 4, 4, 1), ALL_ROWS.dtype)
    assert axes_of_shared_products(lambda params: jnp.sum(jax.vmap(partial(dense, params))(ALL_ROWS)), params) == {2}
    for build in (two_tower, neumf):
        model = build(COLUMNS, hidden=(4, 3))
        params = model.init(jax.random.key(0))
        widths = user_width(model, COLUMNS), item_width(model, COLUMNS)
        users, items = jnp.ones((TASKS, widths[0]), jnp.float32), jnp.ones((TASKS, ROWS, widths[1]), jnp.float32)

        def total(head, model=model, users=users, items=items):
            return jnp.sum(jax.vmap(partial(model.score, head))(users, items))

        assert axes_of_shared_products(total, params["head"]) == {2}


@pytest.mark.parametrize("steps", [1, 2])
def test_the_gram_form_has_products_of_all_rows(steps):
    learner = gradient_learner(
        two_tower(COLUMNS, hidden=(4, 3)), squared_error(), fast=paths("head/*"), rule=sgd(0.1), inner_steps=steps
    )
    meta_params = learner.init(jax.random.key(0))
    ones = jnp.ones((TASKS, ROWS), jnp.float32)
    rows = Examples({"genre": ones.astype(int)}, ones, ones)
    tasks = Task({"age": jnp.ones(TASKS, int)}, rows, rows)

    def total(head):
        loss = partial(learner.loss, meta_params | {"model": meta_params["model"] | {"head": head}})
        return jnp.sum(jax.vmap(lambda task: loss(task, jax.random.key(0), ones[0, 0])[0])(tasks))

    head = meta_params["model"]["head"]
    first = {name: leaf for name, leaf in head.items() if name == "layers_0"}
    assert axes_of_shared_products(lambda layer: total(head | layer), first) == {2}


@case
def test_another_axis_than_the_first_is_mapped_over(name):
    function, plain, shared = CASES[name]
    moved = jnp.moveaxis(ALL_ROWS, 0, 1)
    close(
        jax.vmap(lambda one: function(one, *shared), in_axes=1)(moved),
        jnp.stack([plain(one, *shared) for one in ALL_ROWS]),
    )


def test_the_rows_of_all_tasks_come_at_once_where_the_rest_is_shared():
    seen = []

    def told(rows, scale):
        seen.append(rows.shape)
        return rows * scale

    function = of_all_tasks(told)
    jax.vmap(function, in_axes=(0, None))(ALL_ROWS, 2.0)
    assert seen == [(TASKS * ROWS, INPUTS)]
    seen.clear()
    jax.vmap(function)(ALL_ROWS, jnp.ones(TASKS))
    assert seen == [(ROWS, INPUTS)]


def test_the_rows_go_by_another_way_together():
    function = of_all_tasks(lambda rows: rows, together=lambda rows: -rows)
    close(function(ALL_ROWS[0]), ALL_ROWS[0])
    close(jax.vmap(function)(ALL_ROWS), -ALL_ROWS)
