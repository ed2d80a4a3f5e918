"""Tuning: a budget that is kept, a study that survives being killed, and a best.json that trains a run."""

import gc
import json
import math
import shlex
import sqlite3
import sys
import tempfile
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from experiment import tiny

from metajax import files
from metajax.cli import main
from metajax.errors import ConfigError, StorageError, TrainingError
from metajax.experiment import Maml, load_experiment, override, tuning
from metajax.experiment.assembly import assemble
from metajax.experiment.codec import decode
from metajax.experiment.running import delete_run
from metajax.experiment.search import Choice, LogUniform, leaves, replaced
from metajax.experiment.tuned import apply_tuned, read_tuned, tuning_metadata
from metajax.experiment.tuning import Budget, tune_experiment

pytest.importorskip("optuna", reason="needs the extra tune")
pytestmark = pytest.mark.usefixtures("as_users_run")

EXPERIMENT = """
from metajax.experiment import *
from metajax.experiment.search import *

def experiment():
    return Experiment(
        name="tiny",
        data=DataConfig(source={source!r}, user="person", item="thing", target="stars"),
        model=MatrixFactorization(factors=4),
        episodes=EpisodeConfig(buckets=(), max_support=12),
        training=TrainingConfig(outer_steps=12, tasks_per_step=4, validate_every=4),
        evaluation=EvaluationConfig(shots=(0,), baselines=False),
    )

def search_space():
    return {{"optimizer.learning_rate": LogUniform(1e-3, 1e-1), "learner.penalty": LogUniform(0.5, 20.0)}}
"""
SPACE = {"optimizer.learning_rate": LogUniform(1e-3, 1e-1), "learner.penalty": LogUniform(0.5, 20.0)}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Return the path of a tiny experiment file with a search space."""
    folder = tmp_path_factory.mktemp("tuning")
    tiny.write_ratings(folder / "ratings.csv")
    (folder / "tiny.py").write_text(EXPERIMENT.format(source=str(folder / "ratings.csv")), encoding="utf-8")
    return folder / "tiny.py"


@pytest.fixture
def experiment(file):
    return load_experiment(file)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep compiled programs and temporary folders of a test to itself."""
    import jax

    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def played(monkeypatch):
    """Play training, which is nearly all compilation: the value falls with every validation, to a known best choice."""

    def value_at(experiment, step):
        return abs(math.log(experiment.optimizer.learning_rate / 0.01)) + experiment.learner.penalty / 100 + 1 / step

    def train_seed(assembly, folder, seed, *, validate, show_progress):
        assert (folder.parent.name, seed, show_progress) == ("scratch", 0, False)
        (folder / "checkpoints").mkdir()
        experiment = assembly.experiment
        if experiment.optimizer.learning_rate > 1:
            raise TrainingError(
                "The loss or its gradient was not finite at step 1. The last good checkpoint, of step 0"
            )
        for step in range(4, experiment.training.outer_steps + 1, 4):
            validate({"value": value_at(experiment, step)})

    monkeypatch.setattr(tuning, "train_seed", train_seed)
    monkeypatch.setattr(tuning, "make_validate", lambda assembly: lambda meta_params: meta_params["value"])
    return value_at


def interrupt_at(words):
    """Return a listener that is interrupted, as by Ctrl-C or a kill, once it hears the words."""

    def listen(text):
        if text.startswith(words):
            raise KeyboardInterrupt

    return listen


def check_resumed_as_never_stopped(experiment, folder, trials):
    whole, parts = [], []
    tune = partial(tune_experiment, experiment, SPACE)
    tune(folder / "whole", budget=Budget(trials), finished=whole.append)
    tune(folder / "parts", budget=Budget(1), finished=parts.append)
    with pytest.raises(KeyboardInterrupt):
        tune(folder / "parts", budget=Budget(trials), resume=True, progress=interrupt_at("trial 1: step 8"))
    found = tune(folder / "parts", budget=Budget(trials), resume=True, finished=parts.append)
    assert [(one.overrides, one.state, one.value) for one in parts] == [
        (one.overrides, one.state, one.value) for one in whole
    ]
    assert len({one.overrides["learner.penalty"] for one in whole}) == trials
    assert [one.number for one in parts] == [0, *range(2, trials + 1)]  # the interrupted one does not count
    assert sum(found["trials"].values()) == trials
    assert found["value"] == min(one.value for one in whole if one.state == "done")
    assert found["seconds"] == pytest.approx(sum(one.seconds for one in parts), abs=1e-2)
    assert tune(folder / "parts", budget=Budget(1), resume=True) == found
    assert {path.name for path in (folder / "parts").iterdir()} == {"study.db", "best.json"}
    assert list((folder / "scratch").iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("played")
def test_a_resumed_study_is_the_study_that_was_never_stopped(experiment, tmp_path):
    check_resumed_as_never_stopped(experiment, tmp_path, trials=12)  # ten are drawn at random, the others proposed


@pytest.mark.slow
def test_a_resumed_study_of_real_trials_is_the_study_that_was_never_stopped(experiment, tmp_path):
    check_resumed_as_never_stopped(experiment, tmp_path, trials=3)


def test_the_first_trial_is_the_experiment_as_written_where_the_ranges_hold_it(experiment, tmp_path):
    written, trials = dict(leaves(experiment)), []
    space = SPACE | {"optimizer.learning_rate": LogUniform(0.2, 0.3)}
    tune_experiment(experiment, space, tmp_path, budget=Budget(1), finished=trials.append)
    [first] = trials
    assert first.overrides["learner.penalty"] == written["learner.penalty"]
    assert 0.2 <= first.overrides["optimizer.learning_rate"] <= 0.3


@pytest.mark.usefixtures("played")
def test_the_best_is_the_best_of_what_was_tried(experiment, tmp_path, played):
    trials = []
    found = tune_experiment(experiment, SPACE, tmp_path / "tune", budget=Budget(12), finished=trials.append)
    done = [one for one in trials if one.state == "done"]
    for one in done:
        assert one.value == played(replaced(experiment, one.overrides), 12)
    best = min(done, key=lambda one: one.value)
    assert (found["overrides"], found["value"]) == (best.overrides, best.value)
    assert found["best_trials"] == [one._asdict() for one in sorted(done, key=lambda one: one.value)[:5]]
    assert read_tuned(tmp_path / "tune" / "best.json") == found
    assert apply_tuned(experiment, found) == replaced(experiment, best.overrides)


def test_a_trial_trains_what_a_run_of_its_choices_trains(experiment, tmp_path, monkeypatch):
    """Steps that `min_epochs` raised for the meta-batches as written are not those of a trial with larger ones."""
    written, trained = replaced(experiment, {"training.outer_steps": 2, "training.min_epochs": 50.0}), []

    def train_seed(assembly, folder, seed, *, validate, show_progress):
        trained.append(assembly.experiment)
        validate({})

    monkeypatch.setattr(tuning, "train_seed", train_seed)
    monkeypatch.setattr(tuning, "make_validate", lambda assembly: lambda meta_params: 1.0)
    found = tune_experiment(written, {"training.tasks_per_step": Choice((32, 64))}, tmp_path, budget=Budget(1))
    assert trained == [assemble(apply_tuned(written, found)).experiment]
    assert trained[0].training.outer_steps < assemble(written).experiment.training.outer_steps


@pytest.mark.usefixtures("played")
def test_a_study_is_not_mixed_with_another(experiment, tmp_path):
    tune_experiment(experiment, SPACE, tmp_path, budget=Budget(1))
    with pytest.raises(StorageError, match=r"holds a study already\. Continue it with --resume"):
        tune_experiment(experiment, SPACE, tmp_path, budget=Budget(1))
    for name, changed in (
        ("seconds", {"budget": Budget(1, seconds=2.0)}),
        ("whole_trials", {"budget": Budget(1, whole_trials=2)}),
        ("space", {"space": {"learner.penalty": LogUniform(1.0, 2.0)}}),
        ("experiment", {"experiment": replaced(experiment, {"learner.bias_penalty": 9.0})}),
    ):
        arguments = {"experiment": experiment, "space": SPACE, "budget": Budget(1)} | changed
        with pytest.raises(StorageError, match=rf"was begun with {name} = .*, which is not"):
            tune_experiment(**arguments, folder=tmp_path, resume=True)
    tune_experiment(experiment, {"learner.penalty": LogUniform(1.0, 2.0)}, tmp_path, budget=Budget(1), overwrite=True)
    assert list(read_tuned(tmp_path / "best.json")["overrides"]) == ["learner.penalty"]


def test_a_damaged_study_is_told(experiment, tmp_path):
    (tmp_path / "study.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageError, match=r"study\.db is no study of optuna: file is not a database"):
        tune_experiment(experiment, SPACE, tmp_path, budget=Budget(1), resume=True)
    gc.collect()  # a connection that is left open warns here, from Python 3.13 on


@pytest.mark.usefixtures("played")
def test_a_trial_that_is_behind_is_pruned_and_a_whole_one_never(experiment, tmp_path):
    space, trials, told = {"optimizer.learning_rate": Choice((0.01, 1e-7))}, [], []
    arguments = {"space": space, "progress": told.append}
    found = tune_experiment(
        experiment, folder=tmp_path / "a", budget=Budget(8, whole_trials=1), finished=trials.append, **arguments
    )
    first_good = [one.overrides["optimizer.learning_rate"] for one in trials].index(0.01)
    late_bad = [one for one in trials[first_good:] if one.overrides["optimizer.learning_rate"] == 1e-7]
    assert late_bad
    assert all((one.state, one.value) == ("pruned", None) for one in late_bad if one.number > first_good)
    assert sum(text.startswith(f"trial {late_bad[-1].number}:") for text in told) == 1  # at its first validation
    assert found["trials"] == {"done": 8 - len(late_bad), "pruned": len(late_bad), "failed": 0}
    found = tune_experiment(experiment, folder=tmp_path / "b", budget=Budget(8, whole_trials=8), **arguments)
    assert found["trials"] == {"done": 8, "pruned": 0, "failed": 0}


@pytest.mark.usefixtures("played")
def test_a_trial_ends_when_its_seconds_are_over(experiment, tmp_path):
    told = []
    found = tune_experiment(experiment, SPACE, tmp_path, budget=Budget(1, seconds=1e-9), progress=told.append)
    assert [text.split(",")[0] for text in told] == ["trial 0: step 4 of 12"]
    assert found["trials"]["done"] == 1
    assert found["seconds_per_trial"] == 1e-9
    told.clear()
    tune_experiment(experiment, SPACE, tmp_path, budget=Budget(1, seconds=60), progress=told.append, overwrite=True)
    assert len(told) == 3


def test_seconds_are_of_processor_time(experiment, tmp_path, monkeypatch):
    """However long a busy machine makes it wait, a trial gets its seconds."""
    clock = SimpleNamespace(process_time=iter(range(0, 10_000, 10)).__next__)
    monkeypatch.setattr("metajax.experiment.tuning.time", clock)
    told = []
    found = tune_experiment(experiment, SPACE, tmp_path, budget=Budget(1, seconds=15), progress=told.append)
    assert len(told) == 2  # the clock ticks ten seconds at each look: at the start, and at both validations
    assert found["seconds"] == 30


def check_failures(experiment, folder):
    wild, trials = replaced(experiment, {"optimizer.clip": 0.0}), []
    space = {"optimizer.learning_rate": Choice((0.05, 1e30))}
    found = tune_experiment(wild, space, folder / "some", budget=Budget(4), finished=trials.append)
    failed = [one for one in trials if one.state == "failed"]
    assert 0 < len(failed) == found["trials"]["failed"] < 4
    assert {one.overrides["optimizer.learning_rate"] for one in failed} == {1e30}
    assert failed[0].reason.startswith("The loss or its gradient was not finite at step")
    assert "checkpoint" not in failed[0].reason
    space = {"optimizer.learning_rate": Choice((1e30, 1e31))}
    with pytest.raises(TrainingError, match="None of 1 trials was done; the last one: The loss or its gradient was"):
        tune_experiment(wild, space, folder / "none", budget=Budget(1))
    assert not (folder / "none" / "best.json").exists()
    assert list((folder / "scratch").iterdir()) == []


@pytest.mark.usefixtures("played")
def test_a_trial_that_is_not_finite_fails_and_the_study_goes_on(experiment, tmp_path):
    check_failures(experiment, tmp_path)


@pytest.mark.usefixtures("played")
def test_choices_that_a_learner_refuses_fail_their_trial_and_the_study_goes_on(experiment, tmp_path):
    space, trials = {"learner.penalty": Choice((-1.0, 4.0))}, []
    found = tune_experiment(experiment, space, tmp_path / "tune", budget=Budget(4), finished=trials.append)
    failed = [one for one in trials if one.state == "failed"]
    assert 0 < len(failed) == found["trials"]["failed"] < 4
    assert "positive" in failed[0].reason


@pytest.mark.slow
def test_a_real_trial_that_is_not_finite_fails_and_the_study_goes_on(experiment, tmp_path):
    check_failures(experiment, tmp_path)


@pytest.mark.usefixtures("played")
def test_a_validation_value_that_is_not_finite_fails_its_trial(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "make_validate", lambda assembly: lambda meta_params: float("nan"))
    with pytest.raises(TrainingError, match=r"None of 2 trials was done; the last one: The validation value was nan\."):
        tune_experiment(experiment, SPACE, tmp_path / "tune", budget=Budget(2))


@pytest.mark.usefixtures("played")
def test_a_trial_whose_validation_value_is_not_finite_fails_alone(experiment, tmp_path, monkeypatch):
    def make_validate(assembly):
        return lambda meta_params: math.nan if assembly.experiment.learner.penalty > 5 else 1.0

    monkeypatch.setattr(tuning, "make_validate", make_validate)
    space, trials = {"learner.penalty": Choice((4.0, 6.0))}, []
    found = tune_experiment(experiment, space, tmp_path / "tune", budget=Budget(4), finished=trials.append)
    failed = [one for one in trials if one.state == "failed"]
    assert 0 < len(failed) == found["trials"]["failed"] < 4
    assert {(one.overrides["learner.penalty"], one.reason) for one in failed} == {
        (6.0, "The validation value was nan.")
    }


@pytest.mark.parametrize("budget", [{"trials": 0}, {"whole_trials": 0}, {"seconds": 0.0}])
def test_a_budget_of_nothing_is_refused(budget):
    with pytest.raises(ConfigError, match="A budget wants 1 or more trials"):
        Budget(**budget)


@pytest.mark.slow
def test_tune_then_train_then_evaluate(file, tmp_path, capsys):
    """The tuned choices are in the resolved configuration, and what they cost is in the report."""
    runs = ["--runs", str(tmp_path / "runs")]
    assert main(["tune", str(file), *runs, "--trials", "2", "--learner.bias-penalty", "2"]) == 0
    with_file = shlex.split(capsys.readouterr().out.strip().splitlines()[-2])[2:]
    best = tmp_path / "runs" / "tiny" / "tune" / "best.json"
    document = read_tuned(best)
    assert main(["train", *with_file, *runs, "--quiet", "--overwrite"]) == 0
    assert best.is_file()  # the study is no part of the run that --overwrite deletes
    run = tmp_path / "runs" / "tiny"
    config = json.loads((run / "config.json").read_text())
    assert config["learner"]["penalty"] == document["overrides"]["learner.penalty"]
    assert config["learner"]["bias_penalty"] == 2.0
    assert main(["evaluate", str(run)]) == 0
    tuning = json.loads((run / "report.json").read_text())["metadata"]["tuning"]
    assert tuning["trials"] == 2
    assert tuning["seconds"] == document["seconds"]
    assert tuning["overrides"] == document["overrides"]


@pytest.mark.usefixtures("played")
def test_the_next_commands_make_the_tuned_experiment(file, tmp_path, capsys):
    runs = ["--runs", str(tmp_path / "runs")]
    assert main(["tune", str(file), *runs, "--trials", "3", "--seconds", "60", "--learner.bias-penalty", "2"]) == 0
    shown = capsys.readouterr().out
    assert (
        "Tuning tiny: 3 trials in all, each until its first validation after 60 seconds of processor time, seed 0."
        in shown
    )
    assert "trial 2 done" in shown
    assert "Best trials (3 done, 0 pruned, 0 failed" in shown
    best = tmp_path / "runs" / "tiny" / "tune" / "best.json"
    with_file, with_flags = [shlex.split(line)[2:] for line in shown.strip().splitlines()[-2:]]
    assert with_file == [str(file), "--learner.bias-penalty", "2.0", "--tuned", str(best)]
    document = read_tuned(best)
    tuned = apply_tuned(decode(document["config"]), document)
    assert tuned.learner.bias_penalty == 2.0
    assert override(load_experiment(file), with_flags[1:], options=Maml())[0] == tuned
    assert main(["show", *with_file]) == 0
    assert decode(json.loads(capsys.readouterr().out)) == tuned
    assert main(["tune", str(file), *runs]) == 5
    assert "holds a study already" in capsys.readouterr().err
    arguments = ["--seconds", "60", "--learner.bias-penalty", "2", "--trials", "4", "--resume", "--quiet"]
    assert main(["tune", str(file), *runs, *arguments]) == 0
    shown = capsys.readouterr().out
    assert "Best trials (4 done" in shown
    assert "trial 3" not in shown


@pytest.fixture
def best(tmp_path):
    """Write and return a best.json by hand."""
    document = {
        "schema": "metajax-tuning",
        "version": 1,
        "overrides": {"learner.freedom": 12.5},
        "trials": {"done": 3, "pruned": 1, "failed": 0},
        "seconds": 4.5,
        "config": {
            "model": {"kind": "MatrixFactorization"}, "loss": {"kind": "SquaredError"},
            "learner": {"kind": "StudentT"}, "optimizer": {"kind": "Adam"},
        },
    }  # fmt: skip
    files.write_json(tmp_path / "best.json", document)
    return tmp_path / "best.json"


def test_tuned_choices_come_before_flags_and_are_not_contradicted(best, capsys, tmp_path):
    assert main(["show", "--tuned", str(best), "--model.factors", "3"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["learner"]["freedom"], shown["model"]["factors"]) == (12.5, 3)
    assert main(["train", "--tuned", str(best), "--learner.freedom", "9", "--runs", str(tmp_path)]) == 2
    assert "A flag changes what --tuned sets (learner.freedom)" in capsys.readouterr().err


def test_choices_tuned_for_another_learner_are_refused(best, experiment):
    with pytest.raises(ConfigError, match="tuned choices are of the learner StudentT, but the experiment's is Maml"):
        apply_tuned(replace(experiment, learner=Maml()), read_tuned(best))


def test_what_is_no_best_json_is_refused(best, capsys):
    document = json.loads(best.read_text())
    for changed, told in (
        ({"schema": "other"}, "is no result of tuning that this metajax reads"),
        ({"version": 2}, "is no result of tuning that this metajax reads"),
        ({"overrides": [1]}, r"'overrides' must be a dict, got \[1\]"),
        ({"seconds": "long"}, "'seconds' must be a float, got 'long'"),
    ):
        files.write_json(best, document | changed)
        with pytest.raises(StorageError, match=told):
            read_tuned(best)
    assert main(["train", "--tuned", "nowhere.json"]) == 5
    assert "nowhere.json does not exist" in capsys.readouterr().err


def test_a_run_that_was_not_tuned_has_no_tuning_in_its_report(tmp_path):
    assert tuning_metadata(tmp_path) == {}


def test_overwriting_a_run_spares_its_study(tmp_path):
    (tmp_path / "tune").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "seed-0").mkdir()
    delete_run(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {"scratch", "cache"} == {"tune"}


@pytest.mark.usefixtures("played")
def test_the_study_is_an_ordinary_sqlite_file(experiment, tmp_path):
    tune_experiment(experiment, SPACE, tmp_path, budget=Budget(1))
    connection = sqlite3.connect(tmp_path / "study.db")
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    assert connection.execute("select count(*) from trials").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Name the experiment file to tune: metajax tune EXPERIMENT.py"),
        (["ratings.csv"], "ratings.csv is no experiment file, and only such a file has a search_space()"),
        (["none.py"], "There is no experiment file none.py"),
    ],
)
def test_what_cannot_be_tuned_is_told(arguments, told, capsys):
    assert main(["tune", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_file_without_a_search_space_is_shown_one(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("from metajax.experiment import Experiment as experiment")
    assert main(["tune", str(tmp_path / "mine.py")]) == 2
    assert '"model.factors": Choice((8, 16, 32)),' in capsys.readouterr().err


def test_without_optuna_the_extra_is_named(file, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", str(file)]) == 2
    assert "pip install 'metajax[tune]'" in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["tune", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("search_space()", "--trials", "--seconds", "--resume", "test users are never looked at", "--tuned"):
        assert words in shown
