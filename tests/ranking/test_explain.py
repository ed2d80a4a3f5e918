"""Effects of ratings: what leaving one out changes, and parts that sum to what all of them changed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.table import LEARNERS

from metajax.errors import ConfigError
from metajax.ranking import additive_contributions, check_additive, leave_one_out_effects
from metajax.types import Examples

ADDITIVE = ["ridge", "bayesian_linear", "gaussian_process", "student_t", "ensemble", "anil"]
SAYS_WHO_RATES_WHAT = ["student_t", "ensemble"]


def rated_by_somebody(name):
    """Three rows, padding in between, and four items to explain."""
    learner = LEARNERS[name]()
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    items = {"about": jax.random.normal(jax.random.key(1), (8, 3))}
    representations = jax.jit(learner.represent)(meta_params, items)
    first, last = (
        jax.tree.map(lambda leaf, part=part: leaf[part], representations) for part in (slice(4), slice(4, 8))
    )
    rated = Examples(first, jnp.array([1.0, -2.0, 77.0, 3.0]), jnp.array([1.0, 1.0, 0.0, 1.0]))
    return learner, meta_params, rated, {"about": jnp.array([0.5, -1.0])}, last


def mean(learner, meta_params, rated, user, explained):
    state = learner.adapt(meta_params, learner.begin(meta_params, user), rated)
    return learner.predict(meta_params, state, explained).mean


@pytest.mark.parametrize("name", ["ridge", "maml", "cnp", "student_t", "ensemble"])
def test_an_effect_is_the_change_by_leaving_one_out(name):
    learner, meta_params, rated, user, explained = rated_by_somebody(name)
    effects = jax.jit(leave_one_out_effects(learner))(meta_params, rated, user, explained)
    of = jax.jit(lambda rated: mean(learner, meta_params, rated, user, explained))
    for row in range(4):
        expected = of(rated) - of(rated._replace(mask=rated.mask.at[row].set(0)))
        np.testing.assert_allclose(effects[:, row], expected, rtol=1e-9, atol=1e-12)
    assert (effects[:, 2] == 0).all()
    assert (effects[:, [0, 1, 3]] != 0).all()


@pytest.mark.parametrize("name", ADDITIVE)
def test_contributions_sum_to_prediction_minus_prior(name):
    learner, meta_params, rated, user, explained = rated_by_somebody(name)
    parts, after, before = jax.jit(
        lambda *given: (
            additive_contributions(learner)(*given),
            mean(learner, *given),
            learner.predict(given[0], learner.begin(given[0], given[2]), given[3]).mean,
        )
    )(meta_params, rated, user, explained)
    assert np.abs(after - before).min() > 1e-3
    np.testing.assert_allclose((parts.rating + parts.presence).sum(axis=1), after - before, atol=1e-6, rtol=0)
    assert (parts.rating[:, 2] == 0).all()
    assert (parts.presence[:, 2] == 0).all()
    assert (np.abs(parts.presence).max() > 1e-3) == (name in SAYS_WHO_RATES_WHAT)
    if name in ("anil", "student_t"):
        check_additive(learner, meta_params, rated, user, explained)


def test_a_contribution_of_ridge_is_its_weight_times_its_surprise():
    """Mean = prior + k^T (K + lambda)^-1 (y - prior of y), written out in the features."""
    learner, meta_params, rated, user, explained = rated_by_somebody("ridge")
    parts = jax.jit(additive_contributions(learner))(meta_params, rated, user, explained)
    rows = np.array([0, 1, 3])
    begun = learner.begin(meta_params, user)
    one, other = (np.column_stack([np.ones(4), part]) for part in (rated.items, explained))
    penalties = np.diag(np.exp([meta_params["log_bias_penalty"], *[meta_params["log_penalty"]] * 3]))
    weights = other @ np.linalg.solve(one[rows].T @ one[rows] + penalties, one[rows].T)
    surprise = (rated.target - learner.predict(meta_params, begun, rated.items).mean)[rows]
    np.testing.assert_allclose(parts.rating[:, rows], weights * surprise[None], rtol=1e-9)


@pytest.mark.parametrize("name", ["maml", "cnp"])
def test_what_is_not_affine_in_the_ratings_is_refused(name):
    with pytest.raises(ConfigError, match=r"not affine in the ratings: .* Explain by method=\"leave_one_out\""):
        check_additive(*rated_by_somebody(name))


def test_without_ratings_there_is_nothing_to_explain():
    learner, meta_params, rated, user, explained = rated_by_somebody("student_t")
    none = rated._replace(mask=jnp.zeros(4))
    for explain in (additive_contributions(learner), leave_one_out_effects(learner)):
        assert not np.any(jax.tree.leaves(jax.jit(explain)(meta_params, none, user, explained)))
