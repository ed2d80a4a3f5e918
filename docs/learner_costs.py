"""Measure what every learner costs and write the table of docs/learners.md.

Run: python docs/learner_costs.py

Each learner is that of its experiment, on its experiment's model, with the columns that MovieLens-1M has; the rows are
drawn at random, so that no data are needed. Nothing is trained: costs do not depend on the parameters' values.
Everything is compiled before any of it is timed, and learners take turns, so that what else the machine does hits all
alike. Takes some minutes on 2 CPU cores; writes docs/learner_costs.json too.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.data.columns import Column
from metajax.experiment import DataConfig, Experiment, load_experiment
from metajax.experiment.provenance import commit
from metajax.files import write_json, write_text
from metajax.types import Examples, Learner, PyTree, Task

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- costs -->", "<!-- /costs -->"
ROUNDS, CALLS = 100, 10
SUPPORT, QUERY, TASKS, TASK_ROWS = 20, 10, 32, 32
LEVELS, OFFSET = (1.0, 2.0, 3.0, 4.0, 5.0), 3.6

EXPERIMENTS = {
    "ridge": "movielens_1m/ridge",
    "bayesian_linear": "movielens_1m/bayesian_linear",
    "student_t": "movielens_1m/flagship",
    "gaussian_process": "movielens_1m/gaussian_process",
    "prototypes": "movielens_100k/prototypes",
    "uptake": "movielens_1m/uptake",
    "autoencoder": "movielens_1m/autoencoder",
    "maml": "movielens_1m/maml",
    "fomaml": "movielens_1m/fomaml",
    "reptile": "movielens_1m/reptile",
    "anil": "movielens_1m/anil",
    "melu": "movielens_1m/melu",
    "boil": "movielens_1m/boil",
    "cavia": "movielens_1m/cavia",
    "joint": "movielens_1m/joint",
    "meta_sgd": "movielens_1m/meta_sgd",
    "mamlpp": "movielens_1m/mamlpp",
    "alfa": "movielens_1m/alfa",
    "meta_curvature": "movielens_1m/meta_curvature",
    "imaml": "movielens_1m/imaml",
    "mlr": "movielens_1m/mlr",
    "minibatch_prox": "movielens_1m/minibatch_prox",
    "cnp": "movielens_1m/cnp",
    "tanp": "movielens_1m/tanp",
    "attentive_neural_process": "movielens_1m/attentive_neural_process",
    "mamo": "movielens_1m/mamo",
    "meta_embedding": "warm_up/meta_embedding",
    "mwuf": "warm_up/mwuf",
}
"""In the order of the page."""
COLUMNS = {
    Column("id", "user", "category", 4833): 1,
    Column("gender", "user", "category", 3): 1,
    Column("age", "user", "category", 8): 1,
    Column("occupation", "user", "category", 22): 1,
    Column("zip", "user", "category", 298): 1,
    Column("id", "item", "category", 2356): 1,
    Column("genres", "item", "bag", 24): 7,
    Column("decade", "item", "category", 9): 1,
    Column("mpaa", "item", "category", 7): 1,
    Column("directors", "item", "bag", 253): 12,
    Column("actors", "item", "bag", 832): 4,
}
"""What a model sees of MovieLens-1M, as MeLU split it: columns, and how many ids an item or user has in each."""
CONTENT = {
    Column("content_estimate", "item", "number", 1): 1,
    Column("tokens", "item", "tokens", 3700, widths=(6, 2, 4, 1, 2, 4, 4, 4)): 27,
}
"""What an estimate of content adds."""
TRAINING_ROWS = 640_448
"""Warm ratings, which priors are weighed against."""


class Measured(NamedTuple):
    """A learner, compiled.

    Attributes:
        serve: adapts one user and predicts; waits for the result.
        train: the gradient of one meta-batch; waits for the result.
        fixed: what is known without a clock.
    """

    serve: Callable[[], object]
    train: Callable[[], object]
    fixed: dict[str, int | str]


def columns_of(data: DataConfig, *, items_are_tasks: bool) -> dict[Column, int]:
    """Return the columns that an experiment's model sees; where tasks are items, the sides are swapped."""
    other = {"user": "item", "item": "user"}
    turned = {
        Column(one.name, other[one.of] if items_are_tasks else one.of, one.kind, one.size, rows=TRAINING_ROWS): width
        for one, width in COLUMNS.items()
    }
    seen = {
        one: width
        for one, width in turned.items()
        if (one.of in data.identity if one.name == "id" else data.features is None or one.name in data.features)
    }
    content = {replace(one, rows=TRAINING_ROWS): width for one, width in CONTENT.items()}
    return seen | content if data.estimate_content else seen


def draw(columns: dict[Column, int], side: str, shape: tuple[int, ...], random: np.random.Generator) -> PyTree:
    """Draw encoded columns of one side, leaves `[*shape]` or `[*shape, width]` of a bag."""
    drawn = {}
    for one, width in columns.items():
        if one.of == side and one.kind == "number":
            drawn[one.name] = jnp.asarray(random.standard_normal(shape), jnp.float32)
        elif one.of == side:
            size = (*shape, width) if one.kind in ("bag", "tokens") else shape
            drawn[one.name] = jnp.asarray(random.integers(0, one.size, size), jnp.int32)
    return drawn


def draw_task(columns: dict[Column, int], tasks: tuple[int, ...], support: int, query: int) -> Task:
    """Draw tasks of full supports and queries."""
    random = np.random.default_rng(0)

    def rows(count: int) -> Examples:
        shape = (*tasks, count)
        target = jnp.asarray(random.choice(LEVELS, shape), jnp.float32)
        return Examples(draw(columns, "item", shape, random), target, jnp.ones(shape, jnp.float32))

    return Task(draw(columns, "user", tasks, random), rows(support), rows(query))


def build(experiment: Experiment, columns: dict[Column, int]) -> Learner:
    """Build the experiment's learner, as `metajax.experiment.assembly.make_parts` does from data."""
    loss = experiment.loss.build(LEVELS)
    model = experiment.model.build(tuple(columns), outputs=loss.num_outputs, offset=loss.link(OFFSET))
    return experiment.learner.build(model, loss, tuple(columns))


def prepare(name: str) -> Measured:
    """Compile the learner of an experiment."""
    experiment = load_experiment(ROOT / "experiments" / f"{name}.py")
    columns = columns_of(experiment.data, items_are_tasks=name.startswith("warm_up/"))
    learner = build(experiment, columns)
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    one = draw_task(columns, (), SUPPORT, QUERY)
    represent = jax.jit(learner.represent)
    support = one.support._replace(items=represent(meta_params, one.support.items))
    asked = represent(meta_params, one.query.items)

    def adapt(meta_params: PyTree, user: PyTree, support: Examples) -> PyTree:
        return learner.adapt(meta_params, learner.begin(meta_params, user), support)

    def meta_loss(meta_params: PyTree, tasks: Task, keys: jax.Array) -> jax.Array:
        progress = jnp.asarray(0.5)
        return jnp.mean(jax.vmap(lambda task, key: learner.loss(meta_params, task, key, progress)[0])(tasks, keys))

    serve = jax.jit(lambda params, user, support, asked: learner.predict(params, adapt(params, user, support), asked))
    batch = (draw_task(columns, (TASKS,), TASK_ROWS - QUERY, QUERY), jax.random.split(jax.random.key(1), TASKS))
    train = jax.jit(jax.grad(meta_loss)).lower(meta_params, *batch).compile()
    memory = train.memory_analysis().temp_size_in_bytes
    state = jax.eval_shape(adapt, meta_params, one.user, support)
    fixed = {
        "experiment": name,
        "streaming": learner.streaming,
        "state_bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
        "temporary_bytes_per_task": memory // TASKS,
    }
    measured = Measured(
        lambda: jax.block_until_ready(serve(meta_params, one.user, support, asked)),
        lambda: jax.block_until_ready(train(meta_params, *batch)),
        fixed,
    )
    measured.serve()
    measured.train()
    return measured


def measure() -> dict:
    """Measure all learners, in turns."""
    measured_at = commit()
    learners = {}
    for name, experiment in EXPERIMENTS.items():
        print(f"compiling {name}", file=sys.stderr)
        learners[name] = prepare(experiment)
    serve, train = {name: [] for name in learners}, {name: [] for name in learners}
    for _ in range(ROUNDS):
        for name, one in learners.items():
            serve[name] += [seconds(one.serve) for _ in range(CALLS)]
            train[name].append(seconds(one.train))
    return {
        "commit": measured_at,
        "jax": jax.__version__,
        "device": jax.devices()[0].platform,
        "cpus": os.cpu_count(),
        "repeats": {"adapt_and_predict": ROUNDS * CALLS, "outer_gradient": ROUNDS},
        "learners": {
            name: one.fixed
            | {
                "adapt_and_predict_ms": round(1e3 * statistics.median(serve[name]), 4),
                "outer_gradient_ms_per_task": round(1e3 * statistics.median(train[name]) / TASKS, 4),
            }
            for name, one in learners.items()
        },
    }


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def table(document: dict) -> str:
    """Write the Markdown table."""
    costs, repeats = document["learners"], document["repeats"]

    def timed(one: dict, what: str) -> str:
        return f"{one[what]:.3f} ({one[what] / costs['ridge'][what]:.1f})"

    lines = [
        f"Medians of {repeats['adapt_and_predict']} and {repeats['outer_gradient']} calls on a shared machine; "
        f"commit {document['commit']}, jax {document['jax']}, {document['cpus']} CPU cores.",
        "",
        "| learner | adapt to 20 ratings and predict 10, ms (ratio to `ridge`) | outer gradient, ms a task (ratio) | "
        "temporary memory, kB a task | state, kB | streaming | experiment |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in EXPERIMENTS:
        one = costs[name]
        cells = (
            f"`{name}`",
            timed(one, "adapt_and_predict_ms"),
            timed(one, "outer_gradient_ms_per_task"),
            f"{one['temporary_bytes_per_task'] / 1000:,.1f}",
            f"{one['state_bytes'] / 1000:,.2f}",
            one["streaming"],
            f"`{one['experiment']}`",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fill(page: str, document: dict) -> str:
    """Return the page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(document)}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Measure, and write both files."""
    document = measure()
    write_json(ROOT / "docs" / "learner_costs.json", document)
    page = ROOT / "docs" / "learners.md"
    write_text(page, fill(page.read_text(encoding="utf-8"), document))
    print(table(document))


if __name__ == "__main__":
    main()
