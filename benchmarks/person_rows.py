"""Adapting to one person: 20 ratings, one gradient step on the head, items represented already.

Ours and torch's ways take turns in a process of their own, which computes as `metajax serve` does: in the calling
thread (`metajax.cli.compilation.compute_in_place`), which is for a whole process to choose.
"""

import json
import sys
from importlib.util import find_spec

import jax
import numpy as np

from benchmarks import ours
from benchmarks.agreement import DisagreementError
from benchmarks.clock import Call, interleave
from benchmarks.outer_rows import NO_TORCH, on_one_thread
from benchmarks.own_rows import run_apart
from benchmarks.rows import Group, Row, Timings, against_fastest
from benchmarks.workload import draw_tasks, load
from metajax.cli.compilation import compute_in_place

RATINGS = 20
WANTED = 3.0
OURS = "metajax, adapt one person"


def prepare(rounds: int) -> Group:
    """Measure in another process, once the rows are asked for.

    Args:
        rounds: of measurements.
    """

    def rows(timings: Timings) -> list[Row]:
        del timings
        found = {name: np.array(each) for name, each in run_apart("benchmarks.person_rows", str(rounds)).items()}
        name = f"adapting one person with {RATINGS} ratings, against the best of torch"
        return against_fastest(found, name, WANTED, OURS, [peer for peer in found if peer != OURS])

    return Group({}, rows, {} if find_spec("torch") else {"torch, adapt one person": NO_TORCH}, {})


def ways() -> dict[str, Call]:
    """Compile ours, and the ways of torch where it is installed.

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
    if find_spec("torch") is None:
        return calls
    from benchmarks import torch_model, torch_peers

    params = torch_model.to_torch(meta_params["model"])
    user = torch_model.to_torch(task.user)
    items, target = torch_model.to_torch((support.items, support.target))
    for way, theirs in torch_peers.adapt_one(workload.experiment.learner.inner_step_size, workload.offset).items():

        def run(theirs=theirs) -> dict:
            vector = torch_model.embed(workload.columns, "user", params, user)
            return theirs(params["head"], vector, items, target)

        _check(way, state.fast["head"], run())
        calls[f"torch {way}, adapt one person"] = run
        calls[f"torch {way} on one thread, adapt one person"] = on_one_thread(run)
    return calls


def _check(way: str, head: dict, theirs: dict) -> None:
    def off(array: jax.Array, tensor) -> float:
        return float(np.abs(np.asarray(array) - tensor.detach().numpy()).max())

    worst = max(jax.tree.leaves(jax.tree.map(off, head, theirs)))
    if not worst <= 1e-5:
        raise DisagreementError(f"torch {way}: an adapted parameter is off by {worst:.2e}; wanted within 1e-5.")


def main() -> None:
    """Print the seconds a round of every way."""
    compute_in_place()
    print(json.dumps({name: each.tolist() for name, each in interleave(ways(), int(sys.argv[1])).items()}))


if __name__ == "__main__":
    main()
