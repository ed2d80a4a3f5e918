"""What an artifact refuses, each with the reason, and parts of one's own."""

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from experiment import tiny
from safetensors.numpy import load_file, save_file

from metajax import Recommender
from metajax.cli import main
from metajax.errors import ConfigError, DataError, StorageError
from metajax.experiment import Anil, DataConfig, Experiment, MatrixFactorization
from metajax.experiment.artifact import read_artifact, write_artifact
from metajax.experiment.evaluating import evaluate_run
from metajax.experiment.running import delete_run, train_experiment
from metajax.files import read_json, write_json, write_manifest

pytestmark = pytest.mark.usefixtures("as_users_run")


@dataclass(frozen=True)
class Mine:
    factors: int = 4

    def build(self, columns, *, outputs, offset):
        return MatrixFactorization(factors=self.factors).build(columns, outputs=outputs, offset=offset)


def rewrite(folder, name, edit):
    """Alter a JSON file and its entry in the manifest: every hash is right, what is held is not."""
    document = read_json(folder / name)
    write_json(folder / name, edit(document))
    if name != "manifest.json":
        write_manifest(folder)


@pytest.mark.parametrize(
    ("name", "edit", "told"),
    [
        ("artifact.json", lambda document: document | {"schema": 99}, "has schema 99, this version reads 1"),
        ("artifact.json", lambda document: [document], "has schema None, this version reads 1"),
        ("artifact.json", lambda document: {"schema": 1}, "lacks 'experiment'"),
        ("items.json", lambda document: {"ids": document["ids"]}, "lacks 'titles'"),
        ("manifest.json", lambda document: {"files": {}}, "does not list artifact.json"),
        (
            "manifest.json",
            lambda document: {"files": {name: one for name, one in document["files"].items() if "arrays" not in name}},
            r"does not list arrays\.safetensors",
        ),
        ("manifest.json", lambda document: {"files": {"../../secret": {}}}, "names '../../secret', which lies outside"),
    ],
)
def test_what_is_no_artifact_is_refused_though_its_hashes_are_right(artifact, name, edit, told):
    rewrite(artifact, name, edit)
    with pytest.raises(StorageError, match=told):
        read_artifact(artifact)


def test_features_of_items_that_the_encoding_does_not_make_are_refused(artifact):
    arrays = load_file(artifact / "arrays.safetensors")
    name = next(one for one in sorted(arrays) if one.startswith("items/"))
    altered = (
        ({one: array for one, array in arrays.items() if one != name}, "has no feature"),
        (arrays | {name: arrays[name][:-1]}, "in the artifact, but its encoding makes"),
        (arrays | {name: np.stack([arrays[name]] * 2, axis=1)}, "in the artifact, but its encoding makes"),
    )
    for changed, told in altered:
        save_file(changed, artifact / "arrays.safetensors")
        write_manifest(artifact)
        with pytest.raises(StorageError, match=told):
            read_artifact(artifact)


def test_parameters_that_do_not_fit_are_refused(artifact):
    arrays = load_file(artifact / "arrays.safetensors")
    name = next(one for one in sorted(arrays) if one.startswith("params/"))

    def write(changed):
        save_file(changed, artifact / "arrays.safetensors")
        write_manifest(artifact)

    write({one: array for one, array in arrays.items() if one != name})
    with pytest.raises(StorageError, match=f"has no parameter {name}"):
        read_artifact(artifact)
    write(arrays | {name: np.zeros((2, 99), np.float32)})
    with pytest.raises(
        StorageError, match=rf"The parameter {name} is float32\[2, 99\] in the artifact, but the learner"
    ):
        read_artifact(artifact)
    write(arrays | {name: arrays[name].astype(np.float16)})
    with pytest.raises(StorageError, match="is float16"):
        read_artifact(artifact)
    write(arrays | {"params/of/another": np.zeros(2, np.float32)})
    told = "has the parameter params/of/another, which the learner does not have: it is of another"
    with pytest.raises(StorageError, match=told):
        read_artifact(artifact)
    (artifact / "arrays.safetensors").write_bytes(b"not tensors")
    write_manifest(artifact)
    with pytest.raises(StorageError, match=r"arrays\.safetensors cannot be read"):
        read_artifact(artifact)


def test_an_artifact_comes_back_as_it_was_written(artifact, tmp_path):
    one = read_artifact(artifact)
    write_artifact(one, tmp_path / "again")
    for name in ("artifact.json", "encoding.json", "items.json", "metrics.json", "model_card.md"):
        assert (artifact / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    before, after = (load_file(folder / "arrays.safetensors") for folder in (artifact, tmp_path / "again"))
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])


def test_where_no_artifact_is_nothing_is_written(artifact, tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(StorageError, match="exists and is no artifact"):
        write_artifact(read_artifact(artifact), tmp_path / "notes")
    assert [one.name for one in tmp_path.iterdir() if "notes" in one.name] == ["notes"]


def test_an_artifact_that_cannot_be_signed_leaves_nothing_behind_and_the_older_as_it_was(artifact, tmp_path):
    one, folder = read_artifact(artifact), tmp_path / "made"
    write_artifact(one, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(ConfigError, match="holds no private key"):
        write_artifact(replace(one, offset=one.offset + 1), folder, key=tmp_path / "key.pem")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if "made" in path.name] == ["made"]


def test_what_an_artifact_was_trained_by_holds_whatever_experiment_is_given(artifact, tmp_path):
    """A file brings classes: the unit that training found, and choices by flags or tuning, are the artifact's."""
    known = read_artifact(artifact)
    data = replace(known.experiment.data, unit=20.0)
    found = replace(known.experiment, data=data, model=Mine(factors=known.experiment.model.factors))
    write_artifact(replace(known, experiment=found), tmp_path / "made")
    file = replace(known.experiment, learner=Anil(), model=Mine(factors=99))
    assert read_artifact(tmp_path / "made", experiment=file).experiment == found


def test_a_part_of_ones_own_is_loaded_by_giving_its_experiment(artifact, tmp_path):
    known = read_artifact(artifact)
    experiment = replace(known.experiment, model=Mine())
    write_artifact(replace(known, experiment=experiment), tmp_path / "mine")
    with pytest.raises(StorageError, match=r"names a part 'Mine'.*Recommender\.load\(folder, experiment=\.\.\.\)"):
        Recommender.load(tmp_path / "mine")
    own, plain = Recommender.load(tmp_path / "mine", experiment=experiment), Recommender.load(artifact)
    assert own.adapt({0: 5.0}).recommend(5) == plain.adapt({0: 5.0}).recommend(5)


@pytest.mark.parametrize("again", [["train", "--resume"], ["evaluate"]], ids=lambda one: one[0])
def test_ratings_that_were_changed_since_are_noticed(trained, run, capsys, again):
    """The same users, items and features: what is encoded stays the same."""
    csv = trained / "ratings.csv"
    before = csv.read_text()
    csv.write_text(re.sub(r",5$", ",4", before, flags=re.MULTILINE))
    try:
        code = tiny.train(trained, *again[1:]) if again[0] == "train" else main(["evaluate", str(run)])
    finally:
        csv.write_text(before)
    assert code == 5
    assert "have changed since" in capsys.readouterr().err


def test_recommending_needs_no_training_data_and_evaluating_does(trained, run, capsys):
    csv, away = trained / "ratings.csv", trained / "away"
    csv.rename(away)
    try:
        assert main(["recommend", str(run), "--rate", "0=5", "--rate", "20=1", "--explain"]) == 0
        assert "why" in capsys.readouterr().out
        with pytest.raises(DataError, match=r"ratings\.csv"):
            evaluate_run(run)
    finally:
        away.rename(csv)


def test_evaluating_over_changed_data_is_refused(trained, run, tmp_path):
    lines = (trained / "ratings.csv").read_text().splitlines()
    (tmp_path / "changed.csv").write_text("\n".join([*lines, "u0,9999,3"]))
    before = read_artifact(run / "seed-0" / "artifact")
    data = replace(before.experiment.data, source=str(tmp_path / "changed.csv"))
    write_artifact(before, tmp_path / "run" / "seed-0" / "artifact")
    with pytest.raises(StorageError, match=r"data or split have changed since .* was trained"):
        evaluate_run(tmp_path / "run", experiment=replace(before.experiment, data=data))


def test_a_run_without_a_finished_seed_is_not_evaluated(tmp_path):
    with pytest.raises(StorageError, match="has no finished seed"):
        evaluate_run(tmp_path, experiment=Experiment())


def test_overwriting_deletes_what_a_run_wrote_and_only_for_another_that_can_begin(tmp_path):
    missing = Experiment(data=DataConfig(source=str(tmp_path / "none.csv")))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(StorageError, match=r"thesis holds files but no run .*is not deleted"):
        train_experiment(missing, tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    run = tmp_path / "run"
    (run / "seed-0" / "artifact").mkdir(parents=True)
    (run / "below" / "seed-0").mkdir(parents=True)
    for path in (run / "config.json", run / "report.json", run / "notes.txt", run / "below" / "config.json"):
        path.write_text(json.dumps({"kind": "Experiment"}))
    with pytest.raises(DataError, match=r"none\.csv"):
        train_experiment(missing, run, overwrite=True)
    assert (run / "seed-0" / "artifact").is_dir()
    delete_run(run)
    left = sorted(str(path.relative_to(run)) for path in run.rglob("*"))
    assert left == ["below", "below/config.json", "below/seed-0", "notes.txt"]
