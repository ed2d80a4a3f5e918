"""The pages about learners name every learner there is, and their table of costs is that of the kept measurement."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from metajax.experiment import learners

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "learners.md").read_text(encoding="utf-8")
CLASSES = sorted(name for name, made in vars(learners).items() if hasattr(made, "build"))


@pytest.fixture(scope="module")
def costs():
    spec = importlib.util.spec_from_file_location("learner_costs", ROOT / "docs" / "learner_costs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CLASSES)
def test_readme_lists_every_learner_once(name):
    rows = re.findall(rf"^\| `{name}` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 1


def test_every_learner_has_a_section_in_the_order_of_the_costs(costs):
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == list(costs.EXPERIMENTS)


def test_every_learner_of_an_experiment_is_measured(costs):
    from metajax.experiment import load_experiment

    measured = [load_experiment(ROOT / "experiments" / f"{name}.py").learner for name in costs.EXPERIMENTS.values()]
    assert sorted({type(one).__name__ for one in measured}) == CLASSES


def test_the_table_of_costs_is_that_of_the_kept_measurement(costs):
    kept = json.loads((ROOT / "docs" / "learner_costs.json").read_text(encoding="utf-8"))
    assert costs.fill(PAGE, kept) == PAGE
    faster = json.loads(json.dumps(kept))
    faster["learners"]["maml"]["outer_gradient_ms_per_task"] /= 2
    assert costs.fill(PAGE, faster) != PAGE


def test_a_model_sees_the_columns_that_its_experiment_chooses(costs):
    from metajax.experiment import DataConfig

    chosen = DataConfig(identity=("item",), features=("gender", "genres"))
    names = lambda turned: [(one.name, one.of) for one in costs.columns_of(chosen, items_are_tasks=turned)]  # noqa: E731
    assert names(False) == [("gender", "user"), ("id", "item"), ("genres", "item")]
    assert names(True) == [("id", "item"), ("gender", "item"), ("genres", "user")]
