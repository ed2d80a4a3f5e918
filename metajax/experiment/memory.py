"""What the compiled programs of an experiment need of the device's memory, by part; nothing is run."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.experiment.assembly import Assembly
from metajax.experiment.running import train_seed
from metajax.ranking import BLOCK, predicted_score, ranker
from metajax.tasks.episodes import sample_tasks
from metajax.training.compiling import compiler_options
from metajax.training.feed import TaskSource
from metajax.training.outer import TrainState
from metajax.types import PyTree, Task

USERS = 64
"""Users of the batch that is ranked for."""


class PartMemory(NamedTuple):
    """Bytes of one compiled program.

    Attributes:
        part: what the program does.
        arguments: parameters, data and whatever else is handed in.
        outputs: what it returns; `reused` of them take the place of arguments.
        reused: see `outputs`.
        temporary: the most that is needed in between.
        code: of the machine code, 0 where the compiler does not say.
    """

    part: str
    arguments: int
    outputs: int
    reused: int
    temporary: int
    code: int

    @property
    def peak(self) -> int:
        """Bytes that the program needs in all."""
        return self.arguments + self.outputs - self.reused + self.temporary + self.code


def compiled_memory(assembly: Assembly) -> list[PartMemory]:
    """Compile an outer step, adapting and predicting a meta-batch, and ranking for one user and for many.

    Raises:
        ConfigError: if the device's compiler does not tell.
    """
    found: list[PartMemory] = []

    def observe(run: Callable, state: TrainState, source: TaskSource) -> None:
        step = jax.jit(run, static_argnums=(2, 3), donate_argnums=0, compiler_options=compiler_options())
        found.append(_measure("outer step", step.lower(state, source, 1, int(state.step))))
        found.extend(_serving(assembly, state.meta_params, source))

    with TemporaryDirectory() as folder:  # training is begun, and ends before its first step
        train_seed(assembly, Path(folder), 0, validate=None, show_progress=False, stop_at=0, observe=observe)
    return found


def _serving(assembly: Assembly, meta_params: PyTree, source: TaskSource) -> Iterator[PartMemory]:
    learner = assembly.parts.learner
    task = _meta_batch(assembly, source)
    num_tasks, rows = task.support.mask.shape
    represent = partial(jax.eval_shape, learner.represent, meta_params)
    represent_tasks = partial(jax.eval_shape, jax.vmap(learner.represent, in_axes=(None, 0)), meta_params)
    support = task.support._replace(items=represent_tasks(task.support.items))
    queried = represent_tasks(task.query.items)
    catalogue = represent(assembly.catalogue.items)

    def adapt(meta_params: PyTree, user: PyTree, support: PyTree) -> PyTree:
        return learner.adapt(meta_params, learner.begin(meta_params, user), support)

    adapt_tasks = jax.jit(jax.vmap(adapt, in_axes=(None, 0, 0)))
    predict_tasks = jax.jit(jax.vmap(learner.predict, in_axes=(None, 0, 0)))
    states = jax.eval_shape(adapt_tasks, meta_params, task.user, support)
    one_state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), states)
    rank = ranker(predicted_score(learner), k=10, block=BLOCK)
    excluded = jax.ShapeDtypeStruct((rows,), jnp.int32)
    rank_all = jax.jit(jax.vmap(rank, in_axes=(None, 0, None, 0)))
    of_all = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((USERS, *leaf.shape), leaf.dtype), (one_state, excluded))
    num_items = jax.tree.leaves(catalogue)[0].shape[0]

    adapting = adapt_tasks.lower(meta_params, task.user, support)
    yield _measure(f"adaptation, {num_tasks} users of {rows} ratings", adapting)
    predicting = predict_tasks.lower(meta_params, states, queried)
    yield _measure(f"prediction, {num_tasks} users of {task.query.mask.shape[1]} items", predicting)
    ranking = jax.jit(rank).lower(meta_params, one_state, catalogue, excluded)
    yield _measure(f"ranking, 1 user, {num_items:,} items", ranking)
    ranking = rank_all.lower(meta_params, of_all[0], catalogue, of_all[1])
    yield _measure(f"ranking, {USERS} users, {num_items:,} items", ranking)


def _meta_batch(assembly: Assembly, source: TaskSource) -> Task:
    """Return the shapes of a meta-batch that is all of the longest rows."""
    longest = source.buckets[-1]
    config = assembly.experiment.episodes
    bucket = longest._replace(rows=config.widths[-1], tasks=assembly.experiment.training.tasks_per_step)
    draw = lambda key, source: sample_tasks(key, bucket, source.histories, source.catalogue, config)  # noqa: E731
    return jax.eval_shape(draw, jax.random.key(0), source)


def _measure(part: str, lowered: jax.stages.Lowered) -> PartMemory:
    sizes = lowered.compile().memory_analysis()
    if sizes is None:
        raise ConfigError(f"The compiler of {jax.default_backend()} does not tell what memory a program needs.")
    return PartMemory(
        part,
        sizes.argument_size_in_bytes,
        sizes.output_size_in_bytes,
        sizes.alias_size_in_bytes,
        sizes.temp_size_in_bytes,
        sizes.generated_code_size_in_bytes,
    )
