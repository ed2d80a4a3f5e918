"""What the baselines reach, measured once: every learner on the same data and protocol is compared with the same rows.

The values are kept in the user's cache under a hash of all that they depend on: every row of the split, every feature,
the choices of evaluation and the code that measures. Whatever changes, they are measured anew.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from importlib.resources import files as package_files
from pathlib import Path

import polars as pl

from metajax.data import Split
from metajax.data.sources import cache_folder
from metajax.errors import StorageError
from metajax.evaluation.baselines import Baseline, Training, default_baselines, in_units, tuned_baselines
from metajax.evaluation.baselines.methods import baseline_methods
from metajax.evaluation.measure import Setting, results_frame
from metajax.evaluation.results import PerUser, read_per_user, write_per_user
from metajax.evaluation.selection import select
from metajax.experiment.assembly import Assembly
from metajax.experiment.codec import encode
from metajax.tasks.taskset import TaskSet

PRESENTATION = ("board", "figures", "page", "page_style", "page_tables", "report", "tables", "wording")
"""Modules of evaluation that only show what was measured."""


@dataclass(frozen=True)
class BaselineResults:
    """The rows of all baselines.

    Attributes:
        frame: a results frame.
        references: of every scenario, the baseline that learners are tested against.
        rank_references: the same where the whole catalogue is ranked.
        tuned: name -> scenario -> the name of the candidate that was chosen.
    """

    frame: pl.DataFrame
    references: Mapping[str, str]
    rank_references: Mapping[str, str]
    tuned: Mapping[str, Mapping[str, str]]


def baseline_results(
    selection: Assembly,
    training: Training,
    scenarios: Mapping[str, TaskSet],
    setting: Setting,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> BaselineResults:
    """Return the kept rows, or choose, fit and measure the baselines and keep their rows.

    Args:
        selection: whose split says what is held out for selection.
        training: what baselines are fitted to.
        scenarios: tasks by scenario.
        setting: what is known about the data.
        progress: called with what is done next.
    """
    path = cache_folder() / "baselines" / f"{_key(selection)}.parquet"
    try:
        kept = read_per_user(path)
        return BaselineResults(kept.frame, *(kept.protocol[name] for name in ("references", "ranked", "tuned")))
    except (StorageError, KeyError):
        found = _measure(selection, training, scenarios, setting, progress)
        about = {"references": found.references, "ranked": found.rank_references, "tuned": found.tuned}
        write_per_user(path, PerUser("baselines", selection.interactions.name, about, found.frame))
        return found


def _measure(
    selection: Assembly,
    training: Training,
    scenarios: Mapping[str, TaskSet],
    setting: Setting,
    progress: Callable[[str], None],
) -> BaselineResults:
    config = selection.experiment.evaluation
    wanted = default_baselines() if config.baselines else default_baselines()[:2]
    fixed = [one for one in wanted if makes_sense(one, training)]
    families = tuned_baselines() if config.baselines and config.tuned else {}
    families = {name: found for name, found in families.items() if all(makes_sense(one, training) for one in found)}
    unit = selection.experiment.data.unit or 1.0
    fixed = [in_units(one, unit) for one in fixed]
    families = {name: [in_units(one, unit) for one in found] for name, found in families.items()}
    chosen = select(
        selection.split,
        fixed,
        families,
        shots=config.validation_shots,
        relevant=config.threshold if config.catalogue_cutoffs else None,
        progress=progress,
    )
    methods = baseline_methods(training, fixed, chosen.tuned, chosen.noise, progress=progress)
    frame = results_frame(scenarios, methods, setting, progress=progress)
    names = {name: {scenario: one.name for scenario, one in of.items()} for name, of in chosen.tuned.items()}
    ranked = chosen.rank_references if config.catalogue_cutoffs else chosen.references
    return BaselineResults(frame, chosen.references, ranked, names)


def makes_sense(baseline: Baseline, training: Training) -> bool:
    """Say whether a baseline is measured: if it can be afforded and, where nothing is rated, ranks."""
    return baseline.affordable(training) and (baseline.ranks_only or not training.is_implicit)


def _key(selection: Assembly) -> str:
    digest = sha256(repr((encode(selection.experiment.evaluation), selection.experiment.data.unit)).encode())
    for part in ("data", "evaluation", "tasks"):
        for source in sorted(Path(str(package_files("metajax").joinpath(part))).rglob("*.py")):
            if source.stem not in PRESENTATION:
                digest.update(source.read_bytes())
    for text in _content(selection.split):
        digest.update(text.encode())
    return digest.hexdigest()


def _content(split: Split) -> Iterator[str]:
    """Yield all that a split says: every row of every part, whatever the order of columns, and how tasks are cut."""
    parts = (split.validation, *split.scenarios.values())
    tables = (split.interactions.users, split.interactions.items, split.train, *(one.ratings for one in parts))
    for table in tables:
        yield repr((sorted(table.columns), table.select(sorted(table.columns)).hash_rows(seed=0).to_list()))
    for scenario in parts:
        yield repr([(one.name, getattr(scenario, one.name)) for one in fields(scenario) if one.name != "ratings"])
    yield repr((split.name, split.holds_out_items, split.interactions.scale, split.interactions.features))
