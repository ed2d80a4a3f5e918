"""RecBole's atomic files, tables of one's own, and the folders that are written."""

import polars as pl
import pytest
from data.ratings import world

from metajax.data import load
from metajax.data.interactions import Interactions
from metajax.data.readers.recbole import read_atomic
from metajax.data.readers.tables import rates, read_table, write_folder, write_table
from metajax.errors import DataError, StorageError
from metajax.files import write_json, write_manifest

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ti1\t4\t7\nu2\ti2\tbad\t8\nu2\ti1\t2.5\t9\n"
USER = "user_id:token\tage:token\tweight:float\nu1\t18\t70.5\nu2\t\t\n"
ITEM = 'item_id:token\ttitle:token_seq\tgenres:token_seq\tpicture:float_seq\ni1\tA "film\tdrama war\t0.5 1\ni3\tB\t\t\n'


def atomic_files(folder, inter=INTER, user=USER, item=ITEM):
    for suffix, text in (("inter", inter), ("user", user), ("item", item)):
        if text:
            (folder / f"tiny.{suffix}").write_text(text, encoding="utf-8")
    return folder / "tiny.inter"


def test_the_end_of_a_name_may_be_in_capitals(tmp_path):
    (tmp_path / "RATINGS.CSV").write_text("user,item,rating\n1,2,3\n", encoding="utf-8")
    (tmp_path / "ITEMS.TSV").write_text("item\tgenre\n2\ta\n", encoding="utf-8")
    interactions = load(tmp_path / "RATINGS.CSV", items=tmp_path / "ITEMS.TSV")
    assert (interactions.ratings["target"].to_list(), interactions.items["genre"].to_list()) == ([3.0], ["a"])


def test_atomic_files(tmp_path):
    interactions = load(atomic_files(tmp_path))
    assert interactions.name == "tiny"
    assert interactions.ratings.rows() == [("u1", "i1", 4.0, 7), ("u2", "i1", 2.5, 9)]
    assert interactions.quarantine.counts() == {"target is not a number": 1}
    assert interactions.users.rows() == [("u1", "18", 70.5), ("u2", None, None)]
    assert interactions.items.rows() == [
        ("i1", ["A", '"film'], ["drama", "war"], [0.5, 1.0]),
        ("i3", ["B"], None, None),
    ]
    kinds = {(feature.of, feature.name): feature.kind for feature in interactions.features}
    assert kinds == {
        ("user", "age"): "category",
        ("user", "weight"): "number",
        ("item", "genres"): "bag",
        ("item", "picture"): "vector",
    }


def test_without_a_rating_each_row_counts_one(tmp_path):
    path = atomic_files(tmp_path, inter="user_id:token\titem_id:token\n7\t8\n", user="", item="")
    assert read_atomic(path).ratings.rows() == [("7", "8", 1.0)]


@pytest.mark.parametrize("header", ["user_id\titem_id:token", "user_id:tokens\titem_id:token"])
def test_a_header_without_a_known_type_is_refused(tmp_path, header):
    path = atomic_files(tmp_path, inter=f"{header}\n1\t2\n")
    with pytest.raises(DataError, match=r"The header 'user_id.* has no known type. Wanted name:type, type one of"):
        read_atomic(path)


def test_a_feature_that_is_not_the_number_promised_is_refused(tmp_path):
    path = atomic_files(tmp_path, user=USER.replace("70.5", "heavy"))
    with pytest.raises(DataError, match=r"(?s)tiny\.user holds a value that is not the number .*heavy"):
        read_atomic(path)


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_tables_as_text(tmp_path, suffix, separator):
    rows = ["who,what,stars,when,domain", "007,5,4,2020-01-01,book", "7,6,x,2020-01-02,book", "8,5,3,2020-01-03,film"]
    path = tmp_path / f"mine.{suffix}"
    path.write_text("\n".join(rows).replace(",", separator), encoding="utf-8")
    interactions = load(path, user="who", item="what", target="stars", timestamp="when")
    assert interactions.ratings.rows() == [("007", 5, 4.0, 1577836800, "book"), ("8", 5, 3.0, 1578009600, "film")]
    assert interactions.quarantine.rows["who"].to_list() == ["7"]


def test_ids_that_a_frame_with_gaps_wrote_as_floats_are_integers(tmp_path):
    """So that they are those of the table of items."""
    (tmp_path / "mine.csv").write_text("user,item,target\n1.0,10.0,3\n2.0,20.0,4\n", encoding="utf-8")
    (tmp_path / "about.csv").write_text("item,genre\n10,drama\n20,war\n", encoding="utf-8")
    interactions = load(tmp_path / "mine.csv", items=tmp_path / "about.csv")
    assert interactions.ratings.select("user", "item").rows() == [(1, 10), (2, 20)]
    assert interactions.items["genre"].to_list() == ["drama", "war"]


def test_whole_ids_are_integers_and_columns_of_the_usual_names_are_found(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("user,item,target,timestamp\n-3,x,1,10\n5,y,2,20\n,z,2,20\n", encoding="utf-8")
    interactions = load(str(path))
    assert interactions.ratings.rows() == [(-3, "x", 1.0, 10), (5, "y", 2.0, 20)]
    assert interactions.quarantine.counts() == {"no user id": 1}


def test_ids_that_are_quoted_blanks_are_none(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('user,item,target\n"7","3","1"\n"","3","2"\n"8"," ","2"\n', encoding="utf-8")
    interactions = load(path)
    assert interactions.ratings.rows() == [(7, 3, 1.0)]
    assert interactions.quarantine.counts() == {"no user id": 1, "no item id": 1}


def test_times_that_nobody_asked_for_cost_no_rating(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("user,item,target,timestamp\n1,2,3,10\n2,3,4,\n3,2,4,yesterday\n", encoding="utf-8")
    assert load(path).ratings.columns == ["user", "item", "target"]
    assert load(path).ratings.height == 3
    assert load(path, timestamp="timestamp").quarantine.counts() == {"timestamp is not a time": 2}


def test_a_folder_may_be_named_by_a_text(tmp_path):
    (tmp_path / "mine.csv").write_text("user,item,target\n1,2,3\n", encoding="utf-8")
    write_folder(load(tmp_path / "mine.csv"), str(tmp_path / "folder"))
    assert load(tmp_path / "folder").ratings.rows() == [(1, 2, 3.0)]


@pytest.mark.parametrize("names", ["User-ID;ISBN;Book-Rating", "reviewerID;asin;overall", "user_id;parent_asin;rating"])
def test_columns_of_public_files_are_found(tmp_path, names):
    (tmp_path / "mine.csv").write_text(f"{names}\n1;034545104X;5\n2;0155061224;3\n", encoding="utf-8")
    assert load(tmp_path / "mine.csv").ratings.rows() == [(1, "034545104X", 5.0), (2, "0155061224", 3.0)]


def test_a_column_that_the_file_lacks_is_named(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("person,movieId,rating\n1,2,3\n", encoding="utf-8")
    wanted = r"No column is called user, .* the columns are \['person', 'movieId', 'rating'\]. Name one: --data.user"
    with pytest.raises(DataError, match=wanted):
        load(path)
    with pytest.raises(DataError, match="There is no column 'people'"):
        load(path, user="people")
    path.write_text("29,2.5\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"the columns are \['29', '2.5'\]. The first line of a file names its columns"):
        load(path)
    path.write_text("person,movieId,rating\n1,2,3\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no column 'ratings'.*Did you mean 'rating'"):
        load(path, user="person", item="movieId", target="ratings")


def test_columns_called_like_a_part_are_it(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("userId,Movie_ID,rating\n1,b,3\n1,a,4\n", encoding="utf-8")
    assert load(path).ratings.sort("item").rows() == [(1, "a", 4.0), (1, "b", 3.0)]
    path.write_text("user_id,item,rating,stars\n1,2,3,4\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"could be the target: \['rating', 'stars'\]. Name one: --data.target"):
        load(path)
    assert load(path, target="stars").ratings["target"].to_list() == [4.0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_without_ratings_says_who_took_what_up(suffix, tmp_path):
    path = tmp_path / f"mine{suffix}"
    frame = pl.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"]})
    frame.write_csv(path) if suffix == ".csv" else frame.write_parquet(path)
    assert load(path).ratings["target"].to_list() == [1.0] * 3
    assert not rates(path)
    for target, differ in (([5, 5, 5], False), ([5, 5, 4], True), ([None, 5, 5], False)):
        rated = frame.with_columns(stars=pl.Series(target))
        rated.write_csv(path) if suffix == ".csv" else rated.write_parquet(path)
        assert rates(path) == rates(path, target="stars") == differ
    assert rates(path, target="votes")  # what is not there is told of when it is read
    for part in ("user", "item"):
        renamed = frame.rename({part: "something"})
        renamed.write_csv(path) if suffix == ".csv" else renamed.write_parquet(path)
        with pytest.raises(DataError, match=f"No column is called {part}"):
            rates(path)


def test_a_scale_of_ones_own_rejects_what_lies_outside(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("user,item,target\n1,1,3\n1,2,11\n", encoding="utf-8")
    interactions = load(path, scale=(0, 10))
    assert interactions.scale == (0, 10)
    assert interactions.quarantine.counts() == {"target outside 0 to 10": 1}
    with pytest.raises(DataError, match="1 rows were rejected"):
        load(path, scale=(0, 10), strict=True)


@pytest.mark.parametrize("content", [b"", b"user,item,target\n1,2,3,4\n5\n", b"user,item,target\n\xff,1,2\n"], ids=str)
def test_a_csv_that_cannot_be_read_is_told(tmp_path, content):
    (tmp_path / "mine.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"mine.csv could not be read: .*Check its format"):
        load(tmp_path / "mine.csv")


def test_a_parquet_that_is_none_is_told(tmp_path):
    (tmp_path / "mine.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match=r"mine.parquet could not be read"):
        load(tmp_path / "mine.parquet")


def same(one: Interactions, other: Interactions) -> bool:
    tables = all(getattr(one, name).equals(getattr(other, name)) for name in ("ratings", "users", "items"))
    return tables and (one.features, one.scale, one.name) == (other.features, other.scale, other.name)


def test_a_folder_is_read_back_as_it_was_written(tmp_path):
    interactions = world()
    write_folder(interactions, tmp_path / "out")
    assert same(load(tmp_path / "out", strict=True), interactions)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_file_is_read_back_as_it_was_written(tmp_path, suffix):
    interactions = world()
    write_table(interactions, tmp_path / f"data{suffix}")
    assert read_table(tmp_path / f"data{suffix}", strict=True).ratings.equals(interactions.ratings)


def test_a_file_of_another_kind_is_not_written(tmp_path):
    with pytest.raises(DataError, match=r"data.xlsx cannot be written. Name a folder, or a file that ends in .csv"):
        write_table(world(), tmp_path / "data.xlsx")


def test_an_altered_folder_is_refused(tmp_path):
    write_folder(world(), tmp_path)
    content = bytearray((tmp_path / "items.parquet").read_bytes())
    content[40] ^= 1
    (tmp_path / "items.parquet").write_bytes(content)
    with pytest.raises(StorageError, match=r"items.parquet was altered"):
        load(tmp_path)
    (tmp_path / "items.parquet").unlink()
    with pytest.raises(StorageError, match=r"items.parquet is missing"):
        load(tmp_path)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"name": "x", "scale": [1, 5]},
        {"name": "x", "scale": [1], "features": []},
        {"name": "x", "scale": [1, 5], "features": [{"name": "a"}]},
        {"name": "x", "scale": [1, 5], "features": [{"name": "a", "of": "item", "kind": "magic"}]},
    ],
    ids=str,
)
def test_a_malformed_description_is_refused(tmp_path, document):
    write_folder(world(), tmp_path)
    write_json(tmp_path / "interactions.json", document)
    write_manifest(tmp_path)
    with pytest.raises(DataError, match=r"interactions.json is malformed .*Write it with `metajax data convert`"):
        load(tmp_path)


def test_a_frame_of_ones_own_with_list_columns_reaches_a_folder(tmp_path):
    interactions = world()
    write_folder(interactions, tmp_path)
    assert load(tmp_path).items["genres"].dtype == pl.List(pl.String)
