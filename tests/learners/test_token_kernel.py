"""Weights of tokens are summed alike for one user and for many, who are computed in another way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.learners.token_kernel import sum_weights

USERS, SIZE, ITEMS, WIDTH = 3, 11, 5, 4


@pytest.fixture(scope="module")
def weights():
    return jax.random.normal(jax.random.key(0), (6, USERS, SIZE), float)


@pytest.fixture(scope="module")
def tokens():
    return jax.random.randint(jax.random.key(1), (6, ITEMS, WIDTH), 0, SIZE, jnp.int32)


def written_out(weights, tokens):
    return np.array([sum(weights[token] for token in row) for row in np.asarray(tokens)])


@pytest.mark.parametrize("items", [ITEMS, 0])
def test_one_user_and_many_of_the_same_items(weights, tokens, items):
    weights, tokens = weights[0], tokens[0, :items]
    wanted = np.array([written_out(one, tokens) for one in np.asarray(weights)])
    one_by_one = [sum_weights(one, tokens) for one in weights]
    np.testing.assert_allclose(one_by_one, wanted, rtol=1e-12)
    together = jax.jit(jax.vmap(sum_weights, (0, None)))(weights, tokens)
    np.testing.assert_allclose(together, wanted, rtol=1e-12)


@pytest.mark.parametrize("members", [2, 6])
def test_many_users_of_an_ensemble_whose_members_have_the_same_items(weights, tokens, members):
    weights, tokens = weights[:members], tokens[:members]
    of_members = jax.vmap(sum_weights)
    found = jax.jit(jax.vmap(of_members, (1, None)))(weights, tokens)
    wanted = [[written_out(w, t) for w, t in zip(weights[:, user], tokens, strict=True)] for user in range(USERS)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_one_users_weights_and_the_items_of_many(weights, tokens):
    found = jax.vmap(sum_weights, (None, 0))(weights[0, 0], tokens)
    np.testing.assert_allclose(found, [written_out(weights[0, 0], one) for one in tokens], rtol=1e-12)


def test_what_is_not_finite_is_of_one_user(weights, tokens):
    broken = weights[0].at[1].set(jnp.nan)
    found = jax.vmap(sum_weights, (0, None))(broken, tokens[0])
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[jnp.array([0, 2])]).all()


def test_it_is_differentiated_forward_and_back(weights, tokens):
    by = jnp.arange(1.0, ITEMS + 1)
    slope = jax.vmap(jax.grad(lambda w: sum_weights(w, tokens[0]) @ by))(weights[0])
    wanted = np.zeros(SIZE)
    np.add.at(wanted, np.asarray(tokens[0]), np.asarray(by)[:, None])
    np.testing.assert_allclose(slope, np.tile(wanted, (USERS, 1)), rtol=1e-12)
    _, change = jax.jvp(lambda w: sum_weights(w, tokens[0]), (weights[0, 0],), (weights[0, 1],))
    np.testing.assert_allclose(change, written_out(weights[0, 1], tokens[0]), rtol=1e-12)
