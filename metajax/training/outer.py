"""The one outer loop's step: draw a meta-batch, take the mean loss over tasks, move the meta-parameters."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.sharding import Mesh

from metajax.tasks.episodes import Bucket
from metajax.training.compiling import compiler_options
from metajax.training.kept import compiled, traced
from metajax.training.mesh import over_tasks, state_shardings
from metajax.training.mover import Mover
from metajax.training.parts import in_parts
from metajax.types import Key, Learner, Metrics, PyTree, Task

Source = Any


class TrainState(NamedTuple):
    """All that a step needs besides the data and the seed; a resumed run continues from it bit for bit."""

    step: jax.Array
    meta_params: PyTree
    optimizer: PyTree


class StepInfo(NamedTuple):
    """What the log wants of a step, or of several; a step that was not finite moved nothing."""

    loss: jax.Array
    gradient_norm: jax.Array
    finite: jax.Array
    metrics: Metrics


def first_state(
    learner: Learner, mover: Mover, key: Key, *, mesh: Mesh | None = None, trace: Callable[[str], Path] | None = None
) -> tuple[TrainState, PyTree]:
    """Return the state before the first step, and its shardings over the mesh; no table is ever whole on one device.

    Args:
        learner: whose meta-parameters are drawn.
        mover: of them.
        key: consumed.
        mesh: None for one device.
        trace: as of `make_outer_steps`; not with a mesh of several devices.
    """

    def first(data: jax.Array) -> TrainState:
        meta_params = learner.init(jax.random.wrap_key_data(data))
        return TrainState(jnp.zeros((), jnp.int32), meta_params, mover.init(meta_params))

    data = jax.random.key_data(key)
    shapes = jax.eval_shape(first, data)
    shardings = None if mesh is None else state_shardings(mesh, shapes)
    if trace is None:
        run = jax.jit(first, out_shardings=shardings, compiler_options=compiler_options(once=True))
        return run(data), shardings
    run = compiled(first, (data,), result=jax.tree.structure(shapes), path=trace("first state"), once=True)
    state = run(data)
    return state if shardings is None else jax.device_put(state, shardings), shardings


def make_meta_loss(
    learner: Learner, buckets: Sequence[Bucket], chunk: int | None, mesh: Mesh | None = None
) -> Callable[[PyTree, list[tuple[Task, Key]], jax.Array], tuple[jax.Array, Metrics]]:
    """Return (meta_params, batch, progress) -> an unbiased estimate of the mean loss over training users, and metrics.

    Each bucket's tasks are averaged and weighted by the bucket's share of users; what pads them does not count. Chunks
    are of the tasks of one shard of `mesh`; where that is all of them, each chunk's gradient is taken by itself.
    """
    in_one_shard = mesh is None or mesh.shape["tasks"] == 1

    def total(
        meta_params: PyTree, progress: jax.Array, tasks: tuple[Task, Key, jax.Array]
    ) -> tuple[jax.Array, Metrics]:
        def one_task(task: Task, key: Key) -> tuple[jax.Array, Metrics]:
            return learner.loss(meta_params, task, key, progress)

        *inputs, is_real = tasks
        each = over_tasks(one_task, None if in_one_shard else chunk, mesh)(*inputs)
        return jax.tree.map(lambda values: jnp.sum(values, where=is_real), each)

    if chunk and in_one_shard:
        total = in_parts(total, chunk)

    def meta_loss(meta_params: PyTree, batch: list[tuple[Task, Key]], progress: jax.Array) -> tuple[jax.Array, Metrics]:
        def share(bucket: Bucket, tasks: Task, keys: Key) -> tuple[jax.Array, Metrics]:
            is_real = jnp.asarray(np.arange(len(keys)) < bucket.tasks)
            sums = total(meta_params, progress, (tasks, keys, is_real))
            return jax.tree.map(lambda values: bucket.weight * (values / bucket.tasks), sums)

        shares = [share(bucket, *part) for bucket, part in zip(buckets, batch, strict=True)]
        return jax.tree.map(lambda *values: sum(values), *shares)

    return meta_loss


def make_outer_steps(
    draw: Callable[[Source, Key], PyTree],
    meta_loss: Callable[[PyTree, PyTree, jax.Array], tuple[jax.Array, Metrics]],
    mover: Mover,
    *,
    seed: int,
    num_steps: int,
    most: int,
    accumulate: int = 1,
    shardings: Any = None,
    trace: Callable[[str], Path] | None = None,
) -> Callable[..., tuple[TrainState, StepInfo]]:
    """Compile (state, source, count, rows) -> `count` outer steps in one loop, and what the log wants, on the host.

    The state's buffers are donated. One program serves every count up to `most`: the last steps of a run, which are
    fewer, compile nothing.

    The key of a step is the seed's, folded with the step, so that the sampler has no state but these two.

    Args:
        draw: (source, key) -> a meta-batch; `source` is handed on as it is or, with rows from disk, leaves
            `[count, ...]`, as (source, one step's rows).
        meta_loss: (meta_params, meta-batch, progress) -> (loss, metrics).
        mover: from `make_mover`.
        seed: of the episodes.
        num_steps: of the whole run; progress = step / num_steps.
        most: steps of one call.
        accumulate: meta-batches whose gradients are averaged in one step.
        shardings: of what is returned, the state and what the log wants; the compiler's choice by default.
        trace: name of a program and its shapes -> where its trace is kept for the next process (`kept.place`); of
            programs on one device, whose rows are not read from disk. By default none is kept.
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

    @jax.jit  # which is traced once, though `outer_steps` asks for its shapes first
    def outer_step(
        state: TrainState, source: Source, seed_key: Key, rows: PyTree, index: jax.Array
    ) -> tuple[TrainState, StepInfo]:
        if rows is not None:
            source = source, jax.tree.map(lambda leaf: leaf[index], rows)
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
        state: TrainState, source: Source, seed_key: Key, rows: PyTree, count: jax.Array | int
    ) -> tuple[TrainState, StepInfo]:
        def body(index: jax.Array, carry: tuple[TrainState, StepInfo]) -> tuple[TrainState, StepInfo]:
            state, info = outer_step(carry[0], source, seed_key, rows, index)
            return state, jax.tree.map(lambda all_of, its: all_of.at[index].set(its), carry[1], info)

        _, of_one = jax.eval_shape(outer_step, state, source, seed_key, rows, jnp.zeros((), jnp.int32))
        info = jax.tree.map(lambda leaf: jnp.zeros((most, *leaf.shape), leaf.dtype), of_one)
        return jax.lax.fori_loop(jnp.zeros((), jnp.int32), jnp.asarray(count, jnp.int32), body, (state, info))

    run = jax.jit(outer_steps, donate_argnames="state", out_shardings=shardings, compiler_options=compiler_options())
    seed_key = jax.random.key(seed)  # handed over, so that all seeds share one program in the compilation cache
    from_trace: list[Callable] = []

    def steps(state: TrainState, source: Source, count: int, rows: PyTree = None) -> tuple[TrainState, StepInfo]:
        if isinstance(state.step, Tracer):  # within a caller's program, whose options count
            return outer_steps(state, source, seed_key, rows, count)
        if trace is None or rows is not None:
            state, info = run(state, source, seed_key, _filled(rows, most), np.int32(count))
        else:
            if not from_trace:
                from_trace.append(_from_trace(outer_steps, most, state, source, trace))
            state, info = from_trace[0](state, source, jax.random.key_data(seed_key), np.int32(count))
        return state, jax.tree.map(lambda leaf: np.asarray(leaf)[:count], info)

    return steps


def _filled(rows: PyTree, most: int) -> PyTree:
    """Return leaves `[most, ...]` of rows of fewer steps."""
    return jax.tree.map(
        lambda leaf: np.concatenate([leaf, np.zeros((max(0, most - len(leaf)), *leaf.shape[1:]), leaf.dtype)]), rows
    )


def _from_trace(
    outer_steps: Callable, most: int, state: TrainState, source: Source, trace: Callable[[str], Path]
) -> Callable:
    """Compile (state, source, data of the seed's key, count) -> outer steps, by a trace that is kept or will be."""
    of_state, structure = jax.tree.structure(state), jax.tree.structure((state, source, 0, 0))

    def flat(*leaves: jax.Array) -> dict[str, Any]:
        state, source, key, count = jax.tree.unflatten(structure, leaves)
        state, info = outer_steps(state, source, jax.random.wrap_key_data(key), None, count)
        return info._asdict() | {"state": jax.tree.leaves(state)}

    key = jax.random.key_data(jax.random.key(0))
    shapes = [
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves((state, source, key, np.int32(0)))
    ]
    path = trace(f"outer steps {most} {structure} {shapes}")
    run = jax.jit(
        traced(flat, shapes, path),
        donate_argnums=tuple(range(of_state.num_leaves)),
        compiler_options=compiler_options(),
    )

    def steps(*arguments: PyTree) -> tuple[TrainState, StepInfo]:
        found = run(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(of_state, found.pop("state")), StepInfo(**found)

    return steps
