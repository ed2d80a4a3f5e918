"""Large tables: the rows of a step, their gradient and their optimiser are those of the whole table."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import toy

from metajax.data.columns import Column
from metajax.errors import ConfigError
from metajax.learners import melu, ridge
from metajax.losses import squared_error
from metajax.models import item_width, matrix_factorization, two_tower
from metajax.tasks import EpisodeConfig, catalogue, make_buckets
from metajax.training.feed import TaskSource, make_draw
from metajax.training.loop import TrainingConfig, train
from metajax.training.mesh import make_mesh
from metajax.training.mover import make_mover
from metajax.training.outer import TrainState, make_meta_loss, make_outer_steps
from metajax.training.run_log import read_log
from metajax.training.tables import LazyTables, find_tables, lazy_adam, leaf_at, localize, move_rows, rowwise_adagrad

COLUMNS = (Column("id", "item", "category", 31), Column("tags", "item", "bag", 9), Column("age", "user", "category", 4))
EPISODES = EpisodeConfig(query_rows=3, max_support=5, buckets=())
MESH = make_mesh()


def make_learner(name):
    if name == "melu":
        return melu(two_tower(COLUMNS, embedding_dim=3, hidden=(4,)), squared_error(), inner_step_size=0.1)
    model = matrix_factorization(COLUMNS, factors=2)
    return ridge(model, squared_error(), item_width=item_width(model, COLUMNS))


@pytest.fixture(scope="module")
def source():
    rng = np.random.default_rng(0)
    rows, _ = toy.data()
    tags = np.where(rng.random((30, 3)) < 0.3, 0, rng.integers(1, 9, (30, 3))).astype(np.int32)
    users = {"age": rng.integers(0, 4, 12).astype(np.int32)}
    features = catalogue(users, {"id": np.arange(1, 31, dtype=np.int32), "tags": tags})
    return TaskSource(rows, features, make_buckets(rows, EPISODES, tasks_per_step=2))


def drawn(source):
    return make_draw(EPISODES, MESH, source.buckets)(source, jax.random.key(1))


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("name", [pytest.param("ridge", marks=pytest.mark.slow), "melu"])
def test_local_tables_give_the_same_loss_and_the_gradient_of_their_rows(name, source):
    learner = make_learner(name)
    meta_params = learner.init(jax.random.key(0))
    meta_loss = make_meta_loss(learner, source.buckets, None)
    progress = jnp.zeros(())
    batch = drawn(source)
    tables = find_tables(meta_params, 4)
    assert {(table.of, table.column) for table in tables} == {("item", "id"), ("item", "tags"), ("user", "age")}

    @jax.jit
    def both(meta_params, batch):
        local, renamed, rows = localize(tables, meta_params, batch)
        whole = jax.value_and_grad(meta_loss, has_aux=True)(meta_params, batch, progress)
        return whole, jax.value_and_grad(meta_loss, has_aux=True)(local, renamed, progress), rows

    ((loss, _), gradients), ((local_loss, _), local_gradients), rows = both(meta_params, batch)
    np.testing.assert_allclose(local_loss, loss, rtol=1e-6)
    for table in tables:
        taken = np.asarray(rows[table.of, table.column])
        dense = np.asarray(leaf_at(gradients, table.path))
        scattered = np.zeros_like(dense)
        real = taken < len(dense)
        scattered[taken[real]] = np.asarray(leaf_at(local_gradients, table.path))[real]
        np.testing.assert_allclose(scattered, dense, atol=1e-6)
        assert np.abs(dense).max() > 0
        assert taken[0] == 0  # what is unknown stays unknown


def by_hand(optimizer, table, gradients, steps):
    """Repeat one gradient: rows without one never move."""
    table = table.copy()
    touched = np.abs(gradients).max(axis=1) > 0
    first, second, total = np.zeros_like(table), np.zeros_like(table), np.zeros(len(table))
    for step in range(1, steps + 1):
        if optimizer == "adam":
            first[touched] = 0.9 * first[touched] + 0.1 * gradients[touched]
            second[touched] = 0.999 * second[touched] + 0.001 * gradients[touched] ** 2
            unbiased = np.sqrt(second / (1 - 0.999**step)) + 1e-8
            table[touched] -= (0.1 * first / (1 - 0.9**step) / unbiased)[touched]
        else:
            total[touched] += (gradients[touched] ** 2).mean(axis=1)
            table[touched] -= 0.1 * gradients[touched] / (np.sqrt(total[touched]) + 1e-8)[:, None]
    return table


@pytest.mark.parametrize(("name", "optimizer"), [("adam", lazy_adam(0.1)), ("adagrad", rowwise_adagrad(0.1))])
def test_rows_move_by_their_optimiser_and_others_stay(name, optimizer):
    rng = np.random.default_rng(0)
    table, gradients = rng.normal(size=(9, 2)), np.zeros((9, 2))
    gradients[[2, 5]] = rng.normal(size=(2, 2))
    taken = jnp.array([0, 2, 5, 9, 9])  # the last are beyond the table
    local = jnp.concatenate([jnp.asarray(gradients[[0, 2, 5]]), jnp.ones((2, 2))])
    moved, state = jnp.asarray(table), optimizer.init(jnp.asarray(table))
    for step in range(1, 4):
        moved, state = move_rows(
            optimizer, moved, state, taken=taken, gradients=local, step=jnp.asarray(step), keep=jnp.asarray(True)
        )
    np.testing.assert_allclose(moved, by_hand(name, table, gradients, 3), rtol=1e-12)
    kept, same = move_rows(
        optimizer, moved, state, taken=taken, gradients=local, step=jnp.asarray(4), keep=jnp.asarray(False)
    )
    for one, other in zip(jax.tree.leaves((kept, same)), jax.tree.leaves((moved, state)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("as_users_run")
def test_a_row_that_is_looked_up_at_every_step_moves_as_by_adam():
    table, gradients = jnp.ones((3, 2)), jnp.array([[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]])
    dense = optax.adam(0.1)
    state, lazy_state, whole, lazy = dense.init(table), lazy_adam(0.1).init(table), table, table
    for step in range(1, 6):
        updates, state = dense.update(gradients, state, whole)
        whole = optax.apply_updates(whole, updates)
        lazy, lazy_state = move_rows(
            lazy_adam(0.1),
            lazy,
            lazy_state,
            taken=jnp.arange(3),
            gradients=gradients,
            step=jnp.asarray(step),
            keep=jnp.asarray(True),
        )
    np.testing.assert_allclose(lazy, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("as_users_run")
def test_outer_steps_move_rows_looked_up_and_all_that_is_no_table(source):
    learner = make_learner("ridge")
    optimizer = LazyTables(optax.adam(0.01), rowwise_adagrad(optax.constant_schedule(0.01)), 20)
    mover = make_mover(optimizer, learner)
    steps = make_outer_steps(
        make_draw(EPISODES, MESH, source.buckets),
        make_meta_loss(learner, source.buckets, None),
        mover,
        seed=0,
        num_steps=10,
        most=1,
        accumulate=2,
    )
    before = jax.device_get(jax.jit(learner.init)(jax.random.key(0)))
    meta_params = jax.tree.map(jnp.asarray, before)
    state, info = steps(TrainState(jnp.zeros((), jnp.int32), meta_params, mover.init(meta_params)), source, 1)
    assert bool(info.finite.all())
    [path] = {table.path for table in find_tables(before, 20) if "factors" in table.path}
    moved = np.abs(leaf_at(state.meta_params, path) - leaf_at(before, path)).max(axis=1) > 0
    assert 0 < moved.sum() < len(moved)  # four tasks do not rate all
    assert not moved[0]
    assert float(state.meta_params["model"]["head"]["bias"]) != float(before["model"]["head"]["bias"])


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_run")
def test_training_by_rows_learns_and_a_learner_that_reads_other_rows_is_refused(source, tmp_path):
    learner, optimizer = make_learner("ridge"), LazyTables(optax.adam(0.05), lazy_adam(0.05), 20)
    run = partial(
        train,
        histories=source.histories,
        catalogue=source.catalogue,
        episodes=EPISODES,
        config=TrainingConfig(outer_steps=40, tasks_per_step=2, validate_every=20),
        validate=None,
        show_progress=False,
    )
    run(learner, optimizer, folder=tmp_path / "run")
    first, last = read_log(tmp_path / "run")
    assert last["loss"] < first["loss"]

    def loss(meta_params, task, key, progress):
        value, metrics = learner.loss(meta_params, task, key, progress)
        return value + jnp.mean(meta_params["model"]["item"]["factors"]["columns"]["id"]["embedding"] ** 2), metrics

    with pytest.raises(ConfigError, match=r"reads other rows too. Move tables whole"):
        run(learner._replace(loss=loss), optimizer, folder=tmp_path / "refused")


def test_no_large_table_is_told():
    with pytest.raises(ConfigError, match=r"No embedding table has 1,000 rows or more; there are: .*id/embedding"):
        make_mover(LazyTables(optax.adam(0.1), lazy_adam(0.1), 1000), make_learner("ridge"))
