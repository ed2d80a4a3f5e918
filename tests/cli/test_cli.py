"""The command line: instant help, verbs that teach, and exit codes as documented."""

import json
import os
import subprocess
import sys

import pytest
from serving import worlds

from metajax.cli import VERBS, main
from metajax.cli.compilation import leave_a_core
from metajax.experiment import CatalogueSoftmax, Ridge, SquaredError, Uptake
from metajax.experiment.artifact import write_artifact


def test_help_imports_neither_jax_nor_polars():
    script = "import sys; from metajax.cli import main; main(['--help']); print({'jax', 'polars'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert not stopped.value.code
    assert f"usage: metajax {verb}" in capsys.readouterr().out


def test_an_unknown_verb_says_which_was_meant(capsys):
    assert main(["trian"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["train", "none.py"], 2, "There is no experiment file none.py"),
        (["train", "none.csv"], 3, "none.csv"),
        (["evaluate", "nowhere"], 5, "is no run of metajax"),
        (["recommend", "nowhere"], 5, "holds no artifact"),
        (["compare", "nowhere", "elsewhere"], 5, "does not exist"),
        (["show", "--seeds", "0", "0"], 2, "in which one comes twice"),
    ],
)
def test_exit_codes(arguments, code, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    assert told in capsys.readouterr().err


@pytest.mark.usefixtures("as_users_run")
def test_a_path_that_cannot_be_written_is_named(tmp_path, capsys):
    write_artifact(worlds.make_artifact(Ridge()), tmp_path / "artifact")
    (tmp_path / "file").write_text("")
    assert main(["export", str(tmp_path / "artifact"), str(tmp_path / "file" / "out")]) == 5
    assert f"{tmp_path / 'file'}" in capsys.readouterr().err


def test_show_prints_the_resolved_choices(capsys):
    assert main(["show", "--learner.freedom", "12", "--name", "mine"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["name"] == "mine"
    assert (shown["learner"]["kind"], shown["learner"]["freedom"]) == ("StudentT", 12.0)
    assert shown["data"]["estimate_content"]


def test_show_reads_an_experiment_file_and_says_what_is_wrong_with_one(capsys, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from metajax.experiment import Experiment, Maml\ndef experiment():\n    return Experiment(learner=Maml())"
    )
    assert main(["show", str(path), "--learner.inner-steps", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["learner"]["inner_steps"] == 3
    path.write_text("def experiment():\n    return None")
    assert main(["show", str(path)]) == 2
    assert "returned a NoneType, wanted an Experiment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("learner", "loss", "meaning"), [(Ridge(), SquaredError(), "predicted"), (Uptake(), CatalogueSoftmax(), "score")]
)
@pytest.mark.usefixtures("as_users_run")
def test_a_list_is_headed_by_what_its_numbers_mean(learner, loss, meaning, capsys, tmp_path):
    write_artifact(worlds.make_artifact(learner, loss=loss), tmp_path / "artifact")
    assert main(["recommend", str(tmp_path / "artifact"), "--rate", "i3=5", "--rate", "i3=1"]) == 2
    assert "'i3' is rated twice" in capsys.readouterr().err
    assert main(["recommend", str(tmp_path / "artifact"), "--rate", "i3=5", "--top", "2"]) == 0
    shown = capsys.readouterr().out
    assert main(["recommend", str(tmp_path / "artifact"), "--min-ratings", "999"]) == 0
    assert "Ask for less: --min-ratings 1" in capsys.readouterr().out
    assert [one for one in ("predicted", "score") if one in shown] == [meaning]


def test_a_file_whose_ratings_are_not_found_says_what_is_learned(tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("user,item,grade\n1,2,3\n2,3,4\n", encoding="utf-8")
    assert main(["show", str(tmp_path / "mine.csv")]) == 0
    assert "has no ratings that differ" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "mine.csv"), "--data.target", "grade"]) == 0
    assert not capsys.readouterr().err
    assert main(["show", str(tmp_path / "mine.csv"), "--data.user", "usr"]) == 3
    said = capsys.readouterr().err
    assert "Did you mean 'user'?" in said
    assert "differ" not in said


@pytest.mark.parametrize("verb", ["train", "show"])
def test_a_misspelt_flag_says_which_was_meant(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--learner.freedon", "2"])
    assert stopped.value.code == 2
    assert "--learner.freedom" in capsys.readouterr().err


@pytest.mark.usefixtures("as_users_run")
def test_the_doctor_is_content(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["doctor"]) == 0
    assert "self-test" in capsys.readouterr().out


@pytest.mark.parametrize(("cores", "given", "wanted"), [(8, None, "7"), (2, None, "1"), (1, None, "1"), (8, "3", "3")])
def test_a_service_leaves_a_core_unless_told_otherwise(cores, given, wanted, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setenv("NPROC", "")  # so that it is put back
    monkeypatch.delenv("NPROC")
    if given is not None:
        monkeypatch.setenv("NPROC", given)
    leave_a_core()
    assert os.environ["NPROC"] == wanted


def test_without_a_verb_the_verbs_are_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["metajax"])
    assert main() == 0
    assert "usage: metajax VERB" in capsys.readouterr().out


def test_one_run_is_no_comparison(tmp_path, capsys):
    assert main(["compare", str(tmp_path)]) == 2
    assert "A comparison takes the folders of two runs or more" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "a//b"])
def test_a_name_that_leads_out_of_the_runs_is_refused(name, capsys):
    assert main(["show", "--name", name]) == 2
    assert "is a path below runs/, such as a/b" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", [["-1"], [str(2**32)]])
def test_seeds_are_numbers_of_32_bits(seeds, capsys):
    assert main(["show", "--seeds", *seeds]) == 2
    assert "has one seed or more, from 0 to" in capsys.readouterr().err


def test_only_what_can_go_on_says_that_it_can(monkeypatch, capsys):
    from metajax.cli import artifacts, runs

    def interrupted(arguments):
        raise KeyboardInterrupt

    for module, verb in ((artifacts, "recommend"), (runs, "train")):
        monkeypatch.setattr(module, f"{verb}_verb", interrupted)
        assert main([verb]) == 130
        assert ("--resume" in capsys.readouterr().err) == (verb == "train")


def test_training_tells_which_rows_were_rejected(tmp_path, monkeypatch, capsys):
    def train(experiment, folder, **choices):
        folder.mkdir(parents=True)
        rows = "user,item,target,reason\n1,2,x,target is not a number\n,3,4,no user id\n5,6,y,target is not a number\n"
        (folder / "quarantine.csv").write_text(rows, encoding="utf-8")
        return [folder / "seed-0"]

    monkeypatch.setattr("metajax.experiment.running.train_experiment", train)
    assert main(["train", "--name", "some", "--runs", str(tmp_path), "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "3 rows were rejected (1 no user id, 2 target is not a number); they are in" in told
    assert str(tmp_path / "some" / "quarantine.csv") in told
