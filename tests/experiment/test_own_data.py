"""What is trained where only data are named: by what the ratings tell, from a file of any columns to a list."""

import json

import numpy as np
import polars as pl
import pytest

from metajax import Recommender
from metajax.cli import main
from metajax.errors import ConfigError
from metajax.experiment import (
    DataConfig,
    EpisodeConfig,
    Experiment,
    MatrixFactorization,
    StudentT,
    TrainingConfig,
    Uptake,
    default_for,
)
from metajax.experiment.assembly import assemble
from metajax.experiment.running import train_experiment
from metajax.experiment.summary import summary


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


@pytest.mark.parametrize(
    ("rated", "read", "learner"),
    [(True, "480 ratings from 1 to 5 of 24 items", "StudentT"), (False, "480 takings of 24 items", "Uptake")],
)
def test_a_run_says_what_it_read_and_who_trains(rated, read, learner, tmp_path):
    write(tmp_path / "mine.csv", 60, rated=rated)
    with (tmp_path / "mine.csv").open("a", encoding="utf-8") as file:
        file.write(",odd 1,5\n" if rated else ",odd 1\n")
    said = summary(assemble(default_for(DataConfig(source=str(tmp_path / "mine.csv"))))).splitlines()
    assert said[0] == f"mine: {read} by 60 users; rejected rows: 1."
    assert said[1] == "The model sees item id."
    assert said[2].startswith(f"{learner} on MatrixFactorization is trained on 42 users and selected on ")


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


def test_the_unit_is_one_star_where_ratings_differ_as_stars_do():
    units = {deviation: DataConfig().resolved(deviation).unit for deviation in (0.0, 0.8, 1.1, 1.6, 2.2, 0.5, 22.9)}
    assert units == {0.0: 1.0, 0.8: 1.0, 1.1: 1.0, 1.6: 1.0, 2.2: 2.0, 0.5: 0.455, 22.9: 20.8}
    assert DataConfig(unit=3.0).resolved(22.9).unit == 3.0
    for unit in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"data\.unit must be a positive number"):
            DataConfig(unit=unit)


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_run")
def test_ratings_of_another_scale_are_learned_as_stars_are(tmp_path):
    """Of ratings from 20 to 100 a run finds its unit, predicts 20 times what that of 1 to 5 does, and resumes."""
    write(tmp_path / "stars.csv", 60, rated=True)
    points = pl.read_csv(tmp_path / "stars.csv").with_columns(rating=20 * pl.col("rating"))
    points.write_csv(tmp_path / "points.csv")

    def train(name, unit=None, *, resume=False):
        experiment = Experiment(
            data=DataConfig(source=str(tmp_path / f"{name}.csv"), unit=unit),
            model=MatrixFactorization(factors=2),
            episodes=EpisodeConfig(query_rows=2, max_support=6, buckets=()),
            training=TrainingConfig(outer_steps=30, validate_every=15, tasks_per_step=8, min_rows_per_step=100),
        )
        train_experiment(experiment, tmp_path / name, show_progress=False, resume=resume)
        return Recommender.load(tmp_path / name)

    of_points = train("points")
    unit = of_points.artifact.experiment.data.unit
    assert unit == pytest.approx(20 * 1.41 / 1.1, rel=0.1)
    of_stars = train("stars", unit / 20)
    one, other = of_stars.adapt({"odd 1": 5, "odd 2": 2}), of_points.adapt({"odd 1": 100, "odd 2": 40})
    for item in ("odd 1", "odd 3", "even 7"):
        assert other.predict(item) == pytest.approx(20 * one.predict(item), rel=1e-4)
    (tmp_path / "points" / "seed-0" / "artifact").rename(tmp_path / "gone")
    again = train("points", resume=True).artifact.experiment
    assert (again.data.unit, again.training.tasks_per_step) == (unit, 16)


def test_short_histories_are_drawn_in_larger_meta_batches_of_short_tasks(tmp_path):
    rows = [
        {"user_id": user, "item_id": (user + item) % 9, "rating": 1 + user % 5}
        for user in range(200)
        for item in (0, 3)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "short.csv")
    experiment = assemble(default_for(DataConfig(source=str(tmp_path / "short.csv")))).experiment
    assert experiment.episodes.widths[:2] == (8, 16)
    assert (experiment.training.tasks_per_step, experiment.training.outer_steps) == (512, 1500)
