import jaxtyping
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from data.ratings import world

from metajax.data import Feature, interactions_from_frame
from metajax.data.interactions import as_polars, positions_of
from metajax.errors import DataError

RATINGS = {"user": [2, 1, 2], "item": ["b", "b", "a"], "target": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame, pa.table], ids=["polars", "pandas", "pyarrow"])
def test_frames_of_any_library_give_the_same(make):
    interactions = interactions_from_frame(make(RATINGS))
    assert interactions.ratings.to_dict(as_series=False) == RATINGS
    assert interactions.users["user"].to_list() == [1, 2]
    assert interactions.items["item"].to_list() == ["a", "b"]
    assert interactions.scale == (1.0, 3.0)
    users, items, target = interactions.positions()
    assert (users.tolist(), items.tolist(), target.tolist()) == ([1, 0, 1], [1, 1, 0], [1.0, 2.0, 3.0])
    assert (users.dtype, items.dtype, target.dtype) == (np.int32, np.int32, np.float32)


def test_mixed_python_objects_become_text():
    frame = pd.DataFrame({"user": [1, "x", None, float("nan")], "item": [1, 2, 3, 4], "target": [1, 2, 3, 4]})
    interactions = interactions_from_frame(frame)
    assert interactions.ratings["user"].to_list() == ["1", "x"]
    assert interactions.quarantine.counts() == {"no user id": 2}


def test_lists_in_pandas_stay_lists():
    assert as_polars(pd.DataFrame({"tags": [["a"], ["b", "c"], None]}))["tags"].to_list() == [["a"], ["b", "c"], None]


@pytest.mark.parametrize("frame", [{"user": [1]}, [1, 2], None, "ratings.csv", pl.LazyFrame()], ids=type)
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(DataError, match="where a polars, pandas or pyarrow frame is wanted"):
        as_polars(frame)


def test_tables_keep_unrated_rows_and_get_a_row_for_every_rated_id():
    items = pl.DataFrame({"movie": ["z", "a", "a", None], "year": [1990, 2000, 2010, 2020], "item": [0, 0, 0, 0]})
    interactions = interactions_from_frame(
        pl.DataFrame(RATINGS).rename({"item": "movie"}),
        item="movie",
        items=items,
        features=[Feature("year", "item", "number")],
    )
    assert interactions.items.to_dict(as_series=False) == {"item": ["a", "b", "z"], "year": [2000, None, 1990]}
    assert interactions.quarantine.counts() == {
        "table of items: no id like those of the ratings": 1,
        "table of items: repeated id": 1,
    }


@pytest.mark.parametrize(("rated", "listed"), [([1, 2, 3], ["1", "x", "3"]), (["1", "2", "3"], [1, 7, 3])])
def test_ids_of_a_table_take_the_type_of_the_ratings(rated, listed):
    interactions = interactions_from_frame(
        pl.DataFrame({"user": [1, 1, 1], "item": rated, "target": [1, 2, 3]}),
        items=pl.DataFrame({"item": listed, "title": ["one", "seven", "three"]}),
    )
    titles = dict(interactions.items.select("item", "title").iter_rows())
    assert [titles[one] for one in rated] == ["one", None, "three"]


def test_a_table_of_other_ids_is_told():
    with pytest.raises(DataError, match=r"No item of the ratings is in the table of items: ids are such as 'x' there"):
        interactions_from_frame(
            pl.DataFrame(RATINGS).with_columns(item=pl.lit("x")), items=pl.DataFrame({"item": ["7"]})
        )


def test_strict_refuses_a_bad_row_of_any_table():
    bad = pl.DataFrame({"item": ["a", "a"]})
    with pytest.raises(DataError, match=r"1 rows were rejected.*table of items: repeated id"):
        interactions_from_frame(pl.DataFrame(RATINGS), items=bad, strict=True)
    with pytest.raises(DataError, match=r"1 rows were rejected.*target outside 2 to 3"):
        interactions_from_frame(pl.DataFrame(RATINGS), scale=(2, 3), strict=True)


def test_no_valid_row_is_an_error_that_tells_the_reasons():
    with pytest.raises(DataError, match=r"Rejected: \{'target outside 7 to 9': 3\}. The first: \{'user'"):
        interactions_from_frame(pl.DataFrame(RATINGS), scale=(7, 9))


def test_features_need_a_table():
    with pytest.raises(DataError, match=r"user features \['age'\] were declared, but there is no table of users"):
        interactions_from_frame(pl.DataFrame(RATINGS), features=[Feature("age", "user", "number")])


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("category", [["a"], ["b"]]),
        ("bag", ["a", "b"]),
        ("bag", [[["a"]], [["b"]]]),
        ("number", ["1", "2"]),
        ("vector", [["1"], ["2"]]),
        ("vector", [1.0, 2.0]),
    ],
)
def test_a_column_that_cannot_hold_its_feature_is_refused(kind, column):
    items = pl.DataFrame({"item": ["a", "b"], "about": column})
    with pytest.raises(DataError, match=f"'about' of items was declared as {kind}, for which its column should hold"):
        interactions_from_frame(pl.DataFrame(RATINGS), items=items, features=[Feature("about", "item", kind)])


@pytest.mark.parametrize("kind", ["category", "bag", "number", "vector"])
def test_a_column_of_nulls_can_hold_any_feature(kind):
    items = pl.DataFrame({"item": ["a", "b"], "about": [None, None]})
    made = interactions_from_frame(pl.DataFrame(RATINGS), items=items, features=[Feature("about", "item", kind)])
    assert made.items["about"].null_count() == 2


@pytest.fixture
def unchecked():
    """Run as a user does, without the run-time type checks of the tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
def test_features_are_of_known_sides_and_kinds():
    with pytest.raises(DataError, match="Feature 'genre' is a 'categories'; wanted one of"):
        Feature("genre", "item", "categories")
    with pytest.raises(DataError, match="Feature 'genre' is of 'movie'; wanted one of"):
        Feature("genre", "movie", "category")


def test_transposing_swaps_roles_and_twice_is_nothing():
    interactions = world()
    other = interactions.transpose()
    assert other.ratings["user"].equals(interactions.ratings["item"], check_names=False)
    assert other.users.columns == ["user", "title", "year", "genres"]
    assert {feature.of for feature in other.features} == {"user"}
    users, items, target = interactions.positions()
    swapped = other.positions()
    assert all(np.array_equal(*both) for both in zip(swapped, (items, users, target), strict=True))
    again = other.transpose()
    assert again.ratings.equals(interactions.ratings)
    assert again.items.equals(interactions.items)
    assert again.features == interactions.features


def test_positions_of_an_unknown_id_are_refused():
    with pytest.raises(DataError, match="user 9 is not in the table of users"):
        positions_of(pl.Series("user", [1, 9]), pl.Series("user", [1, 2]))
    with pytest.raises(DataError, match="user 'x' is not in the table of users"):
        positions_of(pl.Series("user", ["1", "x"]), pl.Series("user", [1, 2]))


@pytest.mark.parametrize("make", [pd.DataFrame, lambda rows, columns: pa.table(list(zip(*rows, strict=True)), columns)])
def test_two_columns_of_one_name_are_told(make):
    with pytest.raises(DataError, match=r"Two columns of the frame have one name: .*'user' 2 times. Rename one"):
        interactions_from_frame(make([[1, 2, 3, 4]], columns=["user", "user", "item", "target"]))


@pytest.mark.parametrize("name", [0, ("user", "id")])
def test_columns_without_a_text_for_a_name_are_told(name):
    with pytest.raises(DataError, match=r"The frame has a column called .*; a name is a text"):
        interactions_from_frame(pd.DataFrame({name: [1]}))


def test_what_pandas_calls_missing_is_no_id():
    frame = pd.DataFrame({"user": np.array([pd.NA, pd.NaT, "x"], object), "item": [1, 2, 3], "target": [1, 2, 3]})
    interactions = interactions_from_frame(frame)
    assert interactions.ratings["user"].to_list() == ["x"]
    assert interactions.quarantine.counts() == {"no user id": 2}


@pytest.mark.parametrize("name", ["user", "item"])
def test_a_feature_may_not_take_the_name_of_ids(name):
    items = pl.DataFrame({"movie": ["a", "b"], name: [1, 2]})
    with pytest.raises(DataError, match=f"A feature of items is called '{name}', which is the column of {name} ids"):
        interactions_from_frame(
            pl.DataFrame(RATINGS).rename({"item": "movie"}),
            item="movie",
            items=items,
            features=[Feature(name, "item", "number")],
        )


def test_a_feature_is_declared_once_a_side():
    about, items = Feature("age", "item", "number"), pl.DataFrame({"item": ["a", "b"], "age": [1, 2]})
    users = pl.DataFrame({"user": [1, 2], "age": [3, 4]})
    both = [about, Feature("age", "user", "number")]
    assert interactions_from_frame(pl.DataFrame(RATINGS), items=items, users=users, features=both).features == (*both,)
    with pytest.raises(DataError, match="The feature 'age' of items is declared twice"):
        interactions_from_frame(pl.DataFrame(RATINGS), items=items, features=[about, about])


def test_a_table_of_items_with_a_column_of_users_can_be_transposed():
    items = pl.DataFrame({"item": ["a", "b"], "user": ["uploader", None]})
    assert interactions_from_frame(pl.DataFrame(RATINGS), items=items).transpose().users.columns == ["user"]
