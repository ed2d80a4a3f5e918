import subprocess
import sys

import pytest

from metajax.cli import data
from metajax.data import load
from metajax.errors import DataError

RATINGS = "uid,iid,stars\n1,2,3\n1,2,4\n1,3,x\n,3,4\n7,3,5\n"
COLUMNS = {"user": "uid", "item": "iid", "target": "stars"}


@pytest.fixture
def ratings(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(RATINGS, encoding="utf-8")
    return str(path)


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


def test_list_names_each_data_set_with_its_terms(capsys, monkeypatch, tmp_path):
    (tmp_path / "ml-1m").mkdir()
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data.list_sources()
    lines = {line.split("│")[1].strip(): line for line in capsys.readouterr().out.splitlines() if line.startswith("│")}
    assert "inside metajax" in lines["ml-latest-small"]
    assert "metajax data fetch ml-100k" in lines["ml-100k"]
    assert str(tmp_path / "ml-1m") in lines["ml-1m"]
    assert "no redistribution" in lines["ml-1m"]


def test_describe_shows_what_was_rejected(capsys, ratings):
    data.describe(ratings, **COLUMNS, scale=(1, 4))
    shown = capsys.readouterr().out
    for words in ("mine", "target outside 1 to 4", "duplicate pair", "no user id", "target is not a number"):
        assert words in shown
    with pytest.raises(DataError, match="3 rows were rejected"):
        data.describe(ratings, **COLUMNS, strict=True)


@pytest.mark.parametrize("name", ["out", "out.csv", "out.tsv", "out.parquet"])
def test_convert_writes_what_load_reads_and_tells_where_the_rejected_rows_are(capsys, ratings, tmp_path, name):
    data.convert(ratings, tmp_path / name, **COLUMNS)
    shown = capsys.readouterr().out
    assert f"2 ratings are in {tmp_path / name}" in shown
    assert "3 rows were rejected (1 duplicate pair, 1 no user id, 1 target is not a number)" in shown
    assert f"{name}.quarantine.csv" in shown
    assert load(tmp_path / name, strict=True).ratings.rows() == [(1, 2, 4.0), (7, 3, 5.0)]
    rejected = (tmp_path / f"{name}.quarantine.csv").read_text(encoding="utf-8").splitlines()
    assert rejected[0] == "uid,iid,stars,reason"
    assert rejected[1:] == ["1,2,3,duplicate pair", "1,3,x,target is not a number", ",3,4,no user id"]


def test_convert_of_sound_rows_leaves_no_quarantine(capsys, tmp_path):
    data.convert("ml-latest-small", tmp_path / "out", strict=True)
    assert "rejected" not in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert load(tmp_path / "out").items.equals(load("ml-latest-small").items)


def test_strict_convert_writes_nothing(ratings, tmp_path):
    with pytest.raises(DataError, match="3 rows were rejected"):
        data.convert(ratings, tmp_path / "out", **COLUMNS, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_convert_overwrites_nothing(ratings, tmp_path):
    with pytest.raises(DataError, match=r"mine.csv is there already. Name another, or remove it first"):
        data.convert(ratings, tmp_path / "mine.csv", **COLUMNS)


def test_fetch_tells_where_a_data_set_is(capsys):
    data.fetch("ml-latest-small")
    assert "ml-latest-small is in " in capsys.readouterr().out


def test_importing_the_verbs_imports_neither_jax_nor_polars():
    program = "import metajax.cli.data, sys; sys.exit(bool({'jax', 'polars'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_tyro_reads_the_verbs(ratings, tmp_path, capsys):
    import tyro

    arguments = ["convert", ratings, str(tmp_path / "out"), "--user", "uid", "--item", "iid", "--target", "stars"]
    tyro.extras.subcommand_cli_from_dict(data.VERBS, args=[*arguments, "--scale", "1", "5"])
    assert load(tmp_path / "out").scale == (1, 5)
    with pytest.raises(SystemExit, match="0"):
        tyro.extras.subcommand_cli_from_dict(data.VERBS, args=["describe", "--help"])
    assert "The column of user ids" in capsys.readouterr().out
