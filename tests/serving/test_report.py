"""What is kept of `make bench-serve`: of one commit, all rows or none, and the page has them."""

import pytest

from benchmarks import serving_report
from benchmarks.serving import main
from benchmarks.serving_report import BEGIN, END, ROWS, TOLD, keep, note, rows, table
from metajax.files import read_json, write_json

WANTED = {name: wanted for name, _, _, wanted in ROWS}
ALL = {name: [wanted] for name, wanted in WANTED.items()} | {name: [1.0, 2.0, 3.0] for name in TOLD}
FAST, SLOW = dict(list(ALL.items())[:4]), dict(list(ALL.items())[4:])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(serving_report, "commit", lambda: "c0ffee")
    (tmp_path / "page.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter")
    return tmp_path


def kept(folder):
    keep(notes=folder / "notes.json", result=folder / "result.json", page=folder / "page.md")
    return read_json(folder / "result.json"), (folder / "page.md").read_text()


def test_a_row_is_short_on_the_wrong_side_of_its_bound():
    assert [row["passed"] for row in rows(ALL)] == [True] * len(ROWS)
    worse = {name: [wanted + (0.1 if bound == "at most" else -0.1)] for name, _, bound, wanted in ROWS}
    assert [row["passed"] for row in rows(worse)] == [False] * len(ROWS)
    assert table({"a model": {"rows": rows(worse), "told": {}}}).count("**short**") == len(ROWS)


def test_parts_of_one_commit_are_kept_together(folder):
    notes = folder / "notes.json"
    note("one", FAST, load_before=0.5, notes=notes)
    with pytest.raises(SystemExit, match=r"Of one there is nothing yet about: .*kill -9"):
        kept(folder)
    note("one", SLOW, load_before=0.25, notes=notes)
    note("two", ALL, load_before=0.75, notes=notes)
    result, page = kept(folder)
    assert (result["commit"], list(result["models"])) == ("c0ffee", ["one", "two"])
    assert result["models"]["one"]["load_before"] == 0.5
    assert result["models"]["one"]["told"]["reload takes"] == {"median": 2.0, "low": 1.5, "high": 2.5}
    assert "at commit c0ffee" in page
    assert "| 16 clients | at least 1500 requests/s | 1500 pass | 1500 pass |" in page
    assert "| reload takes | | 2 [1.5, 2.5] | 2 [1.5, 2.5] |" in page
    assert "who slow all of this down | | 0.5 | 0.75 |" in page
    assert page.startswith("before")
    assert page.endswith("after")
    assert "old" not in page


def test_what_another_commit_did_is_forgotten(folder):
    notes = folder / "notes.json"
    write_json(notes, {"commit": "before", "models": {"one": {"values": FAST, "load_before": 0.0}}})
    note("one", SLOW, load_before=0.0, notes=notes)
    assert read_json(notes)["models"]["one"]["values"] == SLOW


def test_the_page_has_what_is_kept():
    if not serving_report.RESULT.is_file():
        pytest.skip("nothing is kept yet: make bench-serve OPTIONS=--keep")
    page = serving_report.PAGE.read_text(encoding="utf-8")
    assert serving_report.describe(read_json(serving_report.RESULT)) in page


def test_help_says_what_is_written(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "docs/serving.md" in capsys.readouterr().out
