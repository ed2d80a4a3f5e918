"""The one outer loop's step: draw a meta-batch, take the mean loss over tasks, move the meta-parameters."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, Mesh

from metajax.tasks.episodes import Bucket
from metajax.training.mover import Mover
from metajax.types import Key, Learner, Metrics, PyTree, Task

Source = Any


class TrainState(NamedTuple):
    """All that a step needs besides the data and the seed; a resumed run continues from it bit for bit."""

    step: jax.Array
    meta_params: PyTree
    optimizer: PyTree


class StepInfo(NamedTuple):
    """What the log wants of a step; a step that was not finite moved nothing."""

    loss: jax.Array
    gradient_norm: jax.Array
    finite: jax.Array
    metrics: Metrics


def task_mesh(num_devices: int | None = None) -> Mesh:
    """Return a mesh with the axis "tasks" over the first `num_devices` devices (all by default)."""
    devices = jax.devices()[:num_devices]
    return jax.make_mesh((len(devices),), ("tasks",), devices=devices, axis_types=(AxisType.Auto,))


def over_tasks(function: Callable, chunk: int | None) -> Callable:
    """Map over the leading tasks axis at once, or `chunk` tasks at a time, which needs less memory."""
    if chunk is None:
        return jax.vmap(function)
    return lambda *batches: jax.lax.map(lambda one: function(*one), batches, batch_size=chunk)


def make_meta_loss(
    learner: Learner, buckets: Sequence[Bucket], chunk: int | None
) -> Callable[[PyTree, list[tuple[Task, Key]], jax.Array], tuple[jax.Array, Metrics]]:
    """Return (meta_params, batch, progress) -> an unbiased estimate of the mean loss over training users, and metrics.

    Each bucket's tasks are averaged and weighted by the bucket's share of users.
    """
    weights = [bucket.weight for bucket in buckets]

    def meta_loss(meta_params: PyTree, batch: list[tuple[Task, Key]], progress: jax.Array) -> tuple[jax.Array, Metrics]:
        one_task = over_tasks(lambda task, key: learner.loss(meta_params, task, key, progress), chunk)
        shares = [
            jax.tree.map(lambda values, weight=weight: weight * jnp.mean(values), one_task(tasks, keys))
            for weight, (tasks, keys) in zip(weights, batch, strict=True)
        ]
        return jax.tree.map(lambda *values: sum(values), *shares)

    return meta_loss


def make_outer_steps(
    draw: Callable[[Source, Key], PyTree],
    meta_loss: Callable[[PyTree, PyTree, jax.Array], tuple[jax.Array, Metrics]],
    mover: Mover,
    *,
    seed: int,
    num_steps: int,
    accumulate: int = 1,
) -> Callable[..., tuple[TrainState, StepInfo]]:
    """Compile (state, source, count, rows) -> `count` outer steps in one scan; the state's buffers are donated.

    The key of a step is the seed's, folded with the step, so that the sampler has no state but these two.

    Args:
        draw: (source, key) -> a meta-batch; `source` is handed on as it is or, with rows from disk, leaves
            `[count, ...]`, as (source, one step's rows).
        meta_loss: (meta_params, meta-batch, progress) -> (loss, metrics).
        mover: from `make_mover`.
        seed: of the episodes.
        num_steps: of the whole run; progress = step / num_steps.
        accumulate: meta-batches whose gradients are averaged in one step.
    """

    def gradient(meta_params: PyTree, batches: PyTree, progress: jax.Array) -> tuple:
        def add(total: PyTree, batch: PyTree) -> tuple[PyTree, None]:
            (loss, metrics), gradients = jax.value_and_grad(meta_loss, has_aux=True)(meta_params, batch, progress)
            part = jax.tree.map(lambda leaf: leaf / accumulate, (loss, metrics, gradients))
            return (part if total is None else jax.tree.map(jnp.add, total, part)), None

        if accumulate == 1:
            return add(None, batches)[0]
        first = add(None, jax.tree.map(lambda leaf: leaf[0], batches))[0]
        return jax.lax.scan(add, first, jax.tree.map(lambda leaf: leaf[1:], batches))[0]

    def outer_step(state: TrainState, source: Source, seed_key: Key) -> tuple[TrainState, StepInfo]:
        key = jax.random.fold_in(seed_key, state.step)
        progress = state.step.astype(jnp.float32) / num_steps
        many = jax.vmap(draw, in_axes=(None, 0)) if accumulate > 1 else draw
        batches = many(source, jax.random.split(key, accumulate) if accumulate > 1 else key)
        read, batches, rows = mover.gather(state.meta_params, batches)
        loss, metrics, gradients = gradient(read, batches, progress)
        norm = optax.tree.norm(gradients)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        step = state.step + 1
        meta_params, optimizer = mover.move(gradients, state.optimizer, state.meta_params, rows, step, finite)
        return TrainState(step, meta_params, optimizer), StepInfo(loss, norm, finite, metrics)

    def outer_steps(
        state: TrainState, source: Source, seed_key: Key, rows: PyTree, count: int
    ) -> tuple[TrainState, StepInfo]:
        def body(carry: TrainState, one: PyTree) -> tuple[TrainState, StepInfo]:
            return outer_step(carry, source if rows is None else (source, one), seed_key)

        return jax.lax.scan(body, state, rows, length=count)

    compiled = jax.jit(outer_steps, static_argnames="count", donate_argnames="state")
    seed_key = jax.random.key(seed)  # handed over, so that all seeds share one program in the compilation cache
    return lambda state, source, count, rows=None: compiled(state, source, seed_key, rows, count=count)
