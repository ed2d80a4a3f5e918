"""The readers of Douban, Amazon, Last.fm and Coat, on files of a few lines in their layout, and on the real ones."""

import polars as pl
import pytest

from metajax.data import Feature, load, sources
from metajax.data.readers.amazon import read_game_video
from metajax.data.readers.coat import read_coat
from metajax.data.readers.douban import read_book_music
from metajax.data.readers.lastfm import read_hetrec2011
from metajax.errors import DataError

LASTFM = {
    "user_artists.dat": "userID\tartistID\tweight\r\n2\t51\t13883\r\n2\t52\t1\r\n3\t51\t7\r\n",
    "artists.dat": 'id\tname\turl\tpictureURL\n51\t"Weird Al" é\thttp://x\t\n52\tB\thttp://y\thttp://z\n',
    "tags.dat": "tagID\ttagValue\r\n1\tmetal\r\n2\tcafé\r\n3\trock\r\n",
    "user_taggedartists-timestamps.dat": "userID\tartistID\ttagID\ttimestamp\r\n2\t51\t3\t1238536800000\r\n"
    "2\t51\t1\t1238536800000\r\n3\t51\t2\t1238536800000\r\n2\t51\t2\t1238536800000\r\n9\t77\t1\t0\r\n",
    "user_friends.dat": "userID\tfriendID\r\n2\t9\r\n2\t3\r\n",
}
COAT = {
    "train.ascii": "0 5 0\r\n2 0 1\r\n",
    "test.ascii": "4 3 0\r\n0 0 5\r\n",
    "item_features.ascii": "1 0 1 0\n0 1 1 0\n0 1 0 1\n",
    "item_features_map.txt": "gender:men\r\ngender:women\r\ncolor:dark red\r\ncolor:blue",
    "user_features.ascii": "1 0\n0 1\n",
    "user_features_map.txt": "age:20-30\nage:over 60\n",
}


def table(path, **columns):
    pl.DataFrame(columns).write_parquet(path)


def lastfm(folder, **replaced):
    for name, text in (LASTFM | replaced).items():
        (folder / name).write_text(text, encoding="latin-1" if name == "tags.dat" else "utf-8", newline="")
    return folder


def coat(folder, **replaced):
    (folder / "user_item_features").mkdir()
    for name, text in (COAT | replaced).items():
        place = folder / "user_item_features" if "features" in name else folder
        (place / name).write_text(text, encoding="utf-8", newline="")
    return folder


def test_douban_keeps_the_items_of_its_domains_apart(tmp_path):
    table(tmp_path / "ratings_book.parquet", user=[1, 2, 2], item=[7, 7, 8], rating=[4.0, 9.0, 3.0])
    table(tmp_path / "ratings_music.parquet", user=[1, None], item=[7, 9], rating=[2.0, 5.0])
    interactions = read_book_music(tmp_path)
    assert interactions.ratings.rows() == [
        (1, "book:7", 4.0, "book"),
        (2, "book:8", 3.0, "book"),
        (1, "music:7", 2.0, "music"),
    ]
    assert interactions.quarantine.counts() == {"no user id": 1, "target outside 1 to 5": 1}
    assert interactions.items.rows() == [
        ("book:7", "book"),
        ("book:8", "book"),
        ("music:7", "music"),
        ("music:9", "music"),
    ]
    assert interactions.features == (Feature("domain", "item", "category"),)
    with pytest.raises(DataError, match="2 rows were rejected"):
        read_book_music(tmp_path, strict=True)


def test_amazon_counts_each_row_one(tmp_path):
    table(tmp_path / "interactions_game.parquet", user=[1, 1], item=[0, 1])
    table(tmp_path / "interactions_video.parquet", user=[1, 2], item=[0, None])
    interactions = read_game_video(tmp_path)
    assert interactions.ratings.rows() == [
        (1, "game:0", 1.0, "game"),
        (1, "game:1", 1.0, "game"),
        (1, "video:0", 1.0, "video"),
    ]
    assert interactions.scale == (0, 1)
    assert interactions.quarantine.counts() == {"no item id": 1}


def test_a_domain_without_its_columns_is_told(tmp_path):
    table(tmp_path / "ratings_book.parquet", user=[1], item=[7], rating=[4.0])
    table(tmp_path / "ratings_music.parquet", user=[1], item=[7], stars=[4.0])
    with pytest.raises(DataError, match=r"There is no column 'rating'; the columns are \['user', 'item', 'stars'\]"):
        read_book_music(tmp_path)


def test_lastfm(tmp_path):
    """Tags are in the order of how many users gave them, then of their ids; who has no friends has a null."""
    interactions = read_hetrec2011(lastfm(tmp_path), strict=True)
    assert interactions.ratings.rows() == [(2, 51, 1.0), (2, 52, 1.0), (3, 51, 1.0)]
    assert interactions.users.rows() == [(2, [3, 9]), (3, None)]
    assert interactions.items.rows() == [(51, '"Weird Al" é', ["café", "metal", "rock"]), (52, "B", None)]
    assert interactions.features == (Feature("tags", "item", "bag"), Feature("friends", "user", "bag"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("user_artists.dat", "user\tartistID\n1\t2\n", r"no column 'userID'; the columns are \['user', 'artistID'\]"),
        ("artists.dat", "id\tname\nx\tB\n", r"(?s)artists.dat holds an id that is not a whole number: .*x"),
        ("tags.dat", "tagID\n1\n", "no column 'tagValue'"),
    ],
)
def test_malformed_lastfm_is_told(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        read_hetrec2011(lastfm(tmp_path, **{name: text}))


def test_coat(tmp_path):
    """User 0 drew coat 1, which the user had chosen too: the random rating counts."""
    interactions = read_coat(coat(tmp_path))
    assert set(interactions.ratings.rows()) == {
        (1, 0, 2.0, "self_selected"),
        (0, 0, 4.0, "random"),
        (0, 1, 3.0, "random"),
        (1, 2, 5.0, "random"),
    }
    assert interactions.quarantine.counts() == {"duplicate pair": 2}
    assert interactions.users.rows() == [(0, "20-30"), (1, "over 60")]
    assert interactions.items.rows() == [(0, "men", "dark red"), (1, "women", "dark red"), (2, "women", "blue")]
    assert {(one.of, one.name, one.kind) for one in interactions.features} == {
        ("user", "age", "category"),
        ("item", "gender", "category"),
        ("item", "color", "category"),
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "train.ascii",
            "0 5\n2 0\n",
            r"train.ascii is a matrix of \(2, 2\), but the features are of 2 users and 3 item",
        ),
        ("test.ascii", "0 5 0\n2 0 x\n", "test.ascii is no matrix of numbers"),
        ("test.ascii", "0 5 0\n2 0\n", "test.ascii is no matrix of numbers"),
        ("user_features.ascii", "1 1\n0 1\n", r"a row is not 1 in exactly one column of 'age'"),
        ("user_features.ascii", "1 0 0\n0 1 0\n", r"user_features.ascii has 3 columns, but its map names 2"),
    ],
)
def test_malformed_coat_is_told(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        read_coat(coat(tmp_path, **{name: text}))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows", "users", "items", "rejected"),
    [
        ("douban-book-music", {"book": 96_041, "music": 69_709}, 2_216, 6_777 + 5_567, {}),
        ("amazon-game-video", {"game": 157_721, "video": 158_984}, 42_303, 12_319 + 8_751, {}),
        ("coat", {"self_selected": 6_960 - 366, "random": 4_640}, 290, 300, {"duplicate pair": 366}),
    ],
)
def test_the_real_domains(data_root, name, rows, users, items, rejected):
    data_root(name)
    interactions = load(name)
    counts = interactions.ratings["domain"].value_counts()
    assert dict(counts.iter_rows()) == rows
    assert (interactions.ratings["user"].n_unique(), interactions.ratings["item"].n_unique()) == (users, items)
    assert (interactions.users.height, interactions.items.height) == (users, items)
    assert interactions.quarantine.counts() == rejected
    domains = interactions.ratings.group_by("user").agg(pl.col("domain").n_unique())["domain"]
    assert (domains == 2).sum() == {"douban-book-music": 1_566, "amazon-game-video": 2_179, "coat": 290}[name]


@pytest.mark.data
def test_the_real_lastfm(data_root):
    data_root("lastfm-hetrec2011")
    interactions = load("lastfm-hetrec2011", strict=True)
    assert interactions.ratings.height == 92_834
    assert (interactions.users.height, interactions.items.height) == (1_892, 17_632)
    assert interactions.items["title"].null_count() == 0
    assert interactions.items["tags"].list.len().sum() == 108_437
    assert interactions.users["friends"].list.len().sum() == 25_434


def test_what_has_no_address_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    message = r"No address is known from which coat could be fetched: get the files by hand \(see https.*\$METAJAX_DATA"
    for call in (sources.fetch, sources.find, load):
        with pytest.raises(DataError, match=message):
            call("coat")
    (tmp_path / "coat").mkdir()
    with pytest.raises(DataError, match=r"train.ascii is missing. Remove .*coat and get the files by hand"):
        sources.fetch("coat")
