"""Tables whose entries are beliefs: their divergence, what is drawn, and that prediction uses the means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from metajax import models
from metajax.data.columns import Column
from metajax.learners.uncertain_tables import beliefs_divergence, draw_vectors, start_beliefs

COLUMNS = (Column("id", "item", "category", 6), Column("genres", "item", "bag", 4), Column("year", "item", "number", 1))


@pytest.fixture(scope="module")
def world():
    model = models.matrix_factorization(COLUMNS, factors=2, factor_scale=0.5)
    tables = models.matrix_factorization(COLUMNS[:2], factors=2, factor_scale=0.0)
    exact = lambda tree: jax.tree.map(lambda leaf: leaf.astype(float), tree)  # noqa: E731
    means = exact(model.init(jax.random.key(0))["item"])
    beliefs = start_beliefs(exact(tables.init(jax.random.key(1))["item"]), deviation=0.2, prior=0.5)
    return model, tables, means, beliefs


def test_the_divergence_is_that_of_sampling(world):
    """KL = E[log q - log p], by ten thousand draws of every entry."""
    _, _, means, beliefs = world
    rng = np.random.default_rng(0)
    total, error = 0.0, 0.0
    for part in ("weights", "factors"):
        for column in ("id", "genres"):
            mean = np.asarray(means[part]["columns"][column]["embedding"])
            drawn = mean + 0.2 * rng.standard_normal((10_000, *mean.shape))
            each = (norm.logpdf(drawn, mean, 0.2) - norm.logpdf(drawn, 0, 0.5)).sum(axis=(1, 2))
            total, error = total + each.mean(), error + each.var() / len(each)
    assert abs(beliefs_divergence(means, beliefs) - total) < 4 * np.sqrt(error)


def test_the_divergence_from_itself_is_nothing(world):
    _, _, means, beliefs = world
    same = start_beliefs(beliefs["log_deviations"], deviation=0.5, prior=0.5)
    np.testing.assert_allclose(beliefs_divergence(jax.tree.map(jnp.zeros_like, means), same), 0, atol=1e-12)


def test_drawn_vectors_have_the_variance_of_the_entries_they_sum(world):
    model, tables, means, beliefs = world
    items = {"id": jnp.asarray([1, 0]), "genres": jnp.asarray([[2, 0], [0, 0]]), "year": jnp.asarray([0.5, 0.5])}
    vectors = model.embed_item(means, items)
    draw = jax.vmap(lambda key: draw_vectors(key, tables, beliefs, items, vectors))
    drawn = draw(jax.random.split(jax.random.key(2), 20_000))
    np.testing.assert_allclose(drawn.mean(axis=0), vectors, atol=0.01)
    np.testing.assert_allclose(drawn[:, 0].var(axis=0), 2 * 0.2**2, rtol=0.1)  # an id and a genre
    np.testing.assert_allclose(drawn[:, 1].var(axis=0), 0, atol=1e-9)  # nothing is looked up


def test_a_linear_map_is_drawn_once_for_all_of_a_vector():
    """A number x of a vector moves the item vector by x times the entry: by x^2 times its variance."""
    columns = (Column("id", "item", "category", 3), Column("plot", "item", "vector", 2))
    model = models.matrix_factorization(columns, factors=2, factor_scale=0.5)
    means = jax.tree.map(lambda leaf: leaf.astype(float), model.init(jax.random.key(0))["item"])
    beliefs = start_beliefs(means, deviation=0.2, prior=0.5)
    items = {"id": jnp.asarray([1, 0]), "plot": jnp.asarray([[3.0, 4.0], [0.0, -2.0]])}
    vectors = model.embed_item(means, items)
    draw = jax.vmap(lambda key: draw_vectors(key, model, beliefs, items, vectors))
    drawn = draw(jax.random.split(jax.random.key(2), 20_000))
    np.testing.assert_allclose(drawn.var(axis=0), 0.2**2 * np.asarray([[26.0] * 3, [4.0] * 3]), rtol=0.1)
