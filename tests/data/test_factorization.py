"""Biased matrix factorisation: what it found solves the equations that it is defined by."""

import numpy as np
import pytest

from metajax.data.factorization import biased_factors, find_variance_components

USERS, ITEMS, COLD = 12, 9, 8
PENALTIES = {"penalty": 0.7, "bias_penalty": 0.3}


@pytest.fixture(scope="module")
def ratings():
    random = np.random.default_rng(0)
    users, items = np.nonzero(random.random((USERS, COLD)) < 0.7)
    return users, items, random.normal(size=len(users))


def found(ratings, **choices):
    return biased_factors(*ratings, num_users=USERS, num_items=ITEMS, factors=2, **PENALTIES | choices)


def slope(ratings, user, item, *, of):
    """Return half of the gradient of the penalised squares by the vectors of one side."""
    users, items, centred = ratings
    error = centred - user[users, 0] - item[items, 0] - np.sum(user[users, 1:] * item[items, 1:], axis=1)
    own, other, at = (item, user[users], items) if of == "items" else (user, item[items], users)
    given = np.hstack([np.ones((len(error), 1)), other[:, 1:]])
    by = own * ([PENALTIES["bias_penalty"]] + [PENALTIES["penalty"]] * 2)
    np.subtract.at(by, at, error[:, None] * given)
    return by


def test_items_solve_their_regressions_at_once_and_users_in_the_end(ratings):
    np.testing.assert_allclose(slope(ratings, *found(ratings, sweeps=1), of="items"), 0, atol=1e-12)
    user, item = found(ratings, sweeps=2000)
    np.testing.assert_allclose(slope(ratings, user, item, of="users"), 0, atol=1e-7)
    assert np.abs(user[:, 1:]).max() > 0.1


def test_an_item_without_ratings_is_nothing(ratings):
    assert not found(ratings)[1][COLD].any()


def test_factors_of_a_large_penalty_are_nothing(ratings):
    user, item = found(ratings, penalty=1e3)
    assert np.abs(user[:, 1:]).max() < 1e-3
    assert np.abs(item[:, 0]).max() > 0.1


@pytest.mark.parametrize("deviations", [(0.3, 0.6, 0.9), (0.8, 0.1, 0.5), (0.5, 0.5, 0.2)])
def test_variance_components_of_generated_ratings_are_those_they_were_made_with(deviations):
    random, of_user, of_item, noise = np.random.default_rng(0), *deviations
    users, items = (rows.ravel() for rows in np.meshgrid(np.arange(600), np.arange(400)))
    some = random.random(len(users)) < 0.05
    users, items = users[some], items[some]
    target = of_user * random.normal(size=600)[users] + of_item * random.normal(size=400)[items]
    target += noise * random.normal(size=len(users))
    found = find_variance_components(users, items, target - target.mean(), num_users=600, num_items=400)
    np.testing.assert_allclose((found.user, found.item, found.noise), deviations, rtol=0.15)
    count = np.bincount(items, minlength=400)
    np.testing.assert_allclose(found.unsure, (count / found.noise**2 + 1 / found.item**2) ** -0.5)


@pytest.mark.parametrize("target", [np.zeros(4), np.array([-1.0, 1.0, -1.0, 1.0]), np.array([-1.0, -1.0, 1.0, 1.0])])
def test_variance_components_of_ratings_without_noise_are_above_0(target):
    found = find_variance_components(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), target, num_users=2, num_items=2)
    assert min(found.user, found.item, found.noise, *found.unsure) > 0
    assert np.all(np.isfinite(found.unsure))
