"""Who took what: the leading factors are those of the covariance, written out."""

import sys

import numpy as np
import polars as pl
import pytest

from metajax.data import fit_encoding, interactions_from_frame
from metajax.data.encoding import Encoding
from metajax.data.factorization import believed_factors, find_variance_components
from metajax.data.taken import FLOOR, SIZE, Taken

ITEMS = [f"i{number}" for number in range(9)]


@pytest.fixture(scope="module")
def taken():
    random = np.random.default_rng(0)
    pairs = [(user, item) for user in range(30) for item in ITEMS if random.random() < 0.1 + 0.08 * int(item[1:])]
    return Taken(pl.DataFrame(pairs, schema=["user", "item"], orient="row"), ITEMS)


@pytest.fixture(scope="module")
def scaled(taken):
    """Return the mean of every item, its scale, and the scaled covariance, from the whole matrix."""
    x = taken.ratings.with_columns(pl.lit(1.0).alias("one")).pivot("item", index="user", values="one").fill_null(0.0)
    x = x.select(ITEMS).to_numpy()
    weights = x.sum(axis=1) ** -0.5
    weights /= weights.sum()
    mean = weights @ x
    scale = ((mean + np.median(mean)) / (2 * np.median(mean))) ** -0.25
    covariance = (x - mean).T @ (weights[:, None] * (x - mean))
    return mean, scale, scale[:, None] * covariance * scale


def test_all_factors_make_the_scaled_covariance(taken, scaled):
    mean, scale, covariance = scaled
    found = taken.leading(8)
    at_rank = taken.leading(30)  # svds leaves one direction out, whose value is the least
    values = np.sort(np.linalg.eigvalsh(covariance))[::-1]
    unit = SIZE**2 / (values[:8].sum() / (9 * 8))
    np.testing.assert_allclose(
        np.linalg.eigvalsh(found.factors[1:] @ found.factors[1:].T)[1:], unit * values[:8][::-1], rtol=1e-4
    )
    np.testing.assert_allclose(at_rank.factors[:, 8:], 0)
    np.testing.assert_allclose(found.says[1:], scale * (1 - mean), rtol=1e-6)
    np.testing.assert_allclose(
        found.level[1:], np.log(mean + 1 / 30) - np.log(mean + 1 / 30).min(), rtol=1e-5, atol=1e-6
    )


def test_noise_is_what_the_factors_leave_of_an_items_variance(taken, scaled):
    covariance = scaled[2]
    found = taken.leading(3)
    values, vectors = np.linalg.eigh(covariance)
    kept = (vectors[:, -3:] ** 2) @ values[-3:]
    unit = SIZE**2 / (kept.sum() / (9 * 3))
    np.testing.assert_allclose(found.log_noise[1:], np.log(unit * (FLOOR + np.diag(covariance) - kept)), rtol=1e-5)
    np.testing.assert_allclose(np.sum(found.factors[1:] ** 2, axis=1), unit * kept, rtol=1e-4)


def test_an_item_of_no_training_user_is_nothing(taken):
    assert all(not np.any(leaf[0]) for leaf in taken.leading(3))


def test_the_order_of_ratings_and_repeats_do_not_matter(taken):
    shuffled = taken.ratings.sample(fraction=1.0, shuffle=True, seed=1)
    for one, other in zip(taken.leading(3), Taken(shuffled, ITEMS).leading(3), strict=True):
        np.testing.assert_array_equal(one, other)
    twice = Taken(pl.concat([shuffled, shuffled[:5]]), ITEMS)
    np.testing.assert_array_equal(taken.leading(3).factors, twice.leading(3).factors)


def test_other_pairs_read_otherwise(taken):
    assert repr(Taken(taken.ratings.reverse(), ITEMS)) == repr(taken)
    moved = taken.ratings.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("i0x")).otherwise("item").alias("item")
    )
    assert repr(Taken(moved, ITEMS)) != repr(taken)


@pytest.mark.parametrize("users", [2, 20])
def test_users_who_are_all_alike_have_no_factors(users):
    pairs = [(user, item) for user in range(users) for item in ITEMS]
    found = Taken(pl.DataFrame(pairs, schema=["user", "item"], orient="row"), ITEMS).leading(4)
    assert not found.factors.any()
    assert all(np.all(np.isfinite(leaf)) for leaf in found)


def test_ids_of_an_encoding_are_rows_of_the_start():
    """Nothing of other users, or of items that nobody took, is in it."""
    ratings = pl.DataFrame({"user": ["a", "a", "b", "z"], "item": ["y", "x", "y", "w"], "target": [1.0] * 4})
    interactions = interactions_from_frame(ratings)
    encoding = fit_encoding(interactions, interactions.ratings.filter(pl.col("user") != "z"))
    [column] = [one for one in encoding.columns if one.name == "id"]
    assert column.taken is not None
    ids = encoding.encode_items(pl.DataFrame({"item": ["w", "x", "y"]}))["id"]
    assert ids.tolist() == [0, 1, 2]
    level = column.taken.leading(1).level[ids]
    assert level[0] == level[1] == 0  # x is taken least
    assert level[2] > 0
    restored = Encoding.from_json(encoding.to_json())
    assert all(one.taken is None for one in restored.columns)


def test_few_pairs_give_few_factors():
    lonely = Taken(pl.DataFrame({"user": [7, 7], "item": ["i0", "i1"]}), ITEMS[:2]).leading(4)
    assert lonely.factors.shape == (3, 4)
    assert all(np.all(np.isfinite(leaf)) for leaf in lonely)
    assert not lonely.factors.any()


@pytest.fixture(scope="module")
def rated(taken):
    random = np.random.default_rng(1)
    return taken.ratings.with_columns(target=pl.Series(random.normal(3.5, 1.0, taken.ratings.height)))


def liked(taken):
    """Return means and deviations side by side."""
    return np.hstack(taken.liked(2, weight=0.4, deviation=0.5))


def test_what_was_liked_is_what_the_ratings_say_under_their_own_variances(rated):
    users = np.unique(rated["user"].to_numpy(), return_inverse=True)[1]
    columns, target = [int(one[1:]) for one in rated["item"]], rated["target"].to_numpy()
    sizes = {"num_users": int(users.max()) + 1, "num_items": len(ITEMS)}
    of_all = (users, np.array(columns), target - target.mean())
    components = find_variance_components(*of_all, **sizes)
    variances = {"user_variances": np.square([components.user, 0.4, 0.4]), "noise_variance": components.noise**2}
    variances["item_variances"] = np.square([components.item, 0.5, 0.5])
    wanted = believed_factors(*of_all, **variances, **sizes)
    found = liked(Taken(rated, ITEMS))
    np.testing.assert_allclose(found[1:], np.hstack(wanted), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[0], [0, 0, 0, components.item, 0.5, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(liked(Taken(rated.sample(fraction=1.0, shuffle=True, seed=1), ITEMS)), found)


def test_of_many_users_every_so_many_are_read(rated, monkeypatch):
    some = rated.filter(pl.col("user").rank("dense") % 3 == 1)
    whole = liked(Taken(some, ITEMS))
    monkeypatch.setattr(sys.modules[Taken.__module__], "MOST", 10)  # of 30 users; of 9 items
    np.testing.assert_allclose(liked(Taken(rated, ITEMS)), whole, rtol=1e-5, atol=1e-6)


def test_of_many_items_those_of_most_ratings_are_read(rated, monkeypatch):
    rated = rated.filter(pl.col("user") < 4)
    counts = rated.group_by("item").len().sort("len", "item", descending=[True, False])["item"].to_list()
    assert len(counts) > 5
    monkeypatch.setattr(sys.modules[Taken.__module__], "MOST", 5)
    found = liked(Taken(rated, ITEMS))
    assert {ITEMS[row - 1] for row in np.flatnonzero(found[:, 0])} == set(counts[:5])
    of_these = liked(Taken(rated.filter(pl.col("item").is_in(counts[:5])), ITEMS))
    np.testing.assert_allclose(found, of_these, rtol=1e-5, atol=1e-6)


def test_other_targets_read_otherwise(rated):
    assert repr(Taken(rated, ITEMS)) != repr(Taken(rated.with_columns(pl.col("target") + 1), ITEMS))
