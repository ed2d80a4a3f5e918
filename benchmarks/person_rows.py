"""Adapting to one person: 20 ratings, one gradient step on the head, items represented already."""

import jax
import numpy as np

from benchmarks import ours
from benchmarks.agreement import DisagreementError
from benchmarks.clock import Call
from benchmarks.outer_rows import NO_TORCH, on_one_thread
from benchmarks.rows import Group, Row, Timings, against_fastest
from benchmarks.workload import draw_tasks, load

RATINGS = 20
WANTED = 3.0
OURS = "metajax, adapt one person"


def prepare() -> Group:
    """Compile ours, and the ways of torch.

    Raises:
        DisagreementError: if an adapted parameter is another.
    """
    workload = load("melu", inner_steps=1)
    learner = workload.learner
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    task = jax.tree.map(lambda leaf: leaf[0], draw_tasks(workload, 32)[-1])
    support = jax.tree.map(lambda leaf: leaf[:RATINGS], task.support)
    represented = jax.jit(learner.represent)(meta_params, support.items)
    support = support._replace(items=represented, mask=np.ones(RATINGS, np.float32))
    adapt = ours.adapt_one(learner)
    state = adapt(meta_params, task.user, support)
    calls: dict[str, Call] = {OURS: ours.waiting(adapt, meta_params, task.user, support)}
    skipped: dict[str, str] = {}
    try:
        from benchmarks import torch_model, torch_peers
    except ImportError:
        skipped["torch, adapt one person"] = NO_TORCH
    else:
        params = torch_model.to_torch(meta_params["model"])
        user = torch_model.to_torch(task.user)
        items, target = torch_model.to_torch((support.items, support.target))
        ways = torch_peers.adapt_one(workload.experiment.learner.inner_step_size, workload.offset)
        for way, theirs in ways.items():

            def run(theirs=theirs) -> dict:
                vector = torch_model.embed(workload.columns, "user", params, user)
                return theirs(params["head"], vector, items, target)

            _check(way, state.fast["head"], run())
            calls[f"torch {way}, adapt one person"] = run
            calls[f"torch {way} on one thread, adapt one person"] = on_one_thread(run)

    def rows(timings: Timings) -> list[Row]:
        name = f"adapting one person with {RATINGS} ratings, against the best of torch"
        return against_fastest(timings, name, WANTED, OURS, [peer for peer in calls if peer != OURS])

    return Group(calls, rows, skipped, {})


def _check(way: str, head: dict, theirs: dict) -> None:
    def off(array: jax.Array, tensor) -> float:
        return float(np.abs(np.asarray(array) - tensor.detach().numpy()).max())

    worst = max(jax.tree.leaves(jax.tree.map(off, head, theirs)))
    if not worst <= 1e-5:
        raise DisagreementError(f"torch {way}: an adapted parameter is off by {worst:.2e}; wanted within 1e-5.")
