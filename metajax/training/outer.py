"""The one outer loop's step: draw a meta-batch, take the mean loss over tasks, move the meta-parameters."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from metajax.tasks.catalogue import Catalogue, Histories
from metajax.tasks.episodes import Bucket, EpisodeConfig, sample_tasks
from metajax.types import Key, Learner, Metrics, PyTree

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


class TaskSource(NamedTuple):
    """Where meta-batches come from, on the device."""

    histories: Histories
    catalogue: Catalogue
    buckets: tuple[Bucket, ...]


def labelled(optimizer: optax.GradientTransformation, learner: Learner) -> optax.GradientTransformation:
    """Apply `optimizer` to the leaves that the learner labels "learn".

    "freeze" leaves never move; "write" leaves take their surrogate gradient, memory - target, whole.
    """
    choices: dict[Hashable, optax.GradientTransformation] = {
        "learn": optimizer,
        "freeze": optax.set_to_zero(),
        "write": optax.sgd(1.0),
    }
    return optax.partition(choices, learner.labels)


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
    learner: Learner, config: EpisodeConfig, mesh: Mesh, buckets: Sequence[Bucket], chunk: int | None
) -> Callable[[PyTree, TaskSource, Key, jax.Array], tuple[jax.Array, Metrics]]:
    """Return the mean loss of a meta-batch, an unbiased estimate of the mean over training users.

    Each bucket's tasks are averaged and weighted by the bucket's share of users. Tasks are sharded over `mesh`.
    """
    sizes = [(bucket.rows, bucket.tasks, bucket.weight) for bucket in buckets]
    by_task = NamedSharding(mesh, PartitionSpec("tasks"))

    def meta_loss(meta_params: PyTree, source: TaskSource, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        def bucket_loss(index: int) -> tuple[jax.Array, Metrics]:
            rows, num_tasks, weight = sizes[index]
            bucket = Bucket(rows, source.buckets[index].users, num_tasks, weight)
            draw_key, loss_key = jax.random.split(jax.random.fold_in(key, index))
            tasks = sample_tasks(draw_key, bucket, source.histories, source.catalogue, config)
            keys = jax.random.split(loss_key, num_tasks)
            tasks, keys = jax.lax.with_sharding_constraint((tasks, keys), by_task)
            one_task = over_tasks(lambda task, one: learner.loss(meta_params, task, one, progress), chunk)
            return jax.tree.map(lambda values: weight * jnp.mean(values), one_task(tasks, keys))

        shares = [bucket_loss(index) for index in range(len(sizes))]
        return jax.tree.map(lambda *values: sum(values), *shares)

    return meta_loss


def make_outer_steps(
    meta_loss: Callable[[PyTree, Source, Key, jax.Array], tuple[jax.Array, Metrics]],
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    num_steps: int,
    accumulate: int = 1,
) -> Callable[[TrainState, Source, int], tuple[TrainState, StepInfo]]:
    """Compile (state, source, count) -> `count` outer steps in one scan; the state's buffers are donated.

    The key of a step is the seed's, folded with the step, so that the sampler has no state but these two.

    Args:
        meta_loss: from `make_meta_loss`, or of tasks from elsewhere: `source` is handed on to it as it is.
        optimizer: any optax transformation.
        seed: of the episodes.
        num_steps: of the whole run; progress = step / num_steps.
        accumulate: meta-batches whose gradients are averaged in one step.
    """

    def gradient(meta_params: PyTree, source: Source, key: Key, progress: jax.Array) -> tuple:
        def add(total: PyTree, one: Key) -> tuple[PyTree, None]:
            (loss, metrics), gradients = jax.value_and_grad(meta_loss, has_aux=True)(meta_params, source, one, progress)
            part = jax.tree.map(lambda leaf: leaf / accumulate, (loss, metrics, gradients))
            return (part if total is None else jax.tree.map(jnp.add, total, part)), None

        if accumulate == 1:
            return add(None, key)[0]
        first, *rest = jax.random.split(key, accumulate)
        return jax.lax.scan(add, add(None, first)[0], jnp.stack(rest))[0]

    def outer_step(state: TrainState, source: Source, seed_key: Key) -> tuple[TrainState, StepInfo]:
        key = jax.random.fold_in(seed_key, state.step)
        progress = state.step.astype(jnp.float32) / num_steps
        loss, metrics, gradients = gradient(state.meta_params, source, key, progress)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.meta_params)
        moved = TrainState(state.step, optax.apply_updates(state.meta_params, updates), optimizer_state)
        norm = optax.tree.norm(gradients)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state)
        return state._replace(step=state.step + 1), StepInfo(loss, norm, finite, metrics)

    def outer_steps(state: TrainState, source: Source, seed_key: Key, count: int) -> tuple[TrainState, StepInfo]:
        return jax.lax.scan(lambda carry, _: outer_step(carry, source, seed_key), state, length=count)

    compiled = jax.jit(outer_steps, static_argnames="count", donate_argnames="state")
    seed_key = jax.random.key(seed)  # handed over, so that all seeds share one program in the compilation cache
    return lambda state, source, count: compiled(state, source, seed_key, count=count)
