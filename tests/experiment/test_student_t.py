"""The flagship's choices, brought to life on columns."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import learners
from metajax.data import Column
from metajax.experiment import MatrixFactorization, SquaredError, StudentT, TwoTower
from metajax.types import Examples, Task

COLUMNS = (
    Column("gender", "user", "category", 3, rows=500),
    Column("id", "item", "category", 9, rows=500),
    Column("genres", "item", "bag", 5, rows=500),
    Column("content_estimate", "item", "number", 1, rows=500),
)


def build(choice, model=None, columns=COLUMNS):
    made = (model or MatrixFactorization(factors=2)).build(columns, outputs=1, offset=3.0)
    return choice.build(made, SquaredError().build((1.0, 5.0)), columns)


def task(*, ids=(1, 2, 3, 4, 5)):
    rows = len(ids)
    items = {
        "id": jnp.asarray(ids, jnp.int32),
        "genres": jnp.asarray([[1, 2]] * rows, jnp.int32),
        "content_estimate": jnp.linspace(-1, 1, rows, dtype=jnp.float32),
    }
    every = Examples(items, jnp.asarray([4.0, 2.0, 5.0, 3.0, 1.0], jnp.float32), jnp.ones(rows, jnp.float32))
    part = lambda first, last: jax.tree.map(lambda leaf: leaf[first:last], every)  # noqa: E731
    return Task({"gender": jnp.asarray(1, jnp.int32)}, part(0, 3), part(3, 5))


def test_item_tables_are_beliefs_where_the_model_is_matrix_factorisation(as_users_run):
    shapes = lambda choice, model=None: set(jax.eval_shape(build(choice, model).init, jax.random.key(0)))  # noqa: E731
    assert {"beliefs", "rated"} <= shapes(StudentT())
    assert "beliefs" not in shapes(StudentT(), TwoTower(embedding_dim=4, hidden=(4,)))
    assert not {"beliefs", "rated"} & shapes(StudentT(beliefs=False, rated=False))


def test_the_map_of_content_factors_is_a_belief_too(as_users_run):
    columns = (*COLUMNS, Column("content_factors", "item", "vector", 3, rows=500))
    whole = jax.eval_shape(build(StudentT(), columns=columns).init, jax.random.key(0))
    for part in ("weights", "factors"):
        assert "content_factors" in whole["model"]["item"][part]["columns"]
        assert "content_factors" in whole["beliefs"]["log_deviations"][part]["columns"]


def test_without_ids_nothing_is_said_by_having_rated(as_users_run):
    learner = build(StudentT(), columns=(COLUMNS[0], *COLUMNS[2:]))
    assert "rated" not in jax.eval_shape(learner.init, jax.random.key(0))


@pytest.mark.parametrize("members", [1, 2])
def test_its_loss_is_finite_and_falls(members, as_users_run):
    learner = build(StudentT(members=members, unseen=0.0))
    meta_params = jax.jit(learner.init)(jax.random.key(0))

    @jax.jit
    def loss(params, key):
        return learner.loss(params, task(), key, jnp.zeros(()))[0]

    slope = jax.jit(jax.grad(loss))(meta_params, jax.random.key(1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    moved = jax.tree.map(lambda leaf, by: leaf - 0.01 * by, meta_params, slope)
    assert loss(moved, jax.random.key(1)) < loss(meta_params, jax.random.key(1))


def test_more_training_rows_weigh_the_priors_less(as_users_run):
    few, many = (build(StudentT(), columns=tuple(with_rows(one, rows) for one in COLUMNS)) for rows in (10, 10**9))
    meta_params = jax.jit(few.init)(jax.random.key(0))
    value = lambda learner: jax.jit(learner.loss)(meta_params, task(), jax.random.key(0), jnp.zeros(()))[0]  # noqa: E731
    assert value(few) > value(many) + 0.1


def with_rows(column, rows):
    return Column(column.name, column.of, column.kind, column.size, rows=rows)


@pytest.mark.parametrize(("rows", "share"), [(0, 0.2), (50_000, 0.1), (100_000, 0.2), (10**7, 0.2)])
def test_of_few_ratings_fewer_tasks_lose_their_ids(rows, share, monkeypatch):
    seen = []
    student_t = learners.student_t
    monkeypatch.setattr(learners, "student_t", lambda *parts, **rest: (seen.append(rest), student_t(*parts, **rest))[1])
    build(StudentT(unseen=0.2, unseen_rows=100_000), columns=tuple(replace(one, rows=rows) for one in COLUMNS))
    assert [one["unseen"] for one in seen] == [pytest.approx(share)]
