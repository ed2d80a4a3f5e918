"""Run by own_rows.py in a process of two forced host devices: outer gradients on one of them and on both."""

import json
import sys

import jax
import jax.numpy as jnp

from benchmarks import ours
from benchmarks.clock import interleave
from benchmarks.workload import load
from metajax.tasks.episodes import make_buckets
from metajax.training.compiling import compiler_options
from metajax.training.feed import TaskSource, make_draw
from metajax.training.mesh import everywhere, make_mesh
from metajax.training.outer import make_meta_loss

TASKS = 32


def main() -> None:
    """Print {"one": seconds a round, "two": ...} of five inner steps, tasks drawn inside as in training."""
    workload = load("melu", inner_steps=5)
    learner, episodes = workload.learner, workload.experiment.episodes
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    buckets = make_buckets(workload.histories, episodes, tasks_per_step=TASKS)
    calls = {}
    for name, count in {"one": 1, "two": 2}.items():
        mesh = make_mesh(f"tasks={count}")
        draw, meta_loss = make_draw(episodes, mesh, buckets), make_meta_loss(learner, buckets, None, mesh)

        def drawn_loss(meta_params, source, key, progress, draw=draw, meta_loss=meta_loss):
            return meta_loss(meta_params, draw(source, key), progress)

        source = TaskSource(workload.histories, workload.catalogue, buckets)
        arguments = jax.device_put((meta_params, source, jax.random.key(0), jnp.zeros(())), everywhere(mesh))
        function = jax.jit(jax.value_and_grad(drawn_loss, has_aux=True), compiler_options=compiler_options())
        calls[name] = ours.waiting(function, *arguments)
    timings = interleave(calls, int(sys.argv[1]))
    print(json.dumps({name: each.tolist() for name, each in timings.items()}))


if __name__ == "__main__":
    main()
