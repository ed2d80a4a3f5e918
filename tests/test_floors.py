"""Imports go down only: the floors of the house, and who may not know whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = {
    "errors": 1,
    "files": 1,
    "losses": 1,
    "rows": 1,
    "types": 1,
    "data": 2,
    "models": 3,
    "tasks": 3,
    "learners": 4,
    "evaluation": 5,
    "ranking": 5,
    "training": 6,
    "artifact": 7,
    "experiment": 7,
    "recommender": 7,
    "serving": 7,
    "cli": 8,
    "__init__": 8,
    "__main__": 8,
}

SAME_FLOOR = {
    ("files", "errors"),
    ("losses", "errors"),
    ("losses", "types"),
    ("recommender", "artifact"),
    ("recommender", "experiment"),
    ("artifact", "experiment"),
    ("serving", "recommender"),
    ("__main__", "cli"),
}

STRANGERS = {
    ("learners", "data"): "a linear regression is a task too: nothing in learners knows what a movie is",
    ("learners", "models"): "learners receive a model, they import none",
    ("evaluation", "learners"): "only experiment names concrete learners",
    ("ranking", "learners"): "only experiment names concrete learners",
    ("training", "learners"): "only experiment names concrete learners",
    ("recommender", "learners"): "only experiment names concrete learners",
    ("serving", "learners"): "only experiment names concrete learners",
    ("cli", "learners"): "only experiment names concrete learners",
}

JAX = {"chex", "flax", "jax", "optax", "orbax"}


def module_name(path: Path) -> str:
    """Name a module by its dotted path; a package's `__init__` by the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted((ROOT / "metajax").rglob("*.py"))}


def imports(name: str, source: str, *, is_package: bool, modules: set[str]) -> Iterator[str]:
    """Yield every module that `source` imports, wherever in it; `from package import module` yields the module."""
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            children = [f"{base}.{alias.name}" for alias in node.names]
            yield from {child if child in modules else base for child in children}


IMPORTS = {
    name: set(imports(name, path.read_text(), is_package=path.name == "__init__.py", modules=set(MODULES)))
    for name, path in MODULES.items()
}


def part(name: str) -> str:
    """Name the part of the house a module belongs to: the second word of its name."""
    return [*name.split("."), "__init__"][1]


def objection(importer: str, imported: str) -> str | None:
    """Say why `importer` may not import `imported`; None if it may."""
    above, below = part(importer), part(imported)
    if (above, below) in STRANGERS:
        return STRANGERS[above, below]
    if above == below or (above, below) in SAME_FLOOR or FLOORS[below] < FLOORS[above]:
        return None
    return f"{below} (floor {FLOORS[below]}) is not below {above} (floor {FLOORS[above]})"


def test_every_part_has_a_floor():
    assert {part(name) for name in MODULES} <= FLOORS.keys()


def test_imports_go_down_only():
    objections = [
        f"{importer} imports {imported}: {why}"
        for importer, names in IMPORTS.items()
        for imported in names
        if imported.split(".")[0] == "metajax" and (why := objection(importer, imported))
    ]
    assert objections == []


def test_no_modules_import_in_a_circle():
    within = {name: (names & MODULES.keys()) - {name} for name, names in IMPORTS.items()}
    try:
        TopologicalSorter(within).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_data_reaches_no_jax():
    """Not through another module either."""
    reached: set[str] = set()
    waiting = [name for name in MODULES if part(name) == "data"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += (IMPORTS[name] & MODULES.keys()) - reached
    found = {name: jax for name in reached if (jax := {i.split(".")[0] for i in IMPORTS[name]} & JAX)}
    assert found == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import metajax.training.loop", {"metajax.training.loop"}),
        ("from metajax import training", {"metajax.training"}),
        ("from metajax.training import loop", {"metajax.training.loop"}),
        ("from metajax.training import train", {"metajax.training"}),
        ("from . import rows", {"metajax.tasks.rows"}),
        ("from .rows import pad", {"metajax.tasks.rows"}),
        ("from ..training import loop", {"metajax.training.loop"}),
        ("def f():\n    from metajax.training import loop, train", {"metajax.training.loop", "metajax.training"}),
    ],
)
@pytest.mark.parametrize("is_package", [False, True])
def test_every_way_to_import_is_seen(source, expected, is_package):
    modules = {"metajax", "metajax.tasks", "metajax.tasks.rows", "metajax.training", "metajax.training.loop"}
    name = "metajax.tasks" if is_package else "metajax.tasks.catalogue"
    assert set(imports(name, source, is_package=is_package, modules=modules)) == expected


@pytest.mark.parametrize(
    ("importer", "imported", "why"),
    [
        ("metajax.tasks.catalogue", "metajax.training", "is not below"),
        ("metajax.tasks.catalogue", "metajax.models", "is not below"),
        ("metajax.losses", "metajax.files", "is not below"),
        ("metajax.data.readers", "metajax", "is not below"),
        ("metajax.learners.ridge", "metajax.models.towers", "import none"),
        ("metajax.training.loop", "metajax.learners", "only experiment"),
    ],
)
def test_what_goes_up_is_refused(importer, imported, why):
    assert why in (objection(importer, imported) or "")


def test_a_service_loads_nothing_that_fits_or_plots():
    """They would be memory that every replica holds, and time until it is ready."""
    heavy = ("scipy", "matplotlib", "optuna", "grain")
    code = f"import sys, metajax.serving.server, metajax.serving.versions; print(set({heavy}) & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
