"""Our side: what metajax computes, compiled, on the workload's tasks."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.agreement import Values
from benchmarks.clock import Call
from metajax.learners.selection import path_of
from metajax.training.compiling import compiler_options
from metajax.training.parts import in_parts
from metajax.types import Examples, Learner, PyTree, Task


def meta_loss(learner: Learner, chunk: int | None = None) -> Callable[[PyTree, Sequence[Task]], jax.Array]:
    """Return (meta_params, batches of tasks) -> mean loss over all tasks.

    Args:
        learner: whose loss.
        chunk: tasks of a bucket whose gradient is taken before the next, as `--training.task-chunk`; None is all.
    """

    def total(meta_params: PyTree, progress: jax.Array, tasks: Task) -> tuple[jax.Array, PyTree]:
        keys = jax.random.split(jax.random.key(0), tasks.support.mask.shape[0])
        losses = jax.vmap(lambda task, key: learner.loss(meta_params, task, key, progress)[0])(tasks, keys)
        return jnp.sum(losses), {}

    of_bucket = in_parts(total, chunk) if chunk else total

    def mean(meta_params: PyTree, batches: Sequence[Task]) -> jax.Array:
        sums = [of_bucket(meta_params, jnp.zeros(()), tasks)[0] for tasks in batches]
        return sum(sums) / sum(tasks.support.mask.shape[0] for tasks in batches)

    return mean


def outer_gradient(
    learner: Learner, chunk: int | None = None
) -> Callable[[PyTree, Sequence[Task]], tuple[jax.Array, PyTree]]:
    """Compile (meta_params, batches of tasks) -> loss and gradient by all meta-parameters, as training compiles."""
    return jax.jit(jax.value_and_grad(meta_loss(learner, chunk)), compiler_options=compiler_options())


def values(result: tuple[jax.Array, PyTree]) -> Values:
    """Bring a loss and a gradient to the host, by path."""
    loss, gradient = result
    leaves = jax.tree_util.tree_leaves_with_path(gradient["model"])
    return Values(float(loss), {path_of(path): np.asarray(leaf) for path, leaf in leaves})


def waiting(function: Callable, *arguments: PyTree) -> Call:
    """Return a call that waits for its result."""
    return lambda: jax.block_until_ready(function(*arguments))


def adapt_one(learner: Learner) -> Callable[[PyTree, PyTree, Examples], PyTree]:
    """Compile (meta_params, user, support of item representations) -> state: one person's adaptation."""

    def adapt(meta_params: PyTree, user: PyTree, support: Examples) -> PyTree:
        return learner.adapt(meta_params, learner.begin(meta_params, user), support)

    return jax.jit(adapt)
