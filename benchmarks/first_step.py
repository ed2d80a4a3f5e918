"""Run by own_rows.py in a process of its own: the first outer step, data in memory, with a compilation cache."""

import json
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from benchmarks.workload import load
from metajax.cli.compilation import use_compilation_cache
from metajax.experiment import Adam
from metajax.tasks.episodes import make_buckets
from metajax.training.feed import TaskSource, make_draw
from metajax.training.kept import place
from metajax.training.mesh import make_mesh
from metajax.training.mover import make_mover
from metajax.training.outer import first_state, make_meta_loss, make_outer_steps


def main() -> None:
    """Print {"seconds": from the parameters' drawing to the end of the first outer step}."""
    use_compilation_cache()
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
    workload = load("melu", inner_steps=1)
    learner, episodes = workload.learner, workload.experiment.episodes
    buckets = make_buckets(workload.histories, episodes, tasks_per_step=32)
    source = jax.tree.map(jnp.asarray, TaskSource(workload.histories, workload.catalogue, buckets))
    started = time.perf_counter()
    mover = make_mover(Adam().build(1000), learner)

    trace = partial(place, Path(sys.argv[1]) / "programs", "benchmark")
    state, _ = first_state(learner, mover, jax.random.key(0), trace=trace)
    draw, meta_loss = make_draw(episodes, make_mesh("tasks=1"), buckets), make_meta_loss(learner, buckets, None)
    steps = make_outer_steps(draw, meta_loss, mover, seed=0, num_steps=1000, most=1, trace=trace)
    jax.block_until_ready(steps(state, source, 1))
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
