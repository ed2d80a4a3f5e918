"""Intervals cover what they claim, p-values are uniform when there is nothing to find, Holm agrees with the hand."""

import numpy as np
import pytest

from metajax.evaluation.statistics import bootstrap_means, holm, sign_flip_test


def normal(users, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(users, columns))


def test_interval_covers_the_true_mean_about_95_times_in_100():
    """400 columns are 400 experiments of 80 users with true mean 3."""
    samples = bootstrap_means(3 + normal(80, 400), seed=1)
    low, high = np.percentile(samples, (2.5, 97.5), axis=0)
    covered = np.mean((low <= 3) & (high >= 3))
    assert 0.91 <= covered <= 0.97


def test_spread_of_the_bootstrap_is_the_standard_error():
    values = normal(200, 1)
    deviation = bootstrap_means(values, seed=0).std()
    np.testing.assert_allclose(deviation, values.std() / np.sqrt(200), rtol=0.06)


def test_bootstrap_agrees_with_a_loop_over_drawn_users():
    values = normal(7, 3)
    values[2, 1] = np.nan
    means = bootstrap_means(values, seed=5, resamples=40)
    drawn = np.random.default_rng(5).integers(7, size=(40, 7))
    np.testing.assert_allclose(means, [np.nanmean(values[users], axis=0) for users in drawn], rtol=1e-12)


def test_bootstrap_repeats_itself_and_pairs_columns():
    values = normal(50, 2)
    both = bootstrap_means(values, seed=3)
    np.testing.assert_array_equal(both, bootstrap_means(values, seed=3))
    assert not np.array_equal(both, bootstrap_means(values, seed=4))
    shifted = bootstrap_means(values[:, :1] + 0.5, seed=3)
    np.testing.assert_allclose(shifted - both[:, :1], 0.5, rtol=1e-12)


def test_bootstrap_of_nothing_is_nan():
    assert np.isnan(bootstrap_means(np.full((4, 1), np.nan), seed=0)).all()
    assert np.isnan(bootstrap_means(np.zeros((0, 2)), seed=0)).all()


def test_p_is_uniform_when_differences_are_symmetric():
    p = sign_flip_test(normal(60, 400), seed=0, flips=2_000)
    found = [np.mean(p <= level) for level in (0.05, 0.25, 0.5, 0.75)]
    np.testing.assert_allclose(found, (0.05, 0.25, 0.5, 0.75), atol=0.07)


def test_p_of_five_equal_signs_is_two_in_thirty_two():
    """Of the 32 sign patterns of five positive differences, all plus and all minus reach the observed sum."""
    p = sign_flip_test(np.array([[0.1], [0.2], [0.3], [0.4], [0.7]]), seed=0, flips=40_000)
    np.testing.assert_allclose(p, 2 / 32, atol=0.005)


def test_p_is_two_sided_and_never_zero():
    differences = 1 + normal(300, 1)
    p = sign_flip_test(np.concatenate([differences, -differences], axis=1), seed=0, flips=999)
    assert 0 < p[0] == p[1] < 1e-20


def test_p_of_a_strong_effect_is_the_share_of_all_patterns():
    """All 2^18 patterns are counted: of differences of one size, of several, and with a few of another sign."""
    random = np.random.default_rng(0)
    signs = 1 - 2.0 * ((np.arange(2**18)[:, None] >> np.arange(18)) & 1)
    sizes = np.abs(random.normal(size=(18, 12)))
    sizes[:, :4] = 0.5
    differences = np.where(random.random((18, 12)) < 0.93, sizes, -sizes)
    share = (np.abs(signs @ differences) >= np.abs(differences.sum(axis=0)) - 1e-9).mean(axis=0)
    few = share < 1e-3
    assert few.sum() >= 6
    found = sign_flip_test(differences, seed=0, flips=2_000)[few] / share[few]
    assert found.min() > 0.6
    assert found.max() < 1.5


def test_users_that_are_equal_but_for_the_last_digit_take_no_part():
    """Means of .8 over three seeds, less .8, are 1.1e-16; twelve others of one sign are 2 patterns of 4,096."""
    differences = np.full((100, 1), 1.1e-16)
    differences[:12] = 0.2
    np.testing.assert_allclose(sign_flip_test(differences, seed=0), 2.0**-11, rtol=0.6)


@pytest.mark.parametrize(("count", "size"), [(16, 1e-3), (16, 1e-7), (40, 1e-3)])
def test_p_where_few_differences_are_large(count, size):
    """Those have to be of one sign; which half of the others' patterns reaches the sum, all of these say."""
    random = np.random.default_rng(1)
    signs = 1 - 2.0 * ((np.arange(2**16)[:, None] >> np.arange(16)) & 1)
    small = size * random.normal(size=16)
    half = (signs @ small >= small.sum() - 1e-15).mean()
    differences = np.concatenate([np.full(count, 0.2), small])[:, None]
    np.testing.assert_allclose(sign_flip_test(differences, seed=0), 2.0 ** (1 - count) * half, rtol=0.4)


@pytest.mark.parametrize("outlier", [0.01, 10.0])
def test_p_of_thirty_users_of_one_sign_is_that_of_two_patterns(outlier):
    """However large one of the differences is."""
    differences = np.concatenate([[outlier], np.full(29, 0.01)])[:, None]
    np.testing.assert_allclose(sign_flip_test(differences, seed=0), 2.0**-29, rtol=1e-6)


def test_corrected_for_many_comparisons_a_strong_effect_is_still_one():
    p = sign_flip_test(0.5 + normal(200, 1_500), seed=0)
    assert (holm(p) < 0.05).mean() > 0.9


@pytest.mark.parametrize("differences", [np.zeros((5, 1)), np.full((5, 1), np.nan), np.zeros((0, 1))])
def test_p_without_differences_is_one(differences):
    np.testing.assert_array_equal(sign_flip_test(differences, seed=0, flips=100), 1.0)


def test_an_undefined_user_takes_no_part_in_the_test():
    differences = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [np.nan, 0.0]])
    p = sign_flip_test(differences, seed=0, flips=5_000)
    assert p[0] == p[1]
    np.testing.assert_allclose(p[0], 2 / 8, atol=0.02)


def test_holm_by_hand():
    """Sorted .01 .02 .03 .04 times 4 3 2 1: .04 .06 .06 .04, which must not fall: .04 .06 .06 .06."""
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.02])), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.6, 0.9])), [1.0, 1.0])
    assert holm(np.array([])).shape == (0,)
