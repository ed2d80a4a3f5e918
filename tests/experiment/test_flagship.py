"""The flagship from a csv file to recommendations, and its four experiments, which differ in their data alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from experiment import tiny

from metajax import Recommender
from metajax.cli import main
from metajax.evaluation.report import read_report
from metajax.experiment import load_experiment
from metajax.experiment.artifact import read_artifact
from metajax.experiment.tuned import as_best, check_tuned

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FILE = """
from metajax.experiment import Adam, DataConfig, EpisodeConfig, EvaluationConfig, Experiment, MatrixFactorization
from metajax.experiment import StudentT, TrainingConfig

def experiment():
    return Experiment(
        name="mine",
        data=DataConfig(
            source="{folder}/ratings.csv", user="person", item="thing", target="stars", items="{folder}/things.csv",
            estimate_content=True,
        ),
        model=MatrixFactorization(factors=2),
        learner=StudentT(members=2),
        optimizer=Adam(learning_rate=0.03),
        episodes=EpisodeConfig(min_support=12, max_support=12, buckets=()),
        training=TrainingConfig(outer_steps=200, tasks_per_step=8, validate_every=100, patience=0),
        evaluation=EvaluationConfig(shots=(0, 5)),
    )
"""


@pytest.mark.slow
def test_from_a_file_of_ratings_and_one_of_items(tmp_path, as_users_run, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny.write_ratings(tmp_path / "ratings.csv")
    things = [(str(thing), f"{'Night' if thing < 15 else 'Day'} of thing {thing}", thing < 15) for thing in range(31)]
    table = pl.DataFrame(things, schema=["thing", "title", "dark"], orient="row")
    table.write_csv(tmp_path / "things.csv")
    (tmp_path / "mine.py").write_text(FILE.format(folder=tmp_path))
    runs = ["--runs", str(tmp_path / "runs"), "--quiet"]
    assert main(["train", str(tmp_path / "mine.py"), *runs]) == 0
    assert main(["evaluate", str(tmp_path / "runs" / "mine")]) == 0
    kept = read_artifact(tmp_path / "runs" / "mine" / "seed-0" / "artifact")
    assert "content_estimate" in kept.items
    assert kept.encoding.content is not None
    estimates = read_report(tmp_path / "runs" / "mine" / "report.json").summary.estimates
    ours = {(one.metric, one.k): one.value for one in estimates if one.kind == "learner"}
    assert ours["mae", None] < ours["mae", 0]
    recommender = Recommender.load(tmp_path / "runs" / "mine")
    person = recommender.adapt({"Night of thing 0": 5, "Night of thing 1": 5, "Day of thing 20": 1})
    assert sum(one.item < 15 for one in person.recommend(8)) >= 7


@pytest.mark.parametrize("name", ["tanp", "movielens_100k", "latest_small"])
def test_what_was_chosen_on_movielens_1m_is_the_same_elsewhere(name):
    first, other = (load_experiment(EXPERIMENTS / folder / "flagship.py") for folder in ("movielens_1m", name))
    for part in ("model", "learner", "optimizer", "training", "seeds"):
        assert getattr(first, part) == getattr(other, part)
    assert other.data.estimate_content


@pytest.mark.parametrize("name", ["movielens_1m", "movielens_100k", "latest_small"])
def test_with_an_encoder_of_titles_nothing_else_differs(name):
    without, told = (load_experiment(EXPERIMENTS / folder / "flagship.py") for folder in (name, f"{name}_titles"))
    data = replace(without.data, text_encoder=told.data.text_encoder)
    assert told == replace(without, name=f"{name}_titles/flagship", data=data)
    assert told.data.text_encoder


def test_the_page_shows_the_kept_ablation(monkeypatch):
    import json

    docs = EXPERIMENTS.parent / "docs"
    monkeypatch.syspath_prepend(str(docs))
    import flagship_ablation

    kept = json.loads((docs / "flagship_ablation.json").read_text(encoding="utf-8"))
    assert flagship_ablation.table(kept) in (docs / "flagship.md").read_text(encoding="utf-8")
    assert list(kept["parts"]) == list(flagship_ablation.PARTS)
    assert np.isfinite([number for part in kept["parts"].values() for cell in part.values() for number in cell]).all()


def test_every_kept_report_can_be_run_again(monkeypatch):
    """`make results` reads the choices, and what tuned them, from the reports alone."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS.parent / "docs"))
    import run_board

    names = run_board.kept_names()
    assert {"demo", "movielens_1m/flagship", "tanp/tanp"} <= set(names)
    for name in names:
        experiment, metadata = run_board.kept(name)
        assert experiment.name == name
        if "tuning" in metadata:
            check_tuned(experiment, as_best(metadata["tuning"], metadata["config"]))
