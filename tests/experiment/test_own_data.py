"""What is trained where only data are named: by what the ratings tell, from a file of any columns to a list."""

import json

import numpy as np
import polars as pl
import pytest

from metajax import Recommender
from metajax.cli import main
from metajax.experiment import DataConfig, StudentT, Uptake, default_for


def write(path, num_users, *, rated):
    """Users of two tastes take up items of their half; ids are texts."""
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": f"u-{user}", "item_id": f"{'even' if user % 2 else 'odd'} {item}"}
        | ({"rating": int(rng.integers(1, 6))} if rated else {})
        for user in range(num_users)
        for item in rng.permutation(12)[:8]
    ]
    pl.DataFrame(rows).write_csv(path)


def test_the_flagship_learns_ratings_and_a_regression_what_is_taken_up(tmp_path):
    write(tmp_path / "rated.csv", 4, rated=True)
    write(tmp_path / "taken.csv", 4, rated=False)
    rated, taken = (default_for(DataConfig(source=str(tmp_path / f"{name}.csv"))) for name in ("rated", "taken"))
    assert isinstance(rated.learner, StudentT)
    assert isinstance(taken.learner, Uptake)
    assert taken.data.features == ()
    assert not taken.data.estimate_content
    assert isinstance(default_for(DataConfig()).learner, StudentT)


def test_flags_name_the_columns_before_the_learner_is_chosen(tmp_path, capsys):
    path = tmp_path / "taken.csv"
    path.write_text("who;what".replace(";", ",") + ",vote\na,x,1\na,y,1\n", encoding="utf-8")
    flags = ["--data.user", "who", "--data.item", "what", "--data.target", "vote", "--learner.deviation", "0.25"]
    assert main(["show", str(path), *flags]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["learner"]["kind"], shown["learner"]["deviation"], shown["data"]["user"]) == (
        "Uptake",
        0.25,
        "who",
    )
    assert shown["name"] == "taken"


@pytest.mark.usefixtures("as_users_run")
def test_what_was_taken_up_is_trained_evaluated_and_recommended_without_flags(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path / "taken.csv", 60, rated=False)
    small = [
        "--training.outer-steps",
        "150",
        "--training.tasks-per-step",
        "8",
        "--model.factors",
        "4",
        "--optimizer.learning-rate",
        "0.03",
    ]
    small += ["--episodes.buckets", "--episodes.max-support", "6", "--episodes.query-rows", "2"]
    runs = ["--runs", str(tmp_path / "runs"), "--quiet", "--evaluation.shots", "3", "--evaluation.no-tuned"]
    assert main(["train", str(tmp_path / "taken.csv"), *runs, *small]) == 0
    assert main(["evaluate", str(tmp_path / "runs" / "taken")]) == 0
    report = json.loads((tmp_path / "runs" / "taken" / "report.json").read_text())
    assert report["protocol"]["relevance_threshold"] == 1.0
    assert not any(one["metric"] == "mae" for one in report["results"])
    assert report["reference_baseline"] == report["rank_reference"]
    person = Recommender.load(tmp_path / "runs" / "taken").adapt({"odd 1": 1, "odd 2": 1})
    listed = person.recommend(6)
    assert sum(one.item.startswith("odd") for one in listed) >= 5
    assert len({one.score for one in listed}) == 6  # such scores are on no scale, and are not cut off at one
