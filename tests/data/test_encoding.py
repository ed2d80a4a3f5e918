import json

import numpy as np
import polars as pl
import pytest
from data.ratings import world
from hypothesis import given
from hypothesis import strategies as st

from metajax.data import Column, Encoding, Feature, Interactions, fit_encoding, interactions_from_frame
from metajax.errors import DataError, StorageError

FEATURES = (
    Feature("job", "user", "category"),
    Feature("tags", "item", "bag"),
    Feature("mpaa", "item", "category"),
    Feature("price", "item", "number"),
    Feature("plot", "item", "vector"),
)
USERS = pl.DataFrame({"user": [1, 2, 3], "job": ["smith", None, "clerk"]})
ITEMS = pl.DataFrame(
    {
        "item": ["a", "b", "c", "d"],
        "tags": [["war", "love"], ["war", "war"], [], ["space", "war"]],
        "mpaa": ["R", "G", "R", "X"],
        "price": [1.0, 3.0, None, 100.0],
        "plot": [[1.0, 0.0], [0.0, 1.0], None, [5.0, None]],
    }
)
RATINGS = pl.DataFrame({"user": [1, 1, 2, 2, 3], "item": ["a", "b", "a", "c", "d"], "target": [1, 2, 3, 4, 5]})


def make(**items) -> Interactions:
    return interactions_from_frame(RATINGS, users=USERS, items=ITEMS.with_columns(**items), features=FEATURES)


def fit(interactions: Interactions, **options) -> Encoding:
    """Fit on all ratings but the last: user 3 and item d are cold."""
    return fit_encoding(interactions, interactions.ratings.head(4), **options)


def test_every_kind_by_hand():
    interactions = make()
    encoding = fit(interactions, identity=("item", "user"))
    items = encoding.encode_items(interactions.items)
    users = encoding.encode_users(interactions.users)
    assert items["id"].tolist() == [1, 2, 3, 0]
    assert users["id"].tolist() == [1, 2, 0]
    assert users["job"].tolist() == [1, 0, 0]  # smith; unknown; clerk is of a cold user only
    assert items["tags"].tolist() == [[2, 1], [2, 2], [0, 0], [2, 0]]  # love 1, war 2; space is unknown
    assert items["mpaa"].tolist() == [2, 1, 2, 0]
    assert items["price"].tolist() == [-1.0, 1.0, 0.0, 98.0]  # mean 2, deviation 1, of training items
    assert items["plot"].tolist() == [[1, 0], [0, 1], [0, 0], [5, 0]]
    assert {name: (array.dtype, array.ndim) for name, array in items.items()} == {
        "id": (np.int32, 1),
        "tags": (np.int32, 2),
        "mpaa": (np.int32, 1),
        "price": (np.float32, 1),
        "plot": (np.float32, 2),
    }
    assert encoding.columns == (
        Column("id", "item", "category", 4),
        Column("id", "user", "category", 3),
        Column("job", "user", "category", 2),
        Column("tags", "item", "bag", 3),
        Column("mpaa", "item", "category", 3),
        Column("price", "item", "number", 1),
        Column("plot", "item", "vector", 2),
    )


def test_a_rare_value_gets_no_parameter():
    """War is in the bags of two items; love is in that of one, twice."""
    encoding = fit(make(tags=pl.Series([["war", "love", "love"], ["war"], [], ["love"]])), min_count=2)
    assert {encoder.feature.name: encoder.values for encoder in encoding.encoders} == {
        "id": ("a", "b", "c"),
        "job": (),
        "tags": ("war",),
        "mpaa": ("R",),
        "price": (),
        "plot": (),
    }


def test_a_bag_keeps_the_first_known_values():
    interactions = make(tags=pl.Series([["x", "y", "z"], ["z", "y", "x"], ["q"], ["new", "x", "y"]]))
    encoding = fit(interactions, max_bag=2)
    assert encoding.encode_items(interactions.items)["tags"].tolist() == [[2, 3], [4, 3], [1, 0], [2, 3]]


def test_only_the_named_features_are_encoded():
    encoding = fit(make(), identity=(), features=("mpaa",))
    assert [column.name for column in encoding.columns] == ["mpaa"]
    assert encoding.encode_users(USERS) == {}


def test_a_column_that_is_missing_is_unknown():
    encoding = fit(make())
    encoded = encoding.encode_items(pl.DataFrame({"item": ["b", "new"]}))
    assert encoded["id"].tolist() == [2, 0]
    assert all(not encoded[name].any() for name in ("tags", "mpaa", "price", "plot"))


@pytest.mark.parametrize("kind", ["category", "bag", "number"])
def test_a_feature_that_is_known_of_nobody_is_all_zero(kind):
    features = [Feature("about", "item", kind)]
    items = pl.DataFrame({"item": ["a", "b"], "about": [None, None]})
    interactions = interactions_from_frame(RATINGS, items=items, features=features)
    encoding = fit(interactions, identity=())
    assert not encoding.encode_items(interactions.items)["about"].any()
    assert encoding.columns[0].size == 1


@pytest.mark.parametrize("price", [[1.0, np.nan, 3.0, np.inf], [1.0, -np.inf, 3.0, None]], ids=str)
def test_numbers_that_are_not_finite_are_unknown(price):
    encoded = (encoding := fit(interactions := make(price=pl.Series(price)))).encode_items(interactions.items)
    assert encoded["price"].tolist() == [-1.0, 0.0, 1.0, 0.0]
    assert json.loads(json.dumps(encoding.to_json(), allow_nan=False)) == json.loads(json.dumps(encoding.to_json()))


@pytest.mark.parametrize("price", [[0.0, 1e-44, 0.0, 3e38], [1e300, -1e300, 1.0, -1e300], [3e38, -3e38, 3e38, 1.0]])
def test_numbers_near_the_limits_stay_finite(price):
    encoded = fit(interactions := make(price=pl.Series(price))).encode_items(interactions.items)
    assert np.isfinite(encoded["price"]).all()


def test_a_constant_number_is_not_divided_by_nothing():
    interactions = make(price=pl.Series([7, 7, 7, 8]))
    assert fit(interactions).encode_items(interactions.items)["price"].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("plot", [[[1.0], [1.0, 2.0], None, None], [None] * 4, [[], [], [], []]], ids=str)
def test_vectors_have_one_length(plot):
    interactions = make(plot=pl.Series(plot, dtype=pl.List(pl.Float64)))
    with pytest.raises(DataError, match="vectors of feature 'plot' must have one length, and a training item"):
        fit(interactions)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_vectors_are_about_as_long_as_1(size):
    """Those of some encoders are a hundred long, at which float32 and every prior and learning rate would be off."""
    plot = [[3.0, 4.0], [0.0, float("nan")], None, [7.0, 24.0]]
    scaled = pl.Series([one and [size * number for number in one] for one in plot], dtype=pl.List(pl.Float64))
    interactions = make(plot=scaled)
    encoded = fit(interactions).encode_items(interactions.items)["plot"]
    length = np.sqrt((25 + 0) / 2)  # of the items that training has seen a vector of
    np.testing.assert_allclose(encoded, np.array([[3, 4], [0, 0], [0, 0], [7, 24]]) / length, rtol=1e-5)


def test_a_later_vector_of_another_length_is_refused():
    with pytest.raises(DataError, match="A vector of feature 'plot' has another length than those of training, 2"):
        fit(make()).encode_items(pl.DataFrame({"item": ["a"], "plot": [[1.0, 2.0, 3.0]]}))


def test_a_later_column_of_another_kind_is_refused():
    with pytest.raises(DataError, match="'tags' of items was declared as bag"):
        fit(make()).encode_items(pl.DataFrame({"item": ["a"], "tags": ["war"]}))


def test_an_undeclared_feature_is_named():
    with pytest.raises(DataError, match=r"no feature 'mppa'; the data declare .*\. Did you mean 'mpaa'\?"):
        fit(make(), features=("mppa",))


def test_a_feature_may_not_take_the_name_of_the_identity():
    items = pl.DataFrame({"item": ["a"], "id": ["b"]})
    interactions = interactions_from_frame(RATINGS, items=items, features=[Feature("id", "item", "category")])
    with pytest.raises(DataError, match="A feature may not be called 'id'"):
        fit(interactions)


def test_a_feature_of_items_may_not_take_the_name_of_what_the_content_estimate_adds():
    items = pl.DataFrame({"item": ["a"], "tokens": [["b"]]})
    interactions = interactions_from_frame(RATINGS, items=items, features=[Feature("tokens", "item", "bag")])
    assert [one.name for one in fit(interactions).columns] == ["id", "tokens"]
    with pytest.raises(DataError, match="A feature may not be called 'tokens', as the content estimate's own"):
        fit(interactions, estimate_content=True)


values = st.lists(st.sampled_from(["x", "y", "z", "é", ""]) | st.none(), min_size=4, max_size=4)


@given(values, st.lists(values, min_size=4, max_size=4), st.lists(st.none() | st.floats(), min_size=4, max_size=4))
def test_an_encoding_survives_json(mpaa, tags, price):
    interactions = make(
        mpaa=pl.Series(mpaa, dtype=pl.String),
        tags=pl.Series(tags, dtype=pl.List(pl.String)),
        price=pl.Series(price, dtype=pl.Float32),
    )
    encoding = fit(interactions)
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json(), allow_nan=False)))
    assert again == encoding
    for before, after in zip(
        encoding.encode_items(interactions.items).values(),
        again.encode_items(interactions.items).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)
        assert np.isfinite(after).all()


@given(st.integers(0, 100))
def test_nothing_of_what_is_cold_is_in_an_encoding(seed):
    """Whatever cold items are like, the encoding is the same; and each gets the id of the unknown."""
    interactions = world(seed, num_users=6, num_items=8)
    cold = interactions.items["item"].gather([1, 4])
    train = interactions.ratings.filter(~pl.col("item").is_in(cold.implode()))
    changed = interactions.items.with_columns(
        year=pl.when(pl.col("item").is_in(cold.implode())).then(9999).otherwise("year"),
        genres=pl.when(pl.col("item").is_in(cold.implode())).then(pl.lit(["secret"])).otherwise("genres"),
    )
    encoding = fit_encoding(interactions, train)
    other = Interactions(interactions.ratings, interactions.users, changed, interactions.features)
    assert fit_encoding(other, train) == encoding
    ids = dict(zip(interactions.items["item"], encoding.encode_items(interactions.items)["id"], strict=True))
    assert {item for item, one in ids.items() if one == 0} >= set(cold)


@given(st.integers(0, 100))
def test_the_order_of_rows_does_not_matter(seed):
    interactions = world(1, num_users=6, num_items=8)
    shuffled = Interactions(
        interactions.ratings.sample(fraction=1, shuffle=True, seed=seed),
        interactions.users,
        interactions.items.sample(fraction=1, shuffle=True, seed=seed),
        interactions.features,
    )
    assert fit_encoding(shuffled, shuffled.ratings) == fit_encoding(interactions, interactions.ratings)


def good() -> list:
    return json.loads(json.dumps(fit(make()).to_json()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document[0].pop("values"),
        lambda document: document[0]["feature"].update(kind="magic"),
        lambda document: document[0]["feature"].update(of="movie"),
        lambda document: document[0]["feature"].update(more=1),
        lambda document: document[0].update(values=["a", "a"]),
        lambda document: document[0].update(values=[1]),
        lambda document: document[0].update(values=None),
        lambda document: document[0].update(width=0),
        lambda document: document[0].update(mean="a lot"),
        lambda document: document[0].update(scale=0),
        lambda document: document[0].update(scale=float("nan")),
        lambda document: document.append(None),
    ],
)
def test_a_malformed_document_is_refused(spoil):
    document = good()
    assert Encoding.from_json(document) == fit(make())
    spoil(document)
    with pytest.raises(StorageError, match="The feature encoding is malformed"):
        Encoding.from_json(document)


@pytest.mark.parametrize("document", [None, 7, "encoding", {"a": 1}])
def test_what_is_no_document_is_refused(document):
    with pytest.raises(StorageError, match="The feature encoding is malformed"):
        Encoding.from_json(document)


def test_the_content_estimate_is_a_column_that_survives_json():
    """Ten items in two genres, one of them liked; an eleventh that nobody rated is estimated by its genre."""
    genres = [["liked"], ["other"]] * 5 + [["liked"]]
    items = pl.DataFrame({"item": np.arange(11), "genres": genres, "year": np.arange(1990, 2001)})
    rows = [(user, item) for user in range(8) for item in range(10) if (user + item) % 3]
    ratings = pl.DataFrame({"user": [u for u, _ in rows], "item": [i for _, i in rows]}).with_columns(
        target=pl.when(pl.col("item") % 2 == 0).then(4.0).otherwise(2.0) + pl.col("user") % 2
    )
    interactions = interactions_from_frame(ratings, items=items, features=[Feature("genres", "item", "bag")])
    encoding = fit_encoding(interactions, interactions.ratings, estimate_content=True)
    factors, tokens = (encoding.columns[-2], Column("tokens", "item", "tokens", 3, widths=(1,)))
    assert encoding.columns[-3:] == (Column("content_estimate", "item", "number", 1), factors, tokens)
    assert (factors.name, factors.kind) == ("content_factors", "vector")
    assert encoding.encode_items(items)["content_factors"].shape == (11, factors.size)
    assert encoding.columns[0].rows == len(rows)
    estimates = encoding.encode_items(items)["content_estimate"]
    np.testing.assert_array_equal(encoding.encode_items(items)["tokens"][:, 0], [1, 2] * 5 + [1])
    assert estimates.dtype == np.float32
    assert estimates[10] > estimates[1::2].max()
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    for name in ("content_estimate", "content_factors"):
        np.testing.assert_array_equal(again.encode_items(items)[name], encoding.encode_items(items)[name])
    assert "content_estimate" not in fit_encoding(interactions, interactions.ratings).encode_items(items)
