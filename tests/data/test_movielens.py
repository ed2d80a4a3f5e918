"""The MovieLens readers, on files of a few lines in the publishers' layout, and on the real ones where they are."""

import polars as pl
import pytest

from metajax.data import Feature, load
from metajax.data.readers.movielens import read_1m, read_100k, read_latest_small

RATINGS_1M = "1::1::5::978300760\n1::860::4::978302109\n2::811::3::978301968\n2::9::1::978301968\n"
MOVIES_1M = (
    "1::Toy Story (1995)::Animation|Children's|Comedy\n"
    "9::Léon: The (1994) Professional, a.k.a. Miserables, Les (1998)::Action\n"
    "811::Bewegte Mann, Der (1994)::Comedy\n"
    "860::Maybe, Maybe Not (Bewegte Mann, Der) (1994)::Comedy\n"
)
USERS_1M = "1::F::1::10::48067\n2::M::56::16::70072\n"
EXTRA_1M = (
    "1::Toy Story::1995::G::22 Nov 1995::Animation, Adventure::John Lasseter, Ann Roe(co-director)::Joss W (by)::"
    'Tom Hanks, Tim Allen::A boy named "Andy" ñ é.::https\n'
    "811::Maybe::1994::UNRATED::1994::N/A::N/A::::Til Schweiger::N/A::N/A\n"
)


def write(folder, name, text, encoding="latin-1"):
    (folder / name).write_text(text, encoding=encoding)


@pytest.fixture
def one_million(tmp_path):
    write(tmp_path, "ratings.dat", RATINGS_1M)
    write(tmp_path, "movies.dat", MOVIES_1M)
    write(tmp_path, "users.dat", USERS_1M)
    return tmp_path


def test_1m_without_extra_information(one_million):
    interactions = read_1m(one_million)
    assert interactions.ratings.row(0, named=True) == {"user": 1, "item": 1, "target": 5.0, "timestamp": 978300760}
    assert interactions.ratings.height == 4
    assert interactions.users.row(1, named=True) == {
        "user": 2,
        "gender": "M",
        "age": "56",
        "occupation": "16",
        "zip": "70072",
    }
    items = interactions.items
    assert items["year"].to_list() == [1995, 1998, 1994, 1994]
    assert items["decade"].to_list() == [1990, 1990, 1990, 1990]
    assert items["genres"].to_list()[0] == ["Animation", "Children's", "Comedy"]
    assert items["title"][1].startswith("Léon")
    assert interactions.scale == (1.0, 5.0)
    assert {feature.name for feature in interactions.features} == {
        "gender", "age", "occupation", "zip", "genres", "decade",
    }  # fmt: skip


def test_1m_with_extra_information(one_million):
    """Genres are the extra ones where they are known; a double title has the information of its twin."""
    write(one_million, "movies_extrainfos.dat", EXTRA_1M, "utf-8")
    interactions = read_1m(one_million)
    toy, leon, man, twin = interactions.items.to_dicts()
    assert toy["genres"] == ["Animation", "Adventure"]
    assert toy["movielens_genres"] == ["Animation", "Children's", "Comedy"]
    assert toy["directors"] == ["John Lasseter", "Ann Roe"]
    assert toy["actors"] == ["Tom Hanks", "Tim Allen"]
    assert toy["mpaa"] == "G"
    assert toy["plot"] == 'A boy named "Andy" ñ é.'
    assert leon["genres"] == ["Action"]
    assert [leon[name] for name in ("mpaa", "directors", "actors", "plot")] == [None] * 4
    assert man["actors"] == ["Til Schweiger"]
    assert man["directors"] == []
    names = ("mpaa", "genres", "directors", "actors", "plot", "year")
    assert [man[name] for name in names] == [twin[name] for name in names]
    kinds = {feature.name: feature.kind for feature in interactions.features if feature.of == "item"}
    assert kinds == {"genres": "bag", "decade": "category", "mpaa": "category", "directors": "bag", "actors": "bag"}


def test_100k(tmp_path):
    write(tmp_path, "u.data", "196\t242\t3\t881250949\n1\t2\t5\t1\n")
    write(tmp_path, "u.genre", "unknown|0\nAction|1\nDrama|2\n\n")
    write(
        tmp_path, "u.item", "242|Kolya (1996)|24-Jan-1997||http://x|0|0|1\n2|unknown||||1|0|0\n7|Île (1990)||||0|1|1\n"
    )
    write(tmp_path, "u.user", "1|24|M|technician|85711\n196|49|F|writer|55105\n")
    interactions = read_100k(tmp_path)
    assert interactions.ratings["target"].to_list() == [3.0, 5.0]
    assert interactions.users["age"].to_list() == [20, 40]
    items = {row["item"]: row for row in interactions.items.to_dicts()}
    assert items[7] == {"item": 7, "title": "Île (1990)", "genres": ["Action", "Drama"], "year": 1990, "decade": 1990}
    assert items[2]["year"] is None
    assert items[242]["genres"] == ["Drama"]


def test_latest_small_from_csv_is_what_the_bundled_parquet_holds(tmp_path):
    """The reader takes either; here a few rows in the published layout, with a quoted title and no genres."""
    write(tmp_path, "ratings.csv", "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,0.5,964981247\n", "utf-8")
    write(
        tmp_path,
        "movies.csv",
        'movieId,title,genres\n1,"Cité, La (1995)",Adventure|Comedy\n3,Black Mirror,(no genres listed)\n',
        "utf-8",
    )
    interactions = read_latest_small(tmp_path)
    assert interactions.items.to_dicts() == [
        {"item": 1, "title": "Cité, La (1995)", "genres": ["Adventure", "Comedy"], "year": 1995, "decade": 1990},
        {"item": 3, "title": "Black Mirror", "genres": [], "year": None, "decade": None},
    ]
    assert interactions.scale == (0.5, 5.0)
    bundled = load("ml-latest-small")
    assert (bundled.ratings.schema, bundled.items.schema) == (interactions.ratings.schema, interactions.items.schema)


def test_the_bundled_ratings():
    interactions = load("ml-latest-small", strict=True)
    assert interactions.ratings.height == 100_836
    assert interactions.users.height == 610
    assert interactions.ratings["item"].n_unique() == 9_724
    assert interactions.items.filter(title="Toy Story (1995)")["item"].to_list() == [1]
    assert interactions.features == (Feature("genres", "item", "bag"), Feature("decade", "item", "category"))


@pytest.mark.data
def test_the_real_1m(data_root):
    data_root("ml-1m")
    interactions = load("ml-1m", strict=True)
    assert interactions.ratings.height == 1_000_209
    assert interactions.ratings.row(0) == (1, 1193, 5.0, 978300760)
    assert (interactions.users.height, interactions.ratings["item"].n_unique()) == (6040, 3706)
    assert interactions.items["title"].null_count() == interactions.items["year"].null_count() == 0


@pytest.mark.data
def test_the_real_100k(data_root):
    data_root("ml-100k")
    interactions = load("ml-100k", strict=True)
    assert (interactions.ratings.height, interactions.users.height, interactions.items.height) == (100_000, 943, 1682)
    assert interactions.items["year"].null_count() == 2


@pytest.mark.data
def test_the_real_latest_small_is_the_bundled_one(data_root):
    published = read_latest_small(data_root("ml-latest-small"))
    bundled = load("ml-latest-small")
    assert published.ratings.equals(bundled.ratings)
    assert published.items.equals(bundled.items.cast({"item": pl.Int64}))
