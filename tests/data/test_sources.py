"""Where data sets are found and fetched; what is fetched here is a file beside the test, never the network."""

import zipfile
from http.client import IncompleteRead

import pytest

from metajax.data import load, sources
from metajax.data.readers.tables import read_table
from metajax.errors import DataError
from metajax.files import sha256

RATINGS = "user,item,target\n1,2,3\n"


def pack(path, contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in contents.items():
            bundle.writestr(name, text)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A data set called tiny, of a publisher whose address is a zip file here; its cache is empty."""
    (tmp_path / "known.csv").write_text(RATINGS, encoding="utf-8")
    archive = tmp_path / "tiny.zip"
    pack(archive, {"tiny/": "", "tiny/ratings.csv": RATINGS, "tiny/README": "terms", "__MACOSX/tiny/x": "junk"})
    source = sources.Source(
        "tiny",
        "one rating",
        "none",
        lambda folder, strict: read_table(folder / "ratings.csv", strict=strict),
        archive.as_uri(),
        (("ratings.csv", sha256(tmp_path / "known.csv")),),
    )
    monkeypatch.setitem(sources.SOURCES, "tiny", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("METAJAX_DATA", raising=False)
    return archive


def test_a_data_set_that_is_nowhere_is_fetched_once_into_the_cache(tiny):
    assert sources.locate("tiny") is None
    assert load("tiny").ratings.rows() == [(1, 2, 3.0)]
    folder = sources.cache_folder() / "tiny"
    assert sources.locate("tiny") == folder == sources.find("tiny")
    assert sorted(path.name for path in folder.iterdir()) == ["README", "ratings.csv"]
    assert [path.name for path in sources.cache_folder().iterdir()] == ["tiny"]
    tiny.unlink()
    assert load("tiny").ratings.height == 1


def test_fetching_again_replaces_what_was_spoilt(tiny):
    folder = sources.fetch("tiny")
    (folder / "ratings.csv").write_text("spoilt", encoding="utf-8")
    with pytest.raises(DataError, match=r"ratings.csv is not the publisher's file: its sha256 differs. Remove"):
        load("tiny")
    assert sources.fetch("tiny") == folder
    assert load("tiny").ratings.height == 1


def test_the_folder_of_the_environment_comes_first(tiny, tmp_path, monkeypatch):
    (tmp_path / "mine" / "tiny").mkdir(parents=True)
    (tmp_path / "mine" / "tiny" / "ratings.csv").write_text(RATINGS, encoding="utf-8")
    sources.fetch("tiny")
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path / "mine"))
    assert sources.find("tiny") == tmp_path / "mine" / "tiny"
    (tmp_path / "mine" / "tiny" / "ratings.csv").unlink()
    with pytest.raises(DataError, match=r"ratings.csv is missing. Remove .* and run `metajax data fetch tiny`"):
        sources.find("tiny")


def test_another_file_than_the_known_one_is_refused_and_not_kept(tiny):
    pack(tiny, {"tiny/ratings.csv": RATINGS + "1,3,3\n"})
    with pytest.raises(DataError, match="is not the publisher's file"):
        sources.fetch("tiny")
    assert list(sources.cache_folder().iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "tiny/..", "/tiny/evil", "tiny/a/evil", "tiny/../../evil", "evil"])
def test_nothing_is_unpacked_outside(tiny, tmp_path, name):
    pack(tiny, {"tiny/ratings.csv": RATINGS, name: "evil"})
    before = set(tmp_path.rglob("*"))
    folder = sources.fetch("tiny")
    written = {path for path in set(tmp_path.rglob("*")) - before if folder not in path.parents}
    assert written == {folder, *folder.parents} - {tmp_path, *tmp_path.parents}
    assert {path.name for path in folder.iterdir()} <= {"ratings.csv", "evil"}


def test_what_is_no_zip_file_is_told(tiny):
    tiny.write_text("<html>not found</html>", encoding="utf-8")
    with pytest.raises(DataError, match="What was fetched is not a zip file"):
        sources.fetch("tiny")


def test_a_damaged_zip_file_is_told(tiny):
    pack(tiny, {"tiny/ratings.csv": RATINGS * 99})
    damaged = bytearray(tiny.read_bytes())
    damaged[50:60] = bytes(10)
    tiny.write_bytes(damaged)
    with pytest.raises(DataError, match=r"What was fetched is not a zip file, or a damaged one: .*Try again later"):
        sources.fetch("tiny")


@pytest.mark.parametrize(
    ("limit", "message"), [(20, "is larger than 20 bytes"), (90_000, "unpacks to 100,000 bytes; more than 90,000")]
)
def test_more_than_is_expected_is_not_read(tiny, monkeypatch, limit, message):
    """Neither a large archive, nor a small one of files that are large together."""
    pack(tiny, {"tiny/ratings.csv": "0" * 50_000, "tiny/more.csv": "0" * 50_000})
    assert 20 < tiny.stat().st_size < 1000
    monkeypatch.setattr(sources, "MOST_BYTES", limit)
    with pytest.raises(DataError, match=message):
        sources.fetch("tiny")
    assert list(sources.cache_folder().iterdir()) == []


def test_a_publisher_who_does_not_answer_is_told_with_the_way_around(tiny, monkeypatch):
    tiny.unlink()
    with pytest.raises(DataError, match=r"tiny.zip could not be fetched: .*name that folder in the variable METAJAX_D"):
        sources.fetch("tiny")

    def broken(address, timeout):
        raise IncompleteRead(b"")

    monkeypatch.setattr(sources.urllib.request, "urlopen", broken)
    with pytest.raises(DataError, match="could not be fetched"):
        sources.fetch("tiny")


def test_names_and_files_that_are_not_there_are_told(tmp_path):
    with pytest.raises(DataError, match=r"There is no data set 'ml-2m'. Known: ml-latest-small, ml-100k, ml-1m"):
        sources.find("ml-2m")
    with pytest.raises(DataError, match="There is no data set 'ml-2m'"):
        sources.fetch("ml-2m")
    with pytest.raises(
        DataError, match=r"no data set or file 'ml1m'. Did you mean 'ml-1m'\? Known data sets: ml-latest"
    ):
        load("ml1m")
    (tmp_path / "ratings.xlsx").touch()
    with pytest.raises(DataError, match=r"ratings.xlsx is a .xlsx file. Wanted .inter, .csv, .tsv, .parquet"):
        load(tmp_path / "ratings.xlsx")


def test_a_file_of_the_data_folder_is_named_wherever_that_lies(tmp_path, monkeypatch):
    (tmp_path / "mine.csv").write_text(RATINGS, encoding="utf-8")
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    assert load("$METAJAX_DATA/mine.csv").ratings.height == 1
    with pytest.raises(DataError, match=r"There is no data set or file '\$METAJAX_DATA/yours.csv'\. Known"):
        load("$METAJAX_DATA/yours.csv")
    monkeypatch.delenv("METAJAX_DATA")
    with pytest.raises(DataError, match=r"METAJAX_DATA is not set"):
        load("$METAJAX_DATA/mine.csv")


def test_a_file_that_is_not_there_is_told_before_its_columns():
    with pytest.raises(DataError, match=r"There is no data set or file 'nosuch\.csv'"):
        load("nosuch.csv", user="who", target="rating")


def test_columns_are_named_for_tables_only():
    with pytest.raises(DataError, match="ml-latest-small knows its own columns and scale; leave out scale, user"):
        load("ml-latest-small", user="userId", scale=(0, 5))


def test_what_ships_with_the_package_needs_no_fetching(monkeypatch, tmp_path):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    assert sources.fetch("ml-latest-small") == sources.find("ml-latest-small")
    assert (sources.find("ml-latest-small") / "README.txt").is_file()


@pytest.mark.data
@pytest.mark.parametrize("name", ["ml-100k", "ml-1m"])
def test_the_publishers_files_have_the_known_checksums(data_root, name):
    folder = data_root(name)
    assert sources.find(name) == folder
