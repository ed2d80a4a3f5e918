"""How many tasks to map at once: all of them, or a few at a time, which may stay in the processor's cache."""

import statistics
from collections.abc import Mapping
from time import perf_counter
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from metajax.tasks.catalogue import Catalogue, Histories
from metajax.tasks.episodes import EpisodeConfig
from metajax.training.compiling import compiler_options
from metajax.training.feed import make_feed
from metajax.training.outer import make_meta_loss
from metajax.types import Learner

CANDIDATES = (None, 16, 32)
WORTH = 0.95
"""A chunk is taken if its gradient takes no more than this share of the time of mapping all at once."""


class Choice(NamedTuple):
    """What was chosen, and what it was chosen by.

    Attributes:
        task_chunk: tasks at once; None is all.
        milliseconds: median time of one meta-gradient by candidate, "all" among them.
    """

    task_chunk: int | None
    milliseconds: Mapping[str, float]


def choose_task_chunk(
    learner: Learner,
    *,
    histories: Histories,
    catalogue: Catalogue,
    episodes: EpisodeConfig,
    tasks_per_step: int,
    mesh: Mesh,
    rounds: int = 7,
) -> Choice:
    """Compile the meta-gradient of each candidate and time them in turns.

    Args:
        learner: to be trained.
        histories: rows of the users to train on.
        catalogue: features of users and items.
        episodes: how tasks are drawn.
        tasks_per_step: size of a meta-batch.
        mesh: as in training.
        rounds: times that each is measured.
    """
    feed = make_feed(histories, catalogue, episodes, mesh, tasks_per_step=tasks_per_step, seed=0)
    buckets, key = feed.source.buckets, jax.random.key(0)
    meta_params = jax.jit(learner.init)(key)
    batch = jax.jit(feed.draw)(feed.source, key)
    most = max(bucket.tasks for bucket in buckets)
    calls = {
        chunk: jax.jit(
            jax.grad(make_meta_loss(learner, buckets, chunk, mesh), has_aux=True), compiler_options=compiler_options()
        )
        for chunk in CANDIDATES
        if chunk is None or chunk < most
    }
    seconds: dict[int | None, list[float]] = {chunk: [] for chunk in calls}
    for _ in range(rounds + 1):  # the first call compiles
        for chunk, call in calls.items():
            started = perf_counter()
            jax.block_until_ready(call(meta_params, batch, jnp.zeros(())))
            seconds[chunk].append(perf_counter() - started)
    medians = {chunk: statistics.median(times[1:]) for chunk, times in seconds.items()}
    best = min(medians, key=lambda chunk: medians[chunk])
    chosen = best if medians[best] <= WORTH * medians[None] else None
    return Choice(chosen, {str(chunk or "all"): round(1e3 * median, 3) for chunk, median in medians.items()})
