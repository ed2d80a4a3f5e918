"""After selection a learner is trained again on every training row, for as many steps."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from experiment import tiny

from metajax.experiment import (
    Adam,
    DataConfig,
    EpisodeConfig,
    Experiment,
    ItemCold,
    MatrixFactorization,
    StudentT,
    TrainingConfig,
)
from metajax.experiment.artifact import read_artifact
from metajax.experiment.assembly import assemble
from metajax.experiment.running import train_experiment
from metajax.training.run_log import read_log

pytestmark = pytest.mark.usefixtures("as_users_run")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    ratings = tmp_path_factory.mktemp("refit") / "ratings.csv"
    tiny.write_ratings(ratings)
    return Experiment(
        data=DataConfig(source=str(ratings), user="person", item="thing", target="stars"),
        split=ItemCold(),
        model=MatrixFactorization(factors=4),
        episodes=EpisodeConfig(max_support=12, buckets=()),
        optimizer=Adam(learning_rate=0.03),
        training=TrainingConfig(outer_steps=60, validate_every=20, tasks_per_step=8),
    )


def test_the_artifact_is_of_all_training_rows_and_resumes_to_the_same(experiment, tmp_path):
    (folder,) = train_experiment(experiment, tmp_path / "run", show_progress=False)
    artifact = read_artifact(folder / "artifact")
    selection = assemble(experiment)
    assert artifact.num_ratings.sum() == selection.split.train.height > selection.rows.height
    assert artifact.training["refit"]
    assert set(artifact.training["validation_variance"]) == {"item_cold"}
    assert read_log(folder / "refit")[-1]["step"] == artifact.training["step"]
    assert "validation" not in read_log(folder / "refit")[-1]
    shutil.rmtree(folder / "artifact")
    train_experiment(experiment, tmp_path / "run", resume=True, show_progress=False)
    again = read_artifact(folder / "artifact")
    np.testing.assert_array_equal(again.meta_params["log_penalty"], artifact.meta_params["log_penalty"])


@pytest.mark.slow
def test_the_artifact_is_as_wide_as_validation_tasks_want_it(experiment, tmp_path):
    chosen = replace(
        experiment,
        learner=StudentT(beliefs=False, max_support=12),
        training=replace(experiment.training, outer_steps=20, validate_every=20),
    )
    (folder,) = train_experiment(chosen, tmp_path / "run", show_progress=False)
    artifact = read_artifact(folder / "artifact")
    assert artifact.training["spread"] != 1.0
    np.testing.assert_allclose(
        artifact.meta_params["log_spread"], np.log(artifact.training["spread"]), rtol=1e-5, atol=1e-6
    )


def test_without_refit_the_artifact_is_of_what_selection_saw(experiment, tmp_path):
    alone = replace(experiment, training=replace(experiment.training, refit=False))
    (folder,) = train_experiment(alone, tmp_path / "run", show_progress=False)
    assert read_artifact(folder / "artifact").num_ratings.sum() == assemble(experiment).rows.height
    assert not (folder / "refit").exists()
