"""The flagship's choices, brought to life on columns."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from metajax import learners
from metajax.data import Column
from metajax.data.taken import Taken
from metajax.errors import ConfigError
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


ITEMS = [f"i{number}" for number in range(8)]


def ids_alone(ratings=None):
    """Return columns of which the items' ids are all that is known of items."""
    rows = 500 if ratings is None else ratings.height
    taken = None if ratings is None else Taken(ratings, ITEMS)
    return (replace(COLUMNS[0], rows=rows), replace(COLUMNS[1], rows=rows, taken=taken))


@pytest.fixture(scope="module")
def ratings():
    random = np.random.default_rng(0)
    taste, kind = random.normal(size=(20, 2)), random.normal(size=(8, 2))
    pairs = [(user, item) for user in range(20) for item in range(8) if random.random() < 0.7]
    target = [3.0 + taste[user] @ kind[item] for user, item in pairs]
    return pl.DataFrame({"user": [u for u, _ in pairs], "item": [ITEMS[i] for _, i in pairs], "target": target})


def start_of(choice, columns):
    """Return the item factors at the start, the deviations of their priors, and whether those are learned."""
    learner = build(choice, MatrixFactorization(factors=2, factor_scale=0.0), columns)
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    labels = learner.labels(meta_params)["beliefs"]["log_priors"]["factors"]
    priors = jax.tree.leaves(meta_params["beliefs"]["log_priors"]["factors"])
    factors = jax.tree.leaves(meta_params["model"]["item"]["factors"])
    return factors, np.exp(priors), set(jax.tree.leaves(labels))


def liked(ratings):
    return Taken(ratings, ITEMS).liked(2, weight=Taken(ratings, ITEMS).components.noise * 0.15**0.5, deviation=0.5)


def test_ids_alone_begin_at_what_the_ratings_say(ratings, as_users_run):
    """A user is folded in by ridge regression on [1, b, q], whose penalties are those of the user's own priors."""
    choice = StudentT(prior_variance=0.15, factor_prior=0.5)
    components = Taken(ratings, ITEMS).components
    learner = build(choice, MatrixFactorization(factors=2, factor_scale=0.0), ids_alone(ratings))
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    item = liked(ratings).means

    @jax.jit
    def predict(ids, target, mask):
        items = {"id": ids}
        state = learner.begin(meta_params, {"gender": jnp.asarray(1, jnp.int32)})
        state = learner.adapt(meta_params, state, Examples(learner.represent(meta_params, items), target, mask))
        return learner.predict(meta_params, state, learner.represent(meta_params, {"id": jnp.arange(9)})).mean[1:]

    ids, target = jnp.asarray([1, 3, 6, 8]), jnp.asarray([4.0, 1.0, 3.5, 5.0])
    prior = 3.0 + components.mean_user + item[:, 0]
    np.testing.assert_allclose(predict(ids, target, jnp.zeros(4)), prior[1:], rtol=1e-5, atol=1e-6)
    design = np.hstack([np.ones((9, 1)), item])
    x = design[ids]
    ridge = np.diag([(components.noise / components.user) ** 2, *[1 / 0.15] * 3])
    user = np.linalg.solve(x.T @ x + ridge, x.T @ (np.asarray(target) - prior[ids]))
    np.testing.assert_allclose(predict(ids, target, jnp.ones(4)), (prior + design @ user)[1:], rtol=1e-4, atol=1e-6)


def test_the_prior_of_factors_is_given_where_ids_are_all(ratings, as_users_run):
    [factors], priors, learned = start_of(StudentT(factor_prior=0.5), ids_alone(ratings))
    assert np.abs(factors).max() > 0.1
    np.testing.assert_allclose(priors, [0.5], rtol=1e-6)
    assert learned == {"freeze"}


def test_so_is_that_of_biases_as_wide_as_items_differ(ratings, as_users_run):
    """What is known of an item's bias is as unsure as its ratings are few; of one nobody has rated, as the prior."""
    learner = build(StudentT(), MatrixFactorization(factors=2), ids_alone(ratings))
    beliefs = jax.jit(learner.init)(jax.random.key(0))["beliefs"]
    [prior], [unsure] = (jax.tree.leaves(beliefs[name]["weights"]) for name in ("log_priors", "log_deviations"))
    np.testing.assert_allclose(np.exp(prior), Taken(ratings, ITEMS).components.item, rtol=1e-5)
    np.testing.assert_allclose(np.exp(unsure), liked(ratings).deviations[:, :1], rtol=1e-5)
    assert unsure[0, 0] == pytest.approx(float(prior))


def test_the_level_of_whoever_is_unknown_is_that_of_users_alike(ratings, as_users_run):
    """Of half of the users, who rate twice as much and a star higher, it is not the mean of the ratings."""
    busy = ratings.filter(pl.col("user") < 10).with_columns(user=pl.col("user") + 100, target=pl.col("target") + 1)
    shifted = pl.concat([ratings.filter(pl.col("item") < "i4"), busy])
    columns = (*ids_alone(shifted)[1:],)
    learner = build(StudentT(), MatrixFactorization(factors=2), columns)
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    level = Taken(shifted, ITEMS).components.mean_user
    assert abs(level) > 0.01
    assert meta_params["model"]["head"]["bias"] == pytest.approx(level)
    labels = learner.labels(meta_params)["model"]
    assert labels["head"]["bias"] == labels["user"]["weights"]["constant"] == "freeze"


@pytest.mark.parametrize(
    ("choice", "columns"),
    [
        (StudentT(factor_prior=0.0), ids_alone),  # it is not wanted
        (StudentT(), lambda ratings: (*ids_alone(ratings), COLUMNS[2])),  # genres are known
    ],
)
def test_elsewhere_it_is_learned_from_a_random_start(choice, columns, ratings, as_users_run):
    factors, _, learned = start_of(choice, columns(ratings))
    assert not any(np.any(one) for one in factors)
    assert learned == {"learn"}


def test_where_parameters_are_to_be_loaded_no_start_is_looked_for(as_users_run):
    [factors], _, learned = start_of(StudentT(), ids_alone())
    assert not np.any(factors)
    assert learned == {"freeze"}


def test_a_prior_of_factors_below_0_is_refused():
    with pytest.raises(ConfigError, match="above 0, or 0 to have it learned, got -1"):
        build(StudentT(factor_prior=-1.0))


@pytest.mark.parametrize(("rows", "share"), [(0, 0.2), (50_000, 0.1), (100_000, 0.2), (10**7, 0.2)])
def test_of_few_ratings_fewer_tasks_lose_their_ids(rows, share, monkeypatch):
    seen = []
    student_t = learners.student_t
    monkeypatch.setattr(learners, "student_t", lambda *parts, **rest: (seen.append(rest), student_t(*parts, **rest))[1])
    build(StudentT(unseen=0.2, unseen_rows=100_000), columns=tuple(replace(one, rows=rows) for one in COLUMNS))
    assert [one["unseen"] for one in seen] == [pytest.approx(share)]
