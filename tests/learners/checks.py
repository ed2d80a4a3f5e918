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
    """A learner, its initial meta-parameters, and what the checks compile of it, once for all of them.

    Attributes:
        learner: as it is.
        meta_params: at the start.
        adapted: (meta_params, task) -> the adapted state.
        predict: (meta_params, task) -> means of the query.
        loss: (meta_params, task, key) -> the outer loss.
        slope: (meta_params, task, key) -> the outer loss and its gradient.
    """

    learner: Learner
    meta_params: dict
    adapted: Callable
    predict: Callable
    loss: Callable
    slope: Callable


def prepare(learner: Learner) -> Ready:
    """Initialise and compile a learner once for all checks."""

    def adapted(meta_params, task):
        support = task.support._replace(items=learner.represent(meta_params, task.support.items))
        return learner.adapt(meta_params, learner.begin(meta_params, task.user), support)

    def predict(meta_params, task):
        items = learner.represent(meta_params, task.query.items)
        return learner.predict(meta_params, adapted(meta_params, task), items).mean

    def loss(meta_params, task, key):
        return learner.loss(meta_params, task, key, jnp.float32(0.5))[0]

    meta_params = jax.jit(learner.init)(jax.random.key(0))
    return Ready(
        learner, meta_params, jax.jit(adapted), jax.jit(predict), jax.jit(loss), jax.jit(jax.value_and_grad(loss))
    )


def check_shapes_and_labels(ready: Ready) -> None:
    """A prediction per row, a scalar loss, a label per leaf."""
    meta_params, task = ready.meta_params, random_task(jax.random.key(1))
    chex.assert_shape(ready.predict(meta_params, task), (4,))
    chex.assert_shape(ready.loss(meta_params, task, jax.random.key(2)), ())
    assert jax.tree.structure(ready.learner.labels(meta_params)) == jax.tree.structure(meta_params)


def check_padding(ready: Ready) -> None:
    """Rows with mask 0 may hold anything."""
    meta_params, predict = ready.meta_params, ready.predict
    padded = random_task(jax.random.key(1), real_support=3)
    nonsense = padded.support.target.at[3:].set(1e3)
    other = padded._replace(support=padded.support._replace(target=nonsense))
    np.testing.assert_array_equal(predict(meta_params, padded), predict(meta_params, other))
    bare = padded._replace(support=jax.tree.map(lambda leaf: leaf[:3], padded.support))
    np.testing.assert_allclose(predict(meta_params, padded), predict(meta_params, bare), rtol=1e-10)


def check_empty_support(ready: Ready) -> None:
    """An empty support leaves `begin` unchanged, bit for bit."""
    task = random_task(jax.random.key(1), real_support=0)
    begin = jax.jit(ready.learner.begin)(ready.meta_params, task.user)
    chex.assert_trees_all_equal(ready.adapted(ready.meta_params, task), begin)


def check_order_of_rows(ready: Ready) -> None:
    """The order of support rows does not matter."""
    meta_params, predict = ready.meta_params, ready.predict
    task = random_task(jax.random.key(1))
    turned = task._replace(support=jax.tree.map(lambda leaf: leaf[::-1], task.support))
    np.testing.assert_allclose(predict(meta_params, task), predict(meta_params, turned), rtol=1e-9)


def check_adapting_helps(ready: Ready) -> None:
    """The mean squared error on the support itself falls."""
    meta_params, predict = ready.meta_params, ready.predict
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
    task = random_task(jax.random.key(1))

    def loss(first, second):
        target = task.query.target.at[0].add(first).at[1].add(second)
        moved = task._replace(query=task.query._replace(target=target))
        return ready.loss(ready.meta_params, moved, jax.random.key(2))

    mixed = loss(1.0, 1.0) - loss(1.0, 0.0) - loss(0.0, 1.0) + loss(0.0, 0.0)
    np.testing.assert_allclose(mixed, 0, atol=1e-9 * abs(loss(0.0, 0.0)))


def check_gradient(ready: Ready) -> None:
    """The outer gradient is the derivative of the outer loss: along a random direction, by central differences.

    What is frozen stays where it is: a learner need not differentiate by it.
    """
    meta_params, random = ready.meta_params, np.random.default_rng(2)
    task, key = random_task(jax.random.key(1)), jax.random.key(3)
    direction = jax.tree.map(
        lambda leaf, label: random.normal(size=leaf.shape) * (label != "freeze"),
        meta_params,
        ready.learner.labels(meta_params),
    )

    def along(step):
        moved = jax.tree.map(lambda leaf, move: np.asarray(leaf) + step * move, meta_params, direction)
        return ready.loss(moved, task, key)

    _, gradient = ready.slope(meta_params, task, key)
    products = jax.tree.map(lambda leaf, move: np.sum(np.asarray(leaf) * move), gradient, direction)
    numeric = (along(1e-5) - along(-1e-5)) / 2e-5
    np.testing.assert_allclose(sum(jax.tree.leaves(products)), numeric, rtol=1e-6)


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
    meta_params, predict = ready.meta_params, ready.predict
    tasks = random_tasks(jax.random.key(3), 3)
    batched = jax.vmap(predict, (None, 0))(meta_params, tasks)
    for index in range(3):
        one = predict(meta_params, jax.tree.map(lambda leaf, index=index: leaf[index], tasks))
        np.testing.assert_allclose(batched[index], one, rtol=1e-9)


def check_loss_falls(ready: Ready) -> None:
    """Targets are one linear function of item and user for all users; a hundred Adam steps must find some of it."""
    tasks = random_tasks(jax.random.key(1), 64)

    def linear(examples):
        return examples._replace(target=3 + examples.items["about"] @ jnp.array([0.5, -1.0, 0.3]))

    world = jax.device_get(tasks._replace(support=linear(tasks.support), query=linear(tasks.query)))
    users = [jax.tree.map(lambda leaf, at=at: leaf[at], world) for at in range(64)]
    keys, random = list(jax.random.split(jax.random.key(2), 64)), np.random.default_rng(0)
    optimizer = optax.adam(0.05)

    @jax.jit
    def move(meta_params, state, gradient):
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(meta_params, updates), state

    losses, meta_params, state = [], ready.meta_params, optimizer.init(ready.meta_params)
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(100):
            slopes = [ready.slope(meta_params, users[at], keys[at]) for at in random.integers(64, size=8)]
            gradient = jax.tree.map(lambda *each: np.mean(each, axis=0), *[gradient for _, gradient in slopes])
            meta_params, state = move(meta_params, state, gradient)
            losses.append(np.mean([loss for loss, _ in slopes]))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def check_streaming_is_exact(ready: Ready) -> None:
    """One rating at a time gives the state of all ratings at once."""
    learner, meta_params = ready.learner, ready.meta_params
    task = random_task(jax.random.key(1), support_rows=8)
    items = jax.device_get(jax.jit(learner.represent)(meta_params, task.support.items))
    state, adapt = jax.jit(learner.begin)(meta_params, task.user), jax.jit(learner.adapt)
    for row in range(8):
        of_row = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], items)
        state = adapt(meta_params, state, Examples(of_row, task.support.target[row : row + 1], jnp.ones(1)))
    both = ready.adapted(meta_params, task)
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
