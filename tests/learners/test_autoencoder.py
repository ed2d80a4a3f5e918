"""The autoencoder of who rated what: its score and its loss, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.table import numbered_autoencoder
from learners.worlds import linear_model, random_task

from metajax.data import Column
from metajax.errors import ConfigError
from metajax.experiment import Autoencoder, CatalogueSoftmax, MatrixFactorization
from metajax.learners import autoencoder
from metajax.losses import catalogue_softmax, squared_error
from metajax.types import Examples


@pytest.fixture(scope="module")
def task():
    drawn = random_task(jax.random.key(1), support_rows=5, real_support=4)
    numbered = lambda rows, first: rows._replace(items=rows.items | {"number": first + jnp.arange(len(rows.mask))})  # noqa: E731
    return drawn._replace(support=numbered(drawn.support, 3), query=numbered(drawn.query, 8))


def by_hand(learner, meta_params, task, items):
    """Return the score of every item of the catalogue, with numpy."""
    support = learner.represent(meta_params, task.support.items)
    real = np.asarray(task.support.mask) > 0
    taken, rated = np.split(np.asarray(support.says)[real], 2, axis=1)
    target = np.asarray(task.support.target)[real]
    kappa = np.exp(meta_params["log_strength"])
    z = (taken + (target - 3.0)[:, None] * rated).sum(axis=0) / np.sqrt(real.sum() + kappa)
    model = linear_model()
    user = model.embed_user(meta_params["model"]["user"], task.user)
    vectors = np.asarray(model.embed_item(meta_params["model"]["item"], items))
    return np.asarray(model.score(meta_params["model"]["head"], user, vectors)) + vectors @ z


def test_its_loss_names_the_query_among_all_but_the_support(task):
    learner, catalogue, position = numbered_autoencoder(dropout=0.0)
    meta_params = learner.init(jax.random.key(0))
    scores = by_hand(learner, meta_params, task, catalogue)
    real = np.asarray(task.support.mask) > 0
    left = np.setdiff1d(np.arange(len(scores)), np.asarray(position(task.support.items))[real])
    wanted = np.asarray(position(task.query.items))
    within = np.log(np.exp(scores[left]).sum())
    each = [scores[one] - within for one in wanted]
    found, _ = jax.jit(learner.loss)(meta_params, task, jax.random.key(0), jnp.zeros(()))
    np.testing.assert_allclose(found, -np.mean(each), rtol=1e-9)


def test_what_is_predicted_is_that_score(task):
    learner, _, _ = numbered_autoencoder()
    meta_params = learner.init(jax.random.key(0))
    support = Examples(learner.represent(meta_params, task.support.items), task.support.target, task.support.mask)
    state = learner.adapt(meta_params, learner.begin(meta_params, task.user), support)
    found = learner.predict(meta_params, state, learner.represent(meta_params, task.query.items)).mean
    np.testing.assert_allclose(found, by_hand(learner, meta_params, task, task.query.items), rtol=1e-9)


def test_items_outside_the_catalogue_are_not_named(task):
    """Unseen rows of the query change nothing of the loss, and a query of them alone costs nothing."""
    learner, _, position = numbered_autoencoder(dropout=0.0)
    meta_params = learner.init(jax.random.key(0))

    def loss(number):
        items = task.query.items | {"number": jnp.asarray(number, jnp.int32)}
        return jax.jit(learner.loss)(
            meta_params, task._replace(query=task.query._replace(items=items)), jax.random.key(0), jnp.zeros(())
        )[0]

    numbers = np.asarray(position(task.query.items))
    unseen = numbers.copy()
    unseen[0] = -1
    alone = numbers.copy()
    alone[0] = numbers[1]
    np.testing.assert_allclose(3 * loss(unseen) + loss(numbers[[1] * 4]), 4 * loss(alone), rtol=1e-9)
    assert loss(np.full(4, -1)) == 0


def test_it_refuses_what_makes_no_sense():
    with pytest.raises(ConfigError, match="dropout in"):
        numbered_autoencoder(dropout=1.0)
    with pytest.raises(ConfigError, match="trained by catalogue softmax, got squared error"):
        autoencoder(
            linear_model(), squared_error(), encoder=linear_model(6), item_width=3, catalogue={}, position=lambda _: _
        )
    with pytest.raises(ConfigError, match="no loss of a user's rows"):
        catalogue_softmax().value(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1))
    columns = (Column("id", "item", "category", 9), Column("genres", "item", "bag", 5))
    model = MatrixFactorization(factors=2).build(columns, outputs=1, offset=0.0)
    with pytest.raises(ConfigError, match=r"by their id alone, got \['id', 'genres'\]"):
        Autoencoder().build(model, CatalogueSoftmax().build((0.0, 1.0)), columns)


def test_factors_have_priors_that_are_weighed_against_the_ratings(task):
    """Own terms have none: how often an item is taken is not shrunk."""
    bare, weighed = (numbered_autoencoder(dropout=0.0, deviation=0.5, training_rows=rows)[0] for rows in (0, 40))
    meta_params = bare.init(jax.random.key(0))
    found = [jax.jit(one.loss)(meta_params, task, jax.random.key(0), jnp.zeros(()))[0] for one in (bare, weighed)]
    tables = jax.tree.leaves((meta_params["model"]["item"], meta_params["encoder"]["item"]))
    squares = sum(float(jnp.sum(leaf**2)) for leaf in tables if leaf.ndim > 1 and leaf.shape[-1] > 1)
    np.testing.assert_allclose(found[1] - found[0], squares / (2 * 0.25 * 40), rtol=1e-9)
    assert squares > 0
