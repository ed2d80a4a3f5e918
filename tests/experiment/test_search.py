"""Search spaces: ranges, names that were meant, and choices as words of a command line."""

import re
from pathlib import Path

import pytest

from metajax.errors import ConfigError
from metajax.experiment import Experiment, Maml, TwoTower, load_experiment, override
from metajax.experiment.codec import encode
from metajax.experiment.search import (
    Choice,
    Integer,
    LogUniform,
    Uniform,
    check_space,
    flags,
    leaves,
    load_search_space,
    replaced,
)

FOLDER = Path(__file__).parents[2] / "experiments"
FILES = sorted(path for path in FOLDER.rglob("*.py") if "def search_space(" in path.read_text(encoding="utf-8"))


class LowestOf:
    """An optuna trial that takes the lowest value, or the last choice."""

    def suggest_float(self, name, low, high, *, log=False):
        return low

    def suggest_int(self, name, low, high, *, log=False):
        return low

    def suggest_categorical(self, name, values):
        return values[-1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.stem}-{path.stem}")
def test_every_search_space_fits_its_experiment_at_its_ends(path):
    space, experiment = load_search_space(path), load_experiment(path)
    check_space(space, experiment)
    assert "optimizer.learning_rate" in space  # every method may choose that one, in the same range
    assert space["optimizer.learning_rate"] == LogUniform(3e-4, 1e-2)
    lowest = {name: one.suggest(LowestOf(), name) for name, one in space.items()}
    changed = replaced(experiment, lowest)
    assert dict(leaves(changed)) == dict(leaves(experiment)) | lowest


def test_there_are_search_spaces():
    assert {path.stem for path in FILES} >= {"ridge", "melu", "maml", "joint"}


@pytest.mark.parametrize(
    ("made", "got", "kind"),
    [
        (Uniform(0.0, 1.0), 0.0, float),
        (LogUniform(1e-3, 1.0), 1e-3, float),
        (Integer(2, 5), 2, int),
        (Choice(((8,), (8, 8))), (8, 8), tuple),
    ],
)
def test_a_range_suggests_what_it_holds(made, got, kind):
    value = made.suggest(LowestOf(), "x")
    assert value == got
    assert type(value) is kind
    assert encode(made)["kind"] == type(made).__name__


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Uniform(1.0, 1.0), "Uniform wants low < high, got 1.0 and 1.0"),
        (lambda: LogUniform(0.0, 1.0), "LogUniform wants 0 < low < high, got 0.0 and 1.0"),
        (lambda: LogUniform(1.0, float("nan")), "LogUniform wants 0 < low < high, got 1.0 and nan"),
        (lambda: Integer(0, 4, log=True), "Integer wants 0 < low < high, got 0 and 4"),
        (lambda: Choice((8,)), "Choice wants a tuple of two or more different values"),
        (lambda: Choice((8, 16, 8)), "Choice wants a tuple of two or more different values"),
    ],
)
def test_a_range_without_room_is_refused(make, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        make()


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (
            {"learner.inner_stepsize": Uniform(0, 1)},
            r"names 'learner\.inner_stepsize'.*mean 'learner\.inner_step_size'",
        ),
        ({"learner.inner-steps": Integer(1, 5)}, r"mean 'learner\.inner_steps'"),
        ({"zzz": Uniform(0, 1)}, "names 'zzz', which the experiment does not have.$"),
        ({"evaluation.validation_shots": Choice(((1,), (5,)))}, "that differ in it cannot be compared"),
        ({"data.min_count": Integer(1, 5)}, "Tune choices of model, loss, learner"),
        ({"learner.inner_steps": Uniform(1, 5)}, r"learner\.inner_steps is a whole number, but its range is a Uniform"),
    ],
)
def test_a_space_that_does_not_fit_is_told(space, told):
    with pytest.raises(ConfigError, match=told):
        check_space(space, Experiment(learner=Maml()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"defines no function search_space\(\).*\n.*\n.*from metajax.experiment.search import"),
        ("def search_space(): return {}", r"returned \{\}, wanted a mapping of names to ranges"),
        ("def search_space(): return 3", "returned 3, wanted a mapping"),
        ("def search_space(): return {'learner.penalty': (1, 2)}", r"gives 'learner\.penalty' the range \(1, 2\)"),
    ],
)
def test_a_file_without_a_space_shows_how_to_write_one(tmp_path, text, told):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_search_space(tmp_path / "mine.py")


def test_what_the_error_shows_is_a_search_space(tmp_path):
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(ConfigError) as caught:
        load_search_space(tmp_path / "mine.py")
    shown = str(caught.value).split("experiment():\n")[1]
    (tmp_path / "mine.py").write_text("\n".join(line.removeprefix("    ") for line in shown.splitlines()))
    check_space(load_search_space(tmp_path / "mine.py"), Experiment())


def test_flags_say_what_was_changed():
    before = Experiment(learner=Maml(), model=TwoTower())
    changes = {
        "learner.first_order": True, "learner.inner_step_size": 1e-5, "model.hidden": (8, 4), "name": "a b",
        "training.patience": 0, "training.task_chunk": 4, "data.identity": (), "optimizer.schedule": "constant",
    }  # fmt: skip
    after = replaced(before, changes)
    assert flags(before, before) == []
    assert "--learner.first-order" in flags(before, after)
    assert "--learner.no-first-order" in flags(after, before)
    assert override(before, flags(before, after), options=Maml())[0] == after
    assert override(after, flags(after, before), options=Maml())[0] == before


def test_replacing_checks_the_choices_together():
    assert (
        replaced(Experiment(), {"episodes.min_support": 100, "episodes.max_support": 200}).episodes.max_support == 200
    )
    with pytest.raises(ConfigError, match="Support sizes need"):
        replaced(Experiment(), {"episodes.min_support": 100})
    with pytest.raises(ConfigError, match="Ridge has no choice 'speed' to be set to 3"):
        replaced(Experiment(), {"learner.speed": 3})
