"""A trace of a few outer steps, for TensorBoard and Perfetto."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from metajax.training.feed import TaskSource
from metajax.training.loop import Observe
from metajax.training.outer import TrainState

STEPS = 3


def tracer(folder: Path) -> Observe:
    """Return what traces a few steps into `folder`, after as many that compile; training itself is left as it is."""

    def observe(run: Callable, state: TrainState, source: TaskSource) -> None:
        state = jax.tree.map(jnp.copy, state)  # the steps take the buffers over
        step = int(state.step)
        state, _ = jax.block_until_ready(run(state, source, STEPS, step))
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            jax.block_until_ready(run(state, source, STEPS, step + STEPS))

    return observe


def how_to_open(folder: Path) -> str:
    """Say where the trace is, and what shows it."""
    found = sorted(folder.rglob("perfetto_trace.json.gz"))
    if not found:
        return f"No outer step was left to trace: nothing is in {folder}."
    return (
        f"Traced {STEPS} outer steps. Open {found[-1]} at https://ui.perfetto.dev, "
        f"or: pip install xprof tensorboard; tensorboard --logdir {folder}"
    )
