"""What is computed: MeLU's tasks on MovieLens-1M, drawn once as training draws them, the same for every side."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.data.columns import Column
from metajax.experiment import Experiment
from metajax.experiment.assembly import assemble
from metajax.experiment.experiment import load_experiment
from metajax.tasks import Catalogue, Histories, catalogue, histories
from metajax.tasks.episodes import make_buckets, sample_tasks
from metajax.types import Examples, Learner, Task

EXPERIMENTS = Path(__file__).parents[1] / "experiments" / "movielens_1m"
LEVELS, OFFSET = (1.0, 2.0, 3.0, 4.0, 5.0), 3.6
NUM_USERS, NUM_ITEMS = 4582, 3883
COLUMNS = {
    Column("id", "user", "category", 4583): 1,
    Column("gender", "user", "category", 3): 1,
    Column("age", "user", "category", 8): 1,
    Column("occupation", "user", "category", 22): 1,
    Column("zip", "user", "category", 392): 1,
    Column("id", "item", "category", 3884): 1,
    Column("genres", "item", "bag", 24): 7,
    Column("decade", "item", "category", 10): 1,
    Column("mpaa", "item", "category", 7): 1,
    Column("directors", "item", "bag", 338): 12,
    Column("actors", "item", "bag", 1083): 4,
}
"""The columns of MovieLens-1M as MeLU split it, with the ids of a user or item in each: for a machine without data."""


class Workload(NamedTuple):
    """Data on the device, and the learner of an experiment.

    Attributes:
        experiment: the choices.
        columns: of the model.
        catalogue: features of users and items.
        histories: of the training users.
        learner: the experiment's, float32.
        offset: mean training target, which the model adds to its scores.
    """

    experiment: Experiment
    columns: Sequence[Column]
    catalogue: Catalogue
    histories: Histories
    learner: Learner
    offset: float


def has_data() -> bool:
    """Tell whether MovieLens-1M is below $METAJAX_DATA."""
    return (Path(os.environ.get("METAJAX_DATA", "")) / "ml-1m" / "ratings.dat").is_file()


def data_source() -> str:
    """Say what the data are, for the report."""
    if has_data():
        return "MovieLens-1M, training users of MeLU's split"
    return "synthetic: lengths log-normal as MovieLens-1M's, random items (METAJAX_DATA holds no ml-1m)"


def load(name: str, *, gram_form: bool = True, **choices: int) -> Workload:
    """Bring an experiment of experiments/movielens_1m to life.

    With the data set below $METAJAX_DATA its histories are those of the real training users; without, as many users
    have lengths drawn from the log-normal distribution fitted to the real ones, and random items.

    Args:
        name: such as "melu".
        gram_form: whether the learner may know that the head is dense layers; else it copies their kernels a task.
        choices: of the learner, such as inner_steps=5.
    """
    experiment, columns, data, offset = _read(name)
    experiment = replace(experiment, learner=replace(experiment.learner, **choices))
    loss = experiment.loss.build(LEVELS)
    model = experiment.model.build(columns, outputs=loss.num_outputs, offset=loss.link(offset))
    learner = experiment.learner.build(model if gram_form else model._replace(dense_head=None), loss, columns)
    return Workload(experiment, columns, *data, learner, offset)


@cache
def _read(name: str) -> tuple[Experiment, Sequence[Column], tuple[Catalogue, Histories], float]:
    """Return an experiment as its file has it, and its data."""
    experiment = load_experiment(EXPERIMENTS / f"{name}.py")
    if has_data():
        made = assemble(experiment, final=True)
        return experiment, made.encoding.columns, (made.catalogue, made.histories), made.offset
    return experiment, *synthetic(ids=bool(experiment.data.identity)), OFFSET


def synthetic(*, ids: bool) -> tuple[Sequence[Column], tuple[Catalogue, Histories]]:
    """Draw a data set of MovieLens-1M's shape: columns, and catalogue and histories."""
    random = np.random.default_rng(0)
    columns = {one: width for one, width in COLUMNS.items() if ids or one.name != "id"}

    def draw(side: str, count: int) -> dict[str, np.ndarray]:
        return {
            one.name: random.integers(0, one.size, (count, width) if one.kind == "bag" else count, np.int32)
            for one, width in columns.items()
            if one.of == side
        }

    lengths = np.clip(random.lognormal(4.41, 1.03, NUM_USERS), 13, 1952).astype(int)
    users = np.repeat(np.arange(NUM_USERS), lengths)
    items = random.integers(0, NUM_ITEMS, len(users))
    rows = histories(users, items, random.choice(LEVELS, len(users)), num_users=NUM_USERS)
    return tuple(columns), (catalogue(draw("user", NUM_USERS), draw("item", NUM_ITEMS)), rows)


def draw_tasks(workload: Workload, num_tasks: int, *, seed: int = 1) -> list[Task]:
    """Draw exactly `num_tasks` tasks as training does: one batch a bucket, leaves with a leading tasks axis."""
    episodes = workload.experiment.episodes
    buckets = list(make_buckets(workload.histories, episodes, tasks_per_step=num_tasks))
    surplus = sum(bucket.tasks for bucket in buckets) - num_tasks
    buckets[-1] = buckets[-1]._replace(tasks=buckets[-1].tasks - surplus)
    key = jax.random.key(seed)
    return [
        sample_tasks(jax.random.fold_in(key, index), bucket, workload.histories, workload.catalogue, episodes)
        for index, bucket in enumerate(buckets)
    ]


def pad(buckets: Sequence[Task]) -> Task:
    """Put the tasks of all buckets into one batch, every support and query as wide as the widest."""

    def widen(rows: Examples, width: int) -> Examples:
        def one(leaf: jax.Array) -> jax.Array:
            return jnp.pad(leaf, [(0, 0), (0, width - leaf.shape[1]), *[(0, 0)] * (leaf.ndim - 2)])

        return jax.tree.map(one, rows)

    support, query = (max(getattr(task, part).mask.shape[1] for task in buckets) for part in ("support", "query"))
    wide = [Task(task.user, widen(task.support, support), widen(task.query, query)) for task in buckets]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *wide)
