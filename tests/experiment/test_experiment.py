"""Experiments: files, overrides, and configurations that come back from JSON without executing anything."""

from dataclasses import dataclass, is_dataclass
from pathlib import Path

import pytest

from metajax import experiment as parts
from metajax.errors import ConfigError, StorageError
from metajax.experiment import Experiment, Maml, learners, load_experiment, override
from metajax.experiment.codec import decode, encode
from metajax.experiment.tuned import apply_tuned

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for path in sorted((ROOT / "experiments").rglob("*.py"))
    if path.stem != "linear_regression" and path.parent.name != "sinusoid"  # no data set goes into these
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_file_loads_and_says_how_to_run_it(path):
    made = load_experiment(path)
    assert decode(encode(made)) == made
    text = path.read_text(encoding="utf-8")
    for word in ("Run:", "Override:", "Takes:", "Reaches:", "Follows:", str(path.relative_to(ROOT))):
        assert word in text


@pytest.mark.parametrize(
    "name", [n for n, made in vars(parts).items() if isinstance(made, type) and is_dataclass(made)]
)
def test_every_part_comes_back_from_json(name):
    made = getattr(parts, name)()
    assert decode(encode(made)) == made


def test_what_is_unknown_is_refused():
    with pytest.raises(StorageError, match="names a part 'Evil', which metajax does not know"):
        decode({"kind": "Evil"})
    with pytest.raises(StorageError, match="Maml has no field 'speed'"):
        decode({"kind": "Maml", "speed": 3})


def test_files_that_are_no_experiments_are_told(tmp_path):
    with pytest.raises(ConfigError, match="There is no experiment file"):
        load_experiment(tmp_path / "none.py")
    (tmp_path / "empty.py").write_text("x = 1")
    with pytest.raises(ConfigError, match=r"defines no function experiment\(\)"):
        load_experiment(tmp_path / "empty.py")
    (tmp_path / "other.py").write_text("def experiment():\n    return 3")
    with pytest.raises(ConfigError, match="returned a int, wanted an Experiment"):
        load_experiment(tmp_path / "other.py")


def test_overrides_are_those_of_the_chosen_parts():
    made, _ = override(Experiment(learner=Maml()), ["--learner.inner-steps", "5", "--seeds", "1", "2"], options=Maml())
    assert made.learner == Maml(inner_steps=5)
    assert made.seeds == (1, 2)


def test_a_misspelt_flag_says_which_was_meant(capsys):
    with pytest.raises(SystemExit) as stopped:
        override(Experiment(), ["--learner.penalti", "5"], options=Maml())
    assert stopped.value.code == 2
    assert "--learner.penalty" in capsys.readouterr().err


def test_a_file_may_bring_a_part_of_its_own_with_flags(tmp_path):
    """Also with postponed annotations, which dataclasses look up in the file's module."""
    (tmp_path / "json.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from metajax.experiment import Experiment\n"
        "@dataclass(frozen=True)\n"
        "class Mine:\n"
        "    width: int = 4\n"
        "def experiment():\n"
        "    return Experiment(model=Mine())\n"
    )
    made, _ = override(load_experiment(tmp_path / "json.py"), ["--model.width", "7"], options=Maml())
    assert encode(made)["model"] == {"kind": "Mine", "width": 7}


def test_a_part_of_ones_own_is_not_taken_for_the_one_of_metajax_that_is_called_alike():
    @dataclass(frozen=True)
    class Ridge(learners.Ridge):
        pass

    written = encode(Experiment(learner=Ridge(penalty=3.0)))
    assert written["learner"] == encode(learners.Ridge(penalty=3.0)) | {"kind": f"{__name__}.Ridge"}
    with pytest.raises(StorageError, match=r"names a part '.*\.Ridge', which .*Recommender\.load\(folder, experiment="):
        decode(written)
    assert encode(Experiment())["learner"]["kind"] == "Ridge"
    own = Experiment(learner=Ridge(penalty=3.0))
    assert apply_tuned(own, {"config": written, "overrides": {}}) == own


def test_a_part_that_cannot_be_written_down_is_refused():
    with pytest.raises(ConfigError, match=r"holds a object, which cannot be written.*frozen dataclass"):
        encode(Experiment(model=object()))
