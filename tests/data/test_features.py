"""Tables of users and items of one's own, beside ratings of one's own."""

import polars as pl
import pytest

from metajax.data import Feature, load
from metajax.data.readers.features import read_features
from metajax.errors import DataError
from metajax.experiment import DataConfig, Experiment, override
from metajax.experiment.codec import decode, encode

FILMS = (
    "film,title,year,genres,studio,code,empty\n"
    "7,Alien,1979,horror| science fiction|,Fox,007,\n"
    "8,1984,,,,12,\n"
    "9,B,-2.5,war,x,3,\n"
)
PEOPLE = "who\tage\ttitle\n1\t30\tDr\n3\t\t\n"
RATINGS = "who,film,stars\n1,7,5\n2,8,3\n1,8,4\n"


@pytest.fixture
def files(tmp_path):
    """Ratings, films and people; returns the choices of data that name them."""
    for name, text in (("films.csv", FILMS), ("people.tsv", PEOPLE), ("ratings.csv", RATINGS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    names = {"source": "ratings.csv", "items": "films.csv", "users": "people.tsv"}
    return {key: str(tmp_path / name) for key, name in names.items()} | {"user": "who", "item": "film"}


def test_columns_are_features_by_their_types(files):
    interactions = DataConfig(**files, target="stars").load()
    assert interactions.features == (
        Feature("age", "user", "number"),
        Feature("title", "user", "category"),
        Feature("year", "item", "number"),
        Feature("genres", "item", "bag"),
        Feature("studio", "item", "category"),
        Feature("code", "item", "category"),
        Feature("empty", "item", "category"),
    )
    assert interactions.items.rows() == [
        (7, "Alien", 1979.0, ["horror", "science fiction"], "Fox", "007", None),
        (8, "1984", None, None, None, "12", None),
        (9, "B", -2.5, ["war"], "x", "3", None),
    ]
    assert interactions.users.rows() == [(1, 30.0, "Dr"), (2, None, None), (3, None, None)]
    assert interactions.ratings.rows() == [(1, 7, 5.0), (2, 8, 3.0), (1, 8, 4.0)]


def test_in_a_parquet_file_the_types_are_those_of_the_columns(tmp_path):
    columns = {
        "item": [1, 2],
        "digits": ["1", "2"],
        "genres": ["a|b", None],
        "tags": [[1, 2], []],
        "picture": [[0.5, 1.0], [0.0, 1.0]],
        "long": [True, False],
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "items.parquet")
    table, features = read_features(tmp_path / "items.parquet", "item", "item")
    assert [one.kind for one in features] == ["category", "bag", "bag", "vector", "category"]
    assert table["genres"].to_list() == [["a", "b"], None]


def test_texts_as_ids_meet_texts(tmp_path):
    (tmp_path / "ratings.csv").write_text("user,item,target\n1,007,5\n2,x,3\n", encoding="utf-8")
    (tmp_path / "items.csv").write_text("item,size\n007,1\n7,2\n", encoding="utf-8")
    interactions = load(tmp_path / "ratings.csv", items=tmp_path / "items.csv")
    assert interactions.items.rows() == [("007", 1.0), ("7", 2.0), ("x", None)]


def test_a_repeated_id_is_quarantined_by_reason(files, tmp_path):
    (tmp_path / "films.csv").write_text(FILMS + "7,Again,1,,,,\n,None,1,,,,\n", encoding="utf-8")
    rejected = DataConfig(**files, target="stars").load().quarantine.counts()
    assert rejected == {"table of items: no id like those of the ratings": 1, "table of items: repeated id": 1}


def test_the_flags_reach_the_configuration_and_come_back_from_json(files):
    words = ["--data.items", files["items"], "--data.users", files["users"]]
    made, _ = override(Experiment(), words, options=DataConfig())
    assert (made.data.items, made.data.users) == (files["items"], files["users"])
    assert decode(encode(made)) == made
    older = encode(made)
    del older["data"]["items"], older["data"]["users"]
    assert decode(older) == Experiment()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "films.xlsx",
            b"",
            r"There is no table of items .*films.xlsx. Wanted a file that ends in .csv, .tsv, .parquet",
        ),
        ("none.csv", None, r"There is no table of items .*none.csv"),
        ("films.csv", b"film_id,year\n7,3\n", r"no column 'film'; the columns are \['film_id', 'year'\]. Did you mean"),
        ("films.csv", b"film,year\n7,3,4\n", r"films.csv could not be read: .*Check its format"),
        ("films.csv", b"film,year\n\xff,3\n", r"films.csv could not be read: .*Check its format"),
        ("films.parquet", b"no parquet", r"films.parquet could not be read: .*Check its format"),
        ("films.csv", b"film,user\n7,3\n", r"A feature of items is called 'user', which is the column of user ids. Re"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(files, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        DataConfig(**files | {"items": str(tmp_path / name)}, target="stars").load()


def test_tables_are_for_files_of_ones_own(files):
    with pytest.raises(DataError, match="ml-latest-small knows its own columns and scale; leave out items"):
        load("ml-latest-small", items=files["items"])
