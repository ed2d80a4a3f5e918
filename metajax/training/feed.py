"""Where meta-batches come from: histories that lie on the device, or rows that are read from disk step by step."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from metajax.tasks.catalogue import Catalogue, Histories, StoredHistories
from metajax.tasks.episodes import Bucket, EpisodeConfig, make_buckets, sample_tasks, split_rows
from metajax.tasks.stored import StreamedRows, stream_rows
from metajax.training.mesh import shard_tasks
from metajax.types import Key, Task

Batch = list[tuple[Task, Key]]
"""The tasks of each bucket, with a key each."""


class TaskSource(NamedTuple):
    """Where meta-batches come from, on the device; `histories` is None where they lie on disk."""

    histories: Any
    catalogue: Catalogue
    buckets: tuple[Bucket, ...]


class Feed(NamedTuple):
    """What the outer loop is fed with.

    Attributes:
        source: on the device.
        draw: (source, key) -> a meta-batch; inside jit. With rows from disk: ((source, one step's rows), key).
        read: (first step, count) -> the rows of these steps, leaves `[count, ...]`; None if all lie on the device.
    """

    source: TaskSource
    draw: Callable[[Any, Key], Batch]
    read: Callable[[int, int], list[StreamedRows]] | None


def make_feed(
    histories: Histories | StoredHistories,
    catalogue: Catalogue,
    config: EpisodeConfig,
    mesh: Mesh,
    *,
    tasks_per_step: int,
    seed: int,
) -> Feed:
    """Make the feed of these histories; tasks are sharded over `mesh`."""
    buckets = make_buckets(histories, config, tasks_per_step=tasks_per_step)
    if isinstance(histories, StoredHistories):
        source = TaskSource(None, catalogue, buckets)
        return Feed(source, make_streamed_draw(config, mesh, buckets), _reader(histories, config, buckets, seed))
    return Feed(TaskSource(histories, catalogue, buckets), make_draw(config, mesh, buckets), None)


def make_draw(config: EpisodeConfig, mesh: Mesh, buckets: Sequence[Bucket]) -> Callable[[TaskSource, Key], Batch]:
    """Return (source, key) -> a meta-batch, drawn on the device."""
    sizes = [(bucket.rows, bucket.tasks, bucket.weight) for bucket in buckets]

    def draw(source: TaskSource, key: Key) -> Batch:
        batch = []
        for index, (rows, num_tasks, weight) in enumerate(sizes):
            bucket = Bucket(rows, source.buckets[index].users, num_tasks, weight)
            draw_key, loss_key = jax.random.split(jax.random.fold_in(key, index))
            tasks = sample_tasks(draw_key, bucket, source.histories, source.catalogue, config)
            batch.append((tasks, jax.random.split(loss_key, num_tasks)))
        return [shard_tasks(part, mesh) for part in batch]

    return draw


def make_streamed_draw(
    config: EpisodeConfig, mesh: Mesh, buckets: Sequence[Bucket]
) -> Callable[[tuple[TaskSource, list[StreamedRows]], Key], Batch]:
    """Return ((source, rows of the step by bucket), key) -> a meta-batch: the users' rows are split on the device."""
    sizes = [(bucket.rows, bucket.tasks) for bucket in buckets]

    def draw(source: tuple[TaskSource, list[StreamedRows]], key: Key) -> Batch:
        about, streamed = source
        batch = []
        for index, ((rows, num_tasks), part) in enumerate(zip(sizes, streamed, strict=True)):
            draw_key, loss_key = jax.random.split(jax.random.fold_in(key, index))
            starts = rows * jnp.arange(num_tasks, dtype=jnp.int32)
            read = Histories(starts, part.items.ravel(), part.target.ravel())
            keys = jax.vmap(lambda one: jax.random.split(one, 3))(jax.random.split(draw_key, num_tasks))
            one_task = jax.vmap(
                partial(split_rows, rows=rows, histories=read, catalogue=about.catalogue, config=config)
            )
            tasks = one_task(keys, user=part.user, start=starts, have=part.count)
            batch.append((tasks, jax.random.split(loss_key, num_tasks)))
        return [shard_tasks(part, mesh) for part in batch]

    return draw


def _reader(
    stored: StoredHistories, config: EpisodeConfig, buckets: Sequence[Bucket], seed: int
) -> Callable[[int, int], list[StreamedRows]]:
    """Return (first step, count) -> rows; threads read ahead as long as the steps asked for follow each other."""
    under_way: list[Iterator[StreamedRows]] = []
    following = -1

    def read(first: int, count: int) -> list[StreamedRows]:
        nonlocal under_way, following
        if first != following:
            under_way = [
                stream_rows(stored, bucket, config, seed=seed + index, first_step=first)
                for index, bucket in enumerate(buckets)
            ]
        following = first + count
        steps = [[next(one) for one in under_way] for _ in range(count)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *steps)

    return read
