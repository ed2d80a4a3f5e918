"""Losses against naive numpy, row by row; padding and empty sets do nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.errors import ConfigError
from metajax.losses import (
    binary_cross_entropy,
    masked_mean,
    ordinal,
    pairwise_ranking,
    softmax_cross_entropy,
    squared_error,
)

STARS = (1.0, 2.0, 3.0, 4.0, 5.0)
LOSSES = {
    "squared_error": squared_error,
    "binary_cross_entropy": binary_cross_entropy,
    "softmax_cross_entropy": lambda: softmax_cross_entropy(STARS),
    "ordinal": lambda: ordinal(STARS),
    "pairwise_ranking": pairwise_ranking,
}
MASK = jnp.array([1.0, 1.0, 0.0, 1.0])
TARGET = jnp.array([1.0, 0.0, 1.0, 1.0])
RATING = jnp.array([4.0, 1.0, 3.0, 5.0])


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]()


def random_scores(loss, seed=0):
    shape = (4,) if loss.num_outputs == 1 else (4, loss.num_outputs)
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_squared_error_by_hand():
    value = squared_error().value(jnp.array([1.0, 2.0, 9.0]), jnp.array([0.0, 5.0, 0.0]), jnp.array([1.0, 1.0, 0.0]))
    assert value == (1 + 9) / 2


def test_binary_cross_entropy_is_the_bernoulli_likelihood():
    loss = binary_cross_entropy()
    scores = random_scores(loss)
    probability = sigmoid(scores)
    rows = -np.log(np.where(TARGET == 1, probability, 1 - probability))
    np.testing.assert_allclose(loss.value(scores, TARGET, MASK), rows[MASK > 0].mean(), rtol=1e-12)
    np.testing.assert_allclose(loss.mean(scores), probability, rtol=1e-12)
    assert loss.value(jnp.array([800.0]), jnp.array([1.0]), jnp.array([1.0])) == 0


def test_softmax_cross_entropy_is_the_categorical_likelihood():
    loss = softmax_cross_entropy(STARS)
    scores = random_scores(loss)
    probability = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    rows = [-np.log(probability[row, int(star) - 1]) for row, star in enumerate(RATING) if MASK[row]]
    np.testing.assert_allclose(loss.value(scores, RATING, MASK), np.mean(rows), rtol=1e-12)
    np.testing.assert_allclose(loss.mean(scores), probability @ np.array(STARS), rtol=1e-12)


@pytest.mark.parametrize(("target", "nearest"), [(0.2, 1.0), (2.4, 2.0), (2.5, 2.0), (2.6, 3.0), (9.0, 5.0)])
def test_softmax_takes_the_nearest_level(target, nearest):
    loss = softmax_cross_entropy(STARS)
    scores, mask = random_scores(loss)[:1], jnp.ones(1)
    assert loss.value(scores, jnp.array([target]), mask) == loss.value(scores, jnp.array([nearest]), mask)


@pytest.mark.parametrize("levels", [(0.0, 1.0), (1.0, 2.0, 4.0, 4.5)])
def test_ordinal_is_the_cumulative_logit_model(levels):
    loss, scores = ordinal(levels, spread=0.7), jnp.array([-1.0, 2.2, 3.9])
    middles = np.array([-np.inf, *(np.array(levels[1:]) + np.array(levels[:-1])) / 2, np.inf])
    above = sigmoid((scores[:, None] - middles[None, :]) / 0.7)
    probability = above[:, :-1] - above[:, 1:]
    np.testing.assert_allclose(loss.mean(scores), probability @ np.array(levels), rtol=1e-12)
    for column, level in enumerate(levels):
        got = [loss.value(scores[row : row + 1], jnp.array([level]), jnp.ones(1)) for row in range(3)]
        np.testing.assert_allclose(got, -np.log(probability[:, column]), rtol=1e-9)


def test_ordinal_is_finite_far_out():
    value, gradient = jax.value_and_grad(ordinal(STARS).value)(jnp.array([-1e4]), jnp.array([5.0]), jnp.ones(1))
    np.testing.assert_allclose([value, gradient[0]], [(1e4 + 4.5) / 0.5, -2.0])


def test_ranking_by_hand():
    """Targets 2 > 1, 2 > 1', 1 = 1': two pairs; the padded row of target 9 makes none."""
    scores, target = jnp.array([0.5, 0.0, -1.0, 7.0]), jnp.array([2.0, 1.0, 1.0, 9.0])
    expected = np.mean([-np.log(sigmoid(0.5)), -np.log(sigmoid(1.5))])
    value = pairwise_ranking().value(scores, target, jnp.array([1.0, 1.0, 1.0, 0.0]))
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_ranking_is_zero_where_no_pair_differs():
    value, gradient = jax.value_and_grad(pairwise_ranking().value)(jnp.arange(3.0), jnp.full(3, 4.0), jnp.ones(3))
    assert value == 0
    assert jnp.all(gradient == 0)


@pytest.mark.parametrize("empty", [False, True])
def test_padding_does_nothing_even_if_it_is_nan(loss, empty):
    mask = jnp.zeros(4) if empty else MASK
    real = mask > 0
    scores, target = random_scores(loss).at[~real].set(jnp.nan), TARGET.at[~real].set(jnp.nan)
    value, gradient = jax.value_and_grad(loss.value)(scores, target, mask)
    assert np.all(gradient[~real] == 0)
    assert np.all(np.isfinite(gradient))
    if empty:
        assert value == 0
    else:
        alone = loss.value(scores[real], target[real], jnp.ones(3))
        np.testing.assert_allclose(value, alone, rtol=1e-12)


def test_link_is_the_score_that_predicts_a_target(loss):
    if loss.num_outputs > 1:
        assert loss.link(3.5) == 0
    else:
        target = 0.3 if loss.name == "binary cross-entropy" else 3.0
        np.testing.assert_allclose(loss.mean(jnp.array([loss.link(target)])), [target], rtol=1e-12)


def test_link_of_a_certain_event_is_finite():
    assert np.isfinite([binary_cross_entropy().link(0.0), binary_cross_entropy().link(1.0)]).all()


def test_value_works_in_float32_under_vmap_and_jit(loss):
    scores = jnp.stack([random_scores(loss, seed) for seed in range(2)]).astype(jnp.float32)
    target, mask = (jnp.stack([rows] * 2).astype(jnp.float32) for rows in (TARGET, MASK))
    together = jax.jit(jax.vmap(loss.value))(scores, target, mask)
    assert together.dtype == jnp.float32
    np.testing.assert_allclose(together[1], loss.value(scores[1], target[1], mask[1]), rtol=1e-6)
    assert jax.vmap(loss.mean)(scores).shape == (2, 4)


def test_masked_mean_of_nothing_is_zero_with_a_gradient_of_zeros():
    assert masked_mean(jnp.array([1.0, 4.0, jnp.nan]), jnp.array([1.0, 1.0, 0.0])) == 2.5
    value, gradient = jax.value_and_grad(masked_mean)(jnp.array([1.0, jnp.nan]), jnp.zeros(2))
    assert value == 0
    assert jnp.all(gradient == 0)


@pytest.mark.parametrize("levels", [(1.0,), (2.0, 1.0), (1.0, 1.0, 2.0)])
@pytest.mark.parametrize("factory", [softmax_cross_entropy, ordinal])
def test_levels_that_do_not_ascend_are_refused(factory, levels):
    with pytest.raises(ConfigError, match="Levels must be two or more and ascend"):
        factory(levels)


def test_a_spread_that_is_not_positive_is_refused():
    with pytest.raises(ConfigError, match=r"spread of an ordinal loss must be positive, got spread=0"):
        ordinal(STARS, spread=0)
