"""Run by own_rows.py in a process of its own: the first outer step, data in memory, with a compilation cache."""

import json
import sys
import time

import jax
import jax.numpy as jnp

from benchmarks.workload import load
from metajax.cli.compilation import use_compilation_cache
from metajax.experiment import Adam
from metajax.tasks.episodes import make_buckets
from metajax.training.outer import TaskSource, TrainState, labelled, make_meta_loss, make_outer_steps, task_mesh


def main() -> None:
    """Print {"seconds": from the parameters' drawing to the end of the first outer step}."""
    use_compilation_cache()
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
    workload = load("melu", inner_steps=1)
    learner, episodes = workload.learner, workload.experiment.episodes
    buckets = make_buckets(workload.histories, episodes, tasks_per_step=32)
    started = time.perf_counter()
    optimizer = labelled(Adam().build(1000), learner)
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    state = TrainState(jnp.zeros((), jnp.int32), meta_params, optimizer.init(meta_params))
    meta_loss = make_meta_loss(learner, episodes, task_mesh(1), buckets, None)
    steps = make_outer_steps(meta_loss, optimizer, seed=0, num_steps=1000)
    jax.block_until_ready(steps(state, TaskSource(workload.histories, workload.catalogue, buckets), 1))
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
