"""The benchmark of generated files: what it generates, and that what it found is what the docs show."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import own_data

ROOT = Path(__file__).parents[1]


def test_ratings_are_half_stars_of_planted_tastes_one_a_pair():
    made = own_data.generated(10_000, 300, 500)
    assert made.height == 10_000
    assert not made.select("user_id", "item_id").is_duplicated().any()
    assert set(made["rating"].unique()) <= set(np.arange(0.5, 5.5, 0.5))
    deviation = made["rating"].std()
    assert own_data.NOISE < deviation < 1.5
    assert made.equals(own_data.generated(10_000, 300, 500))


def test_the_page_shows_what_was_kept(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import results_table

    table = results_table.own_data(own_data.RESULT)
    assert table in (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
    kept = json.loads(own_data.RESULT.read_text(encoding="utf-8"))["rows"]
    assert table.count(" s | ") >= len(kept) >= 4


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_run")
def test_the_smallest_file_is_trained_and_evaluated(tmp_path):
    (row,) = own_data.measure(tmp_path, [own_data.SIZES[0]])
    assert row["ratings"] == 500
    assert 0.5 < row["rmse"][0] < 2
    assert row["seconds"].keys() == {"train", "evaluate"}
