"""An outer step when the catalogue grows: the rows that tasks look up are moved, not the tables."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.clock import Call, ratio
from benchmarks.rows import Group, Row, Timings
from metajax.data.columns import Column
from metajax.learners import ridge
from metajax.losses import squared_error
from metajax.models import item_width, matrix_factorization
from metajax.tasks import EpisodeConfig, catalogue, histories
from metajax.training.feed import make_feed
from metajax.training.mesh import make_mesh
from metajax.training.mover import make_mover
from metajax.training.outer import TrainState, make_meta_loss, make_outer_steps
from metajax.training.tables import LazyTables, lazy_adam

FEW, MANY, WANTED = 10_000, 1_000_000, 2.0
USERS, LENGTH, TASKS, STEPS = 2_000, 60, 32, 5
RATE = 1e-3


def prepare() -> Group:
    """Compile outer steps of ridge on generated users, tables moved by rows and, for comparison, whole."""
    by_rows = LazyTables(optax.adam(RATE), lazy_adam(RATE), FEW)
    names = {count: f"metajax, ridge, {count:,} items, by rows" for count in (FEW, MANY)}
    whole = f"metajax, ridge, {MANY:,} items, whole tables"
    calls = {name: _steps(count, by_rows) for count, name in names.items()}
    calls[whole] = _steps(MANY, optax.adam(RATE))

    def rows(timings: Timings) -> list[Row]:
        grown = ratio(timings[names[MANY]], timings[names[FEW]])
        return [
            Row("outer step, a million items against 10,000", "x", WANTED, grown, names[MANY], names[FEW], True),
            Row(
                "the same, moved by rows against whole",
                "x",
                1.0,
                ratio(timings[whole], timings[names[MANY]]),
                names[MANY],
                whole,
            ),
        ]

    return Group(calls, rows, {}, {})


def _steps(num_items: int, optimizer: optax.GradientTransformation | LazyTables) -> Call:
    """Return a call that takes some outer steps from where the last call ended."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(USERS), LENGTH)
    target = rng.standard_normal(len(users), np.float32)
    known = histories(users, rng.integers(0, num_items, len(users)), target, num_users=USERS)
    columns = (Column("id", "item", "category", num_items + 1),)
    model = matrix_factorization(columns, factors=16)
    learner = ridge(model, squared_error(), item_width=item_width(model, columns))
    features = catalogue({}, {"id": np.arange(1, num_items + 1, dtype=np.int32)})
    feed = make_feed(known, features, EpisodeConfig(), make_mesh("tasks=1"), tasks_per_step=TASKS, seed=0)
    mover = make_mover(optimizer, learner)
    loss = make_meta_loss(learner, feed.source.buckets, None)
    steps = make_outer_steps(feed.draw, loss, mover, seed=0, num_steps=1 << 20, most=STEPS)
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    state = TrainState(jnp.zeros((), jnp.int32), meta_params, jax.jit(mover.init)(meta_params))

    def call() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(steps(state, feed.source, STEPS))

    call()  # compiles
    return call
