"""Biased matrix factorisation: what it found solves the equations that it is defined by."""

import numpy as np
import pytest

from metajax.data.factorization import believed_factors, biased_factors, find_variance_components

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
    user, item = found(ratings, sweeps=300)
    np.testing.assert_allclose(slope(ratings, user, item, of="users"), 0, atol=1e-7)
    assert np.abs(user[:, 1:]).max() > 0.1


def test_an_item_without_ratings_is_nothing(ratings):
    assert not found(ratings)[1][COLD].any()


def test_factors_of_a_large_penalty_are_nothing(ratings):
    user, item = found(ratings, penalty=1e3)
    assert np.abs(user[:, 1:]).max() < 1e-3
    assert np.abs(item[:, 0]).max() > 0.1


def believed(ratings, *, user=(0.3, 0.5, 0.5), item=(0.6, 0.8, 0.8), **choices):
    variances = {"user_variances": np.square(user), "item_variances": np.square(item), "noise_variance": 0.4}
    return believed_factors(*ratings, num_users=USERS, num_items=ITEMS, **variances | choices)


def test_beliefs_are_those_of_mean_field_inference_row_by_row(ratings):
    """Precision and mean of each are expectations over the other side's beliefs, with all second moments."""
    users, items, centred = ratings
    random = np.random.default_rng(0)
    mean = {
        "users": np.zeros((USERS, 3)),
        "items": np.hstack([np.zeros((ITEMS, 1)), random.normal(0, 0.1, (ITEMS, 2))]),
    }
    mean["items"][COLD] = 0
    covariance = {"users": np.zeros((USERS, 3, 3)), "items": np.zeros((ITEMS, 3, 3))}
    prior = {"users": np.square([0.3, 0.5, 0.5]), "items": np.square([0.6, 0.8, 0.8])}
    at = {"users": users, "items": items}
    for side, other in [("users", "items"), ("items", "users")] * 3:
        for one in range(len(mean[side])):
            precision, wanted = np.diag(1 / prior[side]), np.zeros(3)
            for row in np.flatnonzero(at[side] == one):
                m, s = mean[other][at[other][row]], covariance[other][at[other][row]]
                x = np.array([1.0, *m[1:]])
                precision[:] += (np.outer(x, x) + np.pad(s[1:, 1:], ((1, 0), (1, 0)))) / 0.4
                wanted += ((centred[row] - m[0]) * x - np.array([0.0, *s[0, 1:]])) / 0.4
            covariance[side][one] = np.linalg.inv(precision)
            mean[side][one] = covariance[side][one] @ wanted
    means, deviations = believed(ratings, sweeps=3)
    np.testing.assert_allclose(means, mean["items"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(deviations, np.sqrt(np.einsum("ijj->ij", covariance["items"])), rtol=1e-5)


def test_without_factors_an_item_is_as_unsure_as_its_ratings_are_few(ratings):
    means, deviations = believed(ratings, user=(0.3, 1e-9, 1e-9))
    count = np.bincount(ratings[1], minlength=ITEMS)
    np.testing.assert_allclose(deviations[:, 0], (count / 0.4 + 1 / 0.36) ** -0.5, rtol=1e-5)
    np.testing.assert_allclose(deviations[:, 1:], 0.8, rtol=1e-5)
    np.testing.assert_allclose(means[:, 1:], 0, atol=1e-6)
    assert means[COLD, 0] == 0


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


@pytest.mark.parametrize("target", [np.zeros(4), np.array([-1.0, 1.0, -1.0, 1.0]), np.array([-1.0, -1.0, 1.0, 1.0])])
def test_variance_components_of_ratings_without_noise_are_above_0(target):
    found = find_variance_components(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), target, num_users=2, num_items=2)
    assert min(found.user, found.item, found.noise) > 0
