"""One person, from ratings to a list: MovieLens-1M's catalogue, and a million items by a linear form.

The first is measured in a process of its own, which computes as `metajax serve` does: in the calling thread.
"""

import json
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import ours
from benchmarks.clock import Call, Spread, interleave, spread
from benchmarks.machine import COPY_BYTES
from benchmarks.own_rows import run_apart
from benchmarks.rows import Group, Row, Timings, fastest
from benchmarks.workload import draw_tasks, load
from metajax.cli.compilation import compute_in_place
from metajax.ranking import adapt_to, linear_score, predicted_score, ranker
from metajax.training.compiling import compiler_options
from metajax.types import PyTree

RATINGS, MANY = 20, 1_000_000
SMALL, LARGE = "metajax, adapt to one person and rank the catalogue", "metajax, score 1,000,000 items by a linear form"
MILLISECONDS, BANDWIDTH = 1.0, 50.0
COPIES = ("peak: numpy copy", "peak: jax copy", "peak: torch copy")


def prepare(rounds: int) -> Group:
    """Compile ridge's scores of a million items; the list of ten is measured once the rows are asked for.

    Args:
        rounds: of measurements.
    """
    call, num_bytes = _million()

    def rows(timings: Timings) -> list[Row]:
        made = run_apart("benchmarks.catalogue_rows", str(rounds))
        one = spread(1e3 * np.array(made["seconds"]))
        name = f"adapt and rank {made['items']:,} items, one person"
        found = [Row(name, "ms", MILLISECONDS, one, SMALL, "", True)]
        if (peak := fastest(timings, COPIES)) is not None:
            share = 100 * (num_bytes / timings[LARGE]) / (COPY_BYTES / timings[peak])
            value: Spread = spread(share)
            title = "linear scores of 1,000,000 items, bytes a second of a copy's"
            found.append(Row(title, "%", BANDWIDTH, value, LARGE, peak, fraction=value.median / 100))
        return found

    return Group({LARGE: call}, rows, {}, {})


def small() -> tuple[Call, int]:
    """Compile the list of ten for one person with 20 ratings (MeLU); return it and the number of items."""
    group = load("melu", inner_steps=1)
    meta_params, learner = jax.jit(group.learner.init)(jax.random.key(0)), group.learner
    task = jax.tree.map(lambda leaf: leaf[0], draw_tasks(group, 32)[-1])
    represented = jax.jit(learner.represent)(meta_params, group.catalogue.items)
    rated = jnp.arange(RATINGS, dtype=jnp.int32)
    target = task.support.target[:RATINGS]
    as_served = partial(jax.jit, compiler_options=compiler_options())  # as Recommender and metajax serve compile
    adapt, rank = as_served(adapt_to(learner)), as_served(ranker(predicted_score(learner), k=10, block=None))

    def recommend() -> object:
        state = adapt(meta_params, represented, task.user, rated, target)
        return jax.block_until_ready(rank(meta_params, state, represented, rated))

    return recommend, len(represented)


def _million() -> tuple:
    """Return the call that scores a million items for one person, and the bytes that it reads and writes."""
    group = load("ridge")
    learner, meta_params = group.learner, jax.jit(group.learner.init)(jax.random.key(0))
    task = jax.tree.map(lambda leaf: leaf[0], draw_tasks(group, 32)[-1])
    few = jax.jit(learner.represent)(meta_params, group.catalogue.items)
    items = jnp.asarray(np.random.default_rng(0).standard_normal((MANY, few.shape[1]), np.float32))

    def adapt(meta_params: PyTree) -> PyTree:
        support = task.support._replace(items=learner.represent(meta_params, task.support.items))
        return learner.adapt(meta_params, learner.begin(meta_params, task.user), support)

    score = jax.jit(partial(linear_score(learner), meta_params))
    return ours.waiting(score, jax.jit(adapt)(meta_params), items), items.nbytes + 4 * MANY


def main() -> None:
    """Print the seconds a round of one list, and the number of items."""
    compute_in_place()
    call, items = small()
    seconds = interleave({SMALL: call}, int(sys.argv[1]))[SMALL]
    print(json.dumps({"seconds": seconds.tolist(), "items": items}))


if __name__ == "__main__":
    main()
