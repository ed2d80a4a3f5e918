"""Questions: the fall of the variance is what the learner's own algebra says, and greedy means one after another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.table import LEARNERS
from learners.worlds import linear_model

from metajax.errors import ConfigError
from metajax.learners import bayesian_linear
from metajax.ranking.questions import met_items, most_informative, rating_entropy, variance_reduction
from metajax.types import Examples


def somebody(learner):
    """After two ratings, with six candidates and five items that matter."""
    meta_params = jax.jit(learner.init)(jax.random.key(0))
    represent = jax.jit(learner.represent)
    rated, questions, sample = (
        represent(meta_params, {"about": jax.random.normal(jax.random.key(1 + part), (rows, 3))})
        for part, rows in enumerate((2, 6, 5))
    )
    user = {"about": jnp.array([0.5, -1.0])}
    support = Examples(rated, jnp.array([1.0, -2.0]), jnp.ones(2))
    adapt = jax.jit(lambda *given: learner.adapt(given[0], learner.begin(given[0], given[1]), given[2]))
    return meta_params, adapt(meta_params, user, support), questions, sample


def test_of_a_gaussian_it_is_the_textbook_reduction():
    """c(x, q)^2 / (c(q, q) + noise), averaged over x."""
    learner = bayesian_linear(linear_model(), item_width=3)
    meta_params, state, questions, sample = somebody(learner)
    found = jax.jit(variance_reduction(learner))(meta_params, state, questions, sample)
    one, other = (np.column_stack([np.ones(len(part)), part]) for part in (questions, sample))
    covariance = state.posterior.root @ state.posterior.root.T * np.exp(2 * meta_params["log_noise"])
    between = other @ covariance @ one.T
    noise = np.exp(2 * meta_params["log_noise"])
    expected = np.mean(between**2 / (np.sum(one @ covariance * one, axis=1) + noise)[None], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["student_t", "ensemble"])
def test_it_is_the_variance_of_predictions_over_answers(name):
    """Sampled; an ensemble of ridges has no noise, so that answers deviate by what is said."""
    learner = LEARNERS[name]()
    meta_params, state, questions, sample = somebody(learner)
    found = jax.jit(variance_reduction(learner, deviation=0.5))(meta_params, state, questions, sample)
    row = jax.tree.map(lambda leaf: leaf[:1], questions)
    predicted = jax.jit(learner.predict)(meta_params, state, row)
    assert (predicted.variance is None) == (name == "ensemble")
    deviation = 0.5 if predicted.variance is None else np.sqrt(predicted.variance[0])
    answers = predicted.mean[0] + deviation * np.random.default_rng(0).normal(size=4000)

    def after(answer):
        told = learner.adapt(meta_params, state, Examples(row, answer[None], jnp.ones(1)))
        return learner.predict(meta_params, told, sample).mean

    sampled = np.var(jax.jit(jax.vmap(after))(jnp.asarray(answers)), axis=0).mean()
    np.testing.assert_allclose(found[0], sampled, rtol=0.05)


def test_a_learner_that_adapts_anew_is_refused():
    with pytest.raises(ConfigError, match=r"one rating after another.*strategy=\"popularity_entropy\""):
        variance_reduction(LEARNERS["meta_sgd"]())


def test_questions_are_chosen_one_after_another():
    learner = bayesian_linear(linear_model(), item_width=3)
    meta_params, state, questions, sample = somebody(learner)
    known, allowed = jnp.array([1.0, 1.0, 0.5, 1.0, 2.0, 1.0]), jnp.array([True, True, True, False, True, True])
    ask = jax.jit(most_informative(learner, 6))
    found = ask(meta_params, state, questions, known, allowed, sample, 6)
    few = ask(meta_params, state, questions, known, allowed, sample, 2)
    assert few.positions.tolist() == [*found.positions[:2].tolist(), -1, -1, -1, -1]
    np.testing.assert_array_equal(few.values, [*found.values[:2], *[-np.inf] * 4])
    assert sorted(found.positions.tolist()) == [-1, 0, 1, 2, 4, 5]
    assert np.isneginf(found.values[-1])
    value, adapt = jax.jit(variance_reduction(learner)), jax.jit(learner.adapt)
    left = allowed
    for position, worth in zip(found.positions[:5].tolist(), found.values[:5], strict=True):
        worths = jnp.where(left, known * value(meta_params, state, questions, sample), -1)
        assert int(jnp.argmax(worths)) == position
        np.testing.assert_allclose(worth, worths[position], rtol=1e-9)
        state = adapt(meta_params, state, Examples(questions[position][None], jnp.array([9.0]), jnp.ones(1)))
        left = left.at[position].set(False)
    with pytest.raises(ConfigError, match="1 item or more, got n=0"):
        most_informative(learner, 0)


def test_entropy_is_of_the_rounded_prediction():
    levels = jnp.array([1.0, 2.0, 3.0])
    found = rating_entropy(jnp.array([2.0, 2.0, 1.5]), jnp.array([1e-12, 1e12, 1e-12]), levels)
    np.testing.assert_allclose(found, [0, np.log(2), np.log(2)], atol=1e-5)


def test_items_that_are_met_are_as_frequent_as_they_are_rated():
    found = met_items(np.array([0, 30, 10, 0]), 400)
    shares = np.bincount(found, minlength=4) / 400
    np.testing.assert_allclose(shares, np.array([1, 31, 11, 1]) / 44, atol=1 / 400)
