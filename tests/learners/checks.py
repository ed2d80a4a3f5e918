"""What every learner promises, as functions that raise `AssertionError` for a learner that breaks its promise.

`test_conformance.py` runs them over the table of all learners, `test_planted_faults.py` over ones broken on purpose.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from learners.worlds import random_task, random_tasks

from metajax.experiment.artifact import flatten, unflatten
from metajax.learners.linear_posterior import LinearPosterior
from metajax.training.checkpoints import Checkpoints
from metajax.types import Examples, Learner


class Ready(NamedTuple):
    """A learner, its initial meta-parameters, and (meta_params, task) -> adapted state and -> query predictions."""

    learner: Learner
    meta_params: dict
    adapted: Callable
    predict: Callable


def prepare(learner: Learner) -> Ready:
    """Initialise and compile a learner once for all checks."""

    def adapted(meta_params, task):
        support = task.support._replace(items=learner.represent(meta_params, task.support.items))
        return learner.adapt(meta_params, learner.begin(meta_params, task.user), support)

    def predict(meta_params, task):
        items = learner.represent(meta_params, task.query.items)
        return learner.predict(meta_params, adapted(meta_params, task), items).mean

    return Ready(learner, learner.init(jax.random.key(0)), jax.jit(adapted), jax.jit(predict))


def check_shapes_and_labels(ready: Ready) -> None:
    """A prediction per row, a scalar loss, a label per leaf."""
    learner, meta_params, _, predict = ready
    task = random_task(jax.random.key(1))
    chex.assert_shape(predict(meta_params, task), (4,))
    loss, _ = learner.loss(meta_params, task, jax.random.key(2), jnp.float32(0.5))
    chex.assert_shape(loss, ())
    assert jax.tree.structure(learner.labels(meta_params)) == jax.tree.structure(meta_params)


def check_padding(ready: Ready) -> None:
    """Rows with mask 0 may hold anything."""
    _, meta_params, _, predict = ready
    padded = random_task(jax.random.key(1), real_support=3)
    nonsense = padded.support.target.at[3:].set(1e3)
    other = padded._replace(support=padded.support._replace(target=nonsense))
    np.testing.assert_array_equal(predict(meta_params, padded), predict(meta_params, other))
    bare = padded._replace(support=jax.tree.map(lambda leaf: leaf[:3], padded.support))
    np.testing.assert_allclose(predict(meta_params, padded), predict(meta_params, bare), rtol=1e-10)


def check_empty_support(ready: Ready) -> None:
    """An empty support leaves `begin` unchanged, bit for bit."""
    learner, meta_params, adapted, _ = ready
    task = random_task(jax.random.key(1), real_support=0)
    begin = jax.jit(learner.begin)(meta_params, task.user)
    chex.assert_trees_all_equal(adapted(meta_params, task), begin)


def check_order_of_rows(ready: Ready) -> None:
    """The order of support rows does not matter."""
    _, meta_params, _, predict = ready
    task = random_task(jax.random.key(1))
    turned = task._replace(support=jax.tree.map(lambda leaf: leaf[::-1], task.support))
    np.testing.assert_allclose(predict(meta_params, task), predict(meta_params, turned), rtol=1e-9)


def check_adapting_helps(ready: Ready) -> None:
    """The mean squared error on the support itself falls."""
    _, meta_params, _, predict = ready
    task = random_task(jax.random.key(1))
    on_support = task._replace(query=task.support)
    empty = on_support._replace(support=task.support._replace(mask=jnp.zeros(5)))
    before = jnp.mean((predict(meta_params, empty) - task.support.target) ** 2)
    after = jnp.mean((predict(meta_params, on_support) - task.support.target) ** 2)
    assert after < before


def check_adapts_on_support_alone(ready: Ready) -> None:
    """The outer loss is a sum over query rows: no row's target has a say in what another row is predicted.

    For such a sum L(t_0 + d, t_1 + d) - L(t_0 + d, t_1) - L(t_0, t_1 + d) + L(t_0, t_1) = 0, for any step d; a target
    that reached the adaptation would mix in. (`adapt` and `predict` are never given query targets; `loss` is.)
    """
    learner, meta_params, _, _ = ready
    task = random_task(jax.random.key(1))

    @jax.jit
    def loss(first, second):
        target = task.query.target.at[0].add(first).at[1].add(second)
        moved = task._replace(query=task.query._replace(target=target))
        return learner.loss(meta_params, moved, jax.random.key(2), jnp.float32(0))[0]

    mixed = loss(1.0, 1.0) - loss(1.0, 0.0) - loss(0.0, 1.0) + loss(0.0, 0.0)
    np.testing.assert_allclose(mixed, 0, atol=1e-9 * abs(loss(0.0, 0.0)))


def check_gradient(ready: Ready) -> None:
    """The outer gradient is the derivative of the outer loss: along a random direction, by central differences.

    What is frozen stays where it is: a learner need not differentiate by it.
    """
    learner, meta_params, _, _ = ready
    task = random_task(jax.random.key(1))
    flat, unravel = jax.flatten_util.ravel_pytree(meta_params)
    moves = jax.tree.map(
        lambda leaf, label: jnp.full_like(leaf, label != "freeze"), meta_params, learner.labels(meta_params)
    )
    direction = jax.random.normal(jax.random.key(2), flat.shape, flat.dtype) * jax.flatten_util.ravel_pytree(moves)[0]

    @jax.jit
    def along(step):
        return learner.loss(unravel(flat + step * direction), task, jax.random.key(3), jnp.float32(0))[0]

    numeric = (along(1e-5) - along(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(along)(0.0), numeric, rtol=1e-6)


def check_no_user_leaks_into_the_next(ready: Ready) -> None:
    """A user's predictions are the same, bit for bit, after another user was adapted to.

    All in one trace, where a write into `meta_params` or into something outside of the learner is seen.
    """
    predict = inspect.unwrap(ready.predict)  # a compiled function would be traced once for the three calls

    @jax.jit
    def before_and_after(meta_params, first, second):
        before = predict(meta_params, second)
        predict(meta_params, first)
        return before, predict(meta_params, second)

    tasks = random_task(jax.random.key(1)), random_task(jax.random.key(2))
    before, after = before_and_after(ready.meta_params, *tasks)
    np.testing.assert_array_equal(before, after)


def check_vmap_is_a_loop(ready: Ready) -> None:
    """A batch of tasks is predicted as its tasks are."""
    _, meta_params, _, predict = ready
    tasks = random_tasks(jax.random.key(3), 3)
    batched = jax.vmap(predict, (None, 0))(meta_params, tasks)
    for index in range(3):
        one = predict(meta_params, jax.tree.map(lambda leaf, index=index: leaf[index], tasks))
        np.testing.assert_allclose(batched[index], one, rtol=1e-9)


def check_compiles_once(ready: Ready) -> None:
    """Other tasks and keys are no reason to trace the loss again."""
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def loss(meta_params, task, key):
        return ready.learner.loss(meta_params, task, key, jnp.float32(0))[0]

    for seed in range(3):
        loss(ready.meta_params, random_task(jax.random.key(seed)), jax.random.key(seed))


def check_loss_falls(ready: Ready) -> None:
    """Targets are one linear function of item and user for all users; a hundred Adam steps must find some of it."""
    learner = ready.learner

    def world(key):
        tasks = random_tasks(key, 16)

        def target(examples):
            return examples._replace(target=3 + examples.items["about"] @ jnp.array([0.5, -1.0, 0.3]))

        return tasks._replace(support=target(tasks.support), query=target(tasks.query))

    def meta_loss(meta_params, key):
        one = lambda task: learner.loss(meta_params, task, key, jnp.float32(0))[0]  # noqa: E731
        return jnp.mean(jax.vmap(one)(world(key)))

    optimizer = optax.adam(0.05)

    def step(carry, key):
        meta_params, state = carry
        loss, gradients = jax.value_and_grad(meta_loss)(meta_params, key)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(meta_params, updates), state), loss

    with jax.numpy_dtype_promotion("standard"):
        carry = (ready.meta_params, optimizer.init(ready.meta_params))
        _, losses = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))(
            carry, jax.random.split(jax.random.key(1), 100)
        )
    assert losses[-10:].mean() < 0.5 * losses[:10].mean()


def check_streaming_is_exact(ready: Ready) -> None:
    """One rating at a time gives the state of all ratings at once."""
    learner, meta_params, adapted, _ = ready
    task = random_task(jax.random.key(1), support_rows=8)
    items = learner.represent(meta_params, task.support.items)
    state = learner.begin(meta_params, task.user)
    for row in range(8):
        of_row = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], items)
        one = Examples(of_row, task.support.target[row : row + 1], jnp.ones(1))
        state = learner.adapt(meta_params, state, one)
    both = adapted(meta_params, task)
    pairs = zip(jax.tree.leaves(_comparable(state)), jax.tree.leaves(_comparable(both)), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def check_saved_and_restored(ready: Ready, folder: Path) -> None:
    """A checkpoint and an artifact's arrays give the meta-parameters back, bit for bit."""
    checkpoints = Checkpoints(folder)
    checkpoints.save(3, ready.meta_params)
    step, restored = checkpoints.restore(jax.tree.map(jnp.zeros_like, ready.meta_params))
    checkpoints.close()
    assert step == 3
    chex.assert_trees_all_equal(restored, ready.meta_params)
    arrays = flatten(ready.meta_params)
    shapes = jax.eval_shape(ready.learner.init, jax.random.key(0))
    chex.assert_trees_all_equal(unflatten(arrays, shapes), ready.meta_params)


def _comparable(state):
    """Put the covariance in place of its square root, of which there are many."""
    is_posterior = lambda node: isinstance(node, LinearPosterior)  # noqa: E731
    return jax.tree.map(
        lambda node: (node.weights, node.root @ jnp.swapaxes(node.root, -1, -2)) if is_posterior(node) else node,
        state,
        is_leaf=is_posterior,
    )
