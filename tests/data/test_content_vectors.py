"""Vectors of items in the content estimate."""

import json
from dataclasses import asdict, replace

import numpy as np
import polars as pl
import pytest

from metajax.data.content import ContentEstimate, fit_content
from metajax.data.content_vectors import VectorView


def world(*, seed=0, num_items=80, width=6):
    """Items of whose worth nothing tells but the direction of a vector, and ratings of the first 60."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((num_items, width)) + 3.0
    worth = (vectors - 3.0) @ rng.standard_normal(width) / np.linalg.norm(vectors - 3.0, axis=1)
    users, rated = np.nonzero(rng.random((40, 60)) < 0.5)
    target = 3 + worth[rated] + 0.4 * rng.standard_normal(len(users))
    items = pl.DataFrame({"item": np.arange(num_items), "picture": vectors.tolist()})
    return items, pl.DataFrame({"user": users, "item": rated, "target": target}), worth


@pytest.fixture(scope="module")
def fitted():
    items, train, worth = world()
    return items, train, worth, fit_content(items, train)


def test_vectors_tell_of_new_items(fitted):
    items, _, worth, estimate = fitted
    found = estimate.encode(items)["content_estimate"] * estimate.scale
    assert np.corrcoef(found[60:], worth[60:])[0, 1] > 0.8


def test_the_estimate_is_that_of_a_gaussian_process_on_cosines(fitted):
    """k(new, fitted) times the dual, from the definition."""
    items, _, _, estimate = fitted
    vectors = np.asarray(items["picture"].to_list())
    rated = np.asarray([int(item) for item in estimate.own])
    centred = vectors - vectors[rated].mean(axis=0)
    directions = (centred / np.linalg.norm(centred, axis=1, keepdims=True)).astype(np.float16).astype(float)
    products, lengths = directions @ directions.T, np.linalg.norm(directions, axis=1)
    cosines = products / np.outer(lengths, lengths)
    (view,) = estimate.views
    kernel = 1 + view.scale * products + estimate.square * cosines**2
    found = estimate.encode(items)["content_estimate"] * estimate.scale
    np.testing.assert_allclose(found[60:], (kernel[60:, rated] @ estimate.dual), rtol=1e-4, atol=1e-5)


def test_it_comes_back_from_json(fitted):
    items, _, _, estimate = fitted
    again = ContentEstimate.from_json(json.loads(json.dumps(asdict(estimate))))
    assert again == estimate
    for name, column in estimate.encode(items).items():
        np.testing.assert_array_equal(again.encode(items)[name], column)


@pytest.mark.parametrize(
    "change", [{"centre": [float("nan")] * 6}, {"centre": []}, {"fitted": ""}, {"fitted": "!"}, {"scale": float("inf")}]
)
def test_what_asdict_did_not_write_is_refused(fitted, change):
    document = json.loads(json.dumps(asdict(fitted[3])))
    document["views"][0] |= change
    with pytest.raises(ValueError, match=r"view of vectors|vectors of a view|base64|[Ii]ncorrect padding|reshape"):
        ContentEstimate.from_json(document)


def test_items_without_a_vector_or_with_another_length_have_no_direction(fitted):
    items, _, _, estimate = fitted
    (view,) = estimate.views
    odd = pl.DataFrame({"item": [1, 2, 3, 4], "picture": [None, [1.0], [], items["picture"].to_list()[0]]})
    found = view.matrix(odd)
    np.testing.assert_array_equal(found[:3], 0)
    np.testing.assert_array_equal(found[3], view.fitted_matrix()[list(estimate.own).index("0")])
    np.testing.assert_array_equal(view.matrix(odd.drop("picture")), 0)


def test_numbers_that_are_not_finite_count_as_the_mean():
    view = VectorView("v", (1.0, 2.0))
    np.testing.assert_allclose(view.matrix(pl.DataFrame({"v": [[float("nan"), 5.0]]})), [[0, 1]])


@pytest.mark.parametrize(
    "vectors",
    [[[1.0], [1.0, 2.0]], [[1.0, 2.0]] * 3, [None, None], [[], []]],
    ids=["lengths", "alike", "null", "empty"],
)
def test_columns_that_compare_nothing_are_not_read(vectors):
    assert VectorView.fit(pl.Series("v", vectors, pl.List(pl.Float64))) is None


def test_arrays_of_fixed_width_are_read_like_lists():
    items, train, _ = world()
    fixed = items.with_columns(pl.col("picture").cast(pl.Array(pl.Float64, 6)))
    one, other = fit_content(items, train), fit_content(fixed, train)
    assert replace(one, own={}) == replace(other, own={})
    np.testing.assert_array_equal(one.encode(items)["content_estimate"], other.encode(fixed)["content_estimate"])
