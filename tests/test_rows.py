"""Rows of all tasks at once give what the rows of each task give, and every derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.rows import dense_layer, of_all_tasks, product

TASKS, ROWS, INPUTS, OUTPUTS = 3, 4, 5, 2
random = np.random.default_rng(0)
SHAPES = {"kernel": (INPUTS, OUTPUTS), "bias": (OUTPUTS,), "rows": (TASKS, ROWS, INPUTS)}
KERNEL, BIAS, ALL_ROWS = (jnp.asarray(random.normal(size=shape)) for shape in SHAPES.values())


CASES = {
    "product": (product, lambda x, w: x @ w, (KERNEL,)),
    "dense_layer": (dense_layer, lambda x, w, b: x @ w + b[None, :], (KERNEL, BIAS)),
}
case = pytest.mark.parametrize("name", CASES)


def close(found, wanted):
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12), found, wanted)


def square(function):
    return lambda rows, *rest: jnp.sum(function(rows, *rest) ** 2)


def gradients(loss, shared):
    """Return the derivatives of all tasks' loss by the rows and by what is shared."""

    def total(rows, shared):
        return jnp.sum(jax.vmap(lambda one: loss(one, *shared))(rows))

    return jax.jit(jax.grad(total, argnums=(0, 1)))(ALL_ROWS, shared)


@case
def test_values_and_gradients_are_those_of_a_task_at_a_time(name):
    function, plain, shared = CASES[name]
    close(jax.vmap(lambda one: function(one, *shared))(ALL_ROWS), jnp.stack([plain(one, *shared) for one in ALL_ROWS]))
    close(gradients(square(function), shared), gradients(square(plain), shared))


@case
def test_a_gradient_within_the_tasks_and_its_own_gradient(name):
    function, plain, shared = CASES[name]

    def gradient_of(function):
        by_shared = jax.grad(lambda one, *rest: square(function)(one, *rest), argnums=1)
        return lambda one, *rest: jnp.sum(by_shared(one, *rest) ** 2)

    close(gradients(gradient_of(function), shared), gradients(gradient_of(plain), shared))


@case
def test_parameters_of_a_task_s_own_and_of_an_ensemble_s_members(name):
    function, plain, shared = CASES[name]
    own = tuple(jnp.stack([leaf, 2 * leaf, -leaf]) for leaf in shared)
    close(jax.vmap(function)(ALL_ROWS, *own), jax.vmap(plain)(ALL_ROWS, *own))
    ours, theirs = (
        jax.vmap(lambda *member, one=one: gradients(square(one), member))(*own) for one in (function, plain)
    )
    close(ours, theirs)


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
