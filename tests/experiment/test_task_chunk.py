"""The run's configuration holds how many tasks are mapped at once, and a resumed run keeps it."""

from dataclasses import replace

import pytest
from experiment import tiny

from metajax.errors import StorageError
from metajax.experiment import DataConfig, Experiment, TrainingConfig, running
from metajax.files import read_json
from metajax.training.autotune import Choice

pytestmark = pytest.mark.usefixtures("as_users_run")


class Stop(Exception):  # noqa: N818 (stands for training)
    pass


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise Stop

    monkeypatch.setattr(running, "train_seed", stop)
    tiny.write_ratings(tmp_path / "ratings.csv")
    data = DataConfig(source=str(tmp_path / "ratings.csv"), user="person", item="thing", target="stars")
    return Experiment(name="tiny", data=data, training=TrainingConfig(outer_steps=1000, task_chunk="auto"))


def begin(experiment, folder, **options):
    with pytest.raises(Stop):
        running.train_experiment(experiment, folder, **options)
    return read_json(folder / "config.json")["training"]["task_chunk"]


def test_the_choice_is_written_and_a_resumed_run_keeps_it(experiment, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setattr(running, "choose_task_chunk", lambda learner, **_: Choice(4, {"all": 2.0, "4": 1.0}))
    assert begin(experiment, folder) == 4
    assert read_json(folder / "task_chunk.json") == {"task_chunk": 4, "milliseconds": {"all": 2.0, "4": 1.0}}
    monkeypatch.setattr(running, "choose_task_chunk", lambda learner, **_: Choice(16, {}))
    assert begin(experiment, folder, resume=True) == 4
    other = replace(experiment, training=replace(experiment.training, task_chunk=2))
    with pytest.raises(StorageError, match="was begun with training = "):
        running.train_experiment(other, folder, resume=True)
    assert begin(other, tmp_path / "other") == 2


def test_short_runs_do_not_try(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "choose_task_chunk", None)
    short = replace(experiment, training=replace(experiment.training, outer_steps=999))
    assert begin(short, tmp_path / "run") is None
    assert not (tmp_path / "run" / "task_chunk.json").exists()
