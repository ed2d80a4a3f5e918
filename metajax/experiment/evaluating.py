"""Evaluate the seeds of a run beside the baselines, and write its report."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from metajax import files
from metajax.data import Interactions
from metajax.errors import StorageError
from metajax.evaluation.baselines import Baseline, default_baselines, training_of
from metajax.evaluation.measure import Method, Setting, results_frame
from metajax.evaluation.predict import catalogue_scorer, predictor
from metajax.evaluation.protocols import SENTENCES, lay_out
from metajax.evaluation.reference import choose_references
from metajax.evaluation.report import write_report
from metajax.evaluation.results import PerUser, write_per_user
from metajax.evaluation.summary import Summary, summarise
from metajax.experiment.artifact import Artifact, read_artifact, write_artifact
from metajax.experiment.assembly import Assembly, assemble
from metajax.experiment.codec import decode, encode
from metajax.experiment.experiment import Experiment
from metajax.tasks.taskset import TaskSet
from metajax.training.run_log import read_log

PER_USER = "per_user.parquet"


def evaluate_run(
    folder: Path,
    *,
    experiment: Experiment | None = None,
    command: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Evaluate every finished seed of a run and write report.json, report.html and per_user.parquet to its folder.

    Args:
        folder: of a run.
        experiment: for a run with parts of your own, which are not rebuilt from a file.
        command: kept in the report.
        progress: called with the name of what is measured next.

    Raises:
        StorageError: if the run has no finished seed, or the data have changed since it was trained.
    """
    experiment = experiment or _experiment_of(folder)
    seeds = {int(path.parent.name.removeprefix("seed-")): path for path in sorted(folder.glob("seed-*/artifact"))}
    if not seeds:
        raise StorageError(f"{folder} has no finished seed. Train it first: metajax train.")
    assembly = assemble(experiment)
    artifacts = {seed: read_artifact(path, experiment=experiment) for seed, path in sorted(seeds.items())}
    for seed, artifact in artifacts.items():
        if artifact.encoding != assembly.encoding:
            raise StorageError(f"The data or split have changed since {seeds[seed]} was trained. Train it again.")
    baselines = default_baselines() if experiment.evaluation.baselines else default_baselines()[:2]
    progress("choosing the reference baseline on validation users")
    references = choose_references(assembly.split, baselines)
    methods = [*_learner_methods(assembly, artifacts), *_baseline_methods(assembly, baselines, progress)]
    scenarios = {name: lay_out(scenario, assembly.interactions) for name, scenario in assembly.split.scenarios.items()}
    frame = results_frame(scenarios, methods, _setting(assembly), progress=progress)
    protocol = _protocol(assembly)
    progress("bootstrap intervals and paired tests")
    summary = summarise(frame, protocol=protocol, reference_baseline=references)
    write_report(folder, summary, _metadata(assembly, folder, seeds, command))
    write_per_user(folder / PER_USER, PerUser(experiment.name, assembly.interactions.name, protocol, frame))
    for seed, artifact in artifacts.items():
        write_artifact(_with_metrics(artifact, summary), seeds[seed])
    return summary


def learner_name(experiment: Experiment) -> str:
    """Return the name of an experiment's learner in tables: its class, and its model."""
    return f"{type(experiment.learner).__name__} ({type(experiment.model).__name__})"


def _learner_methods(assembly: Assembly, artifacts: dict[int, Artifact]) -> list[Method]:
    predict, score = predictor(assembly.parts.learner), catalogue_scorer(assembly.parts.learner)
    ranks_only = assembly.parts.loss.name == "pairwise ranking"

    def method(seed: int, artifact: Artifact) -> Method:
        meta_params, catalogue = artifact.meta_params, assembly.catalogue
        return Method(
            name=learner_name(assembly.experiment),
            kind="learner",
            predict=lambda tasks: predict(meta_params, catalogue, tasks).mean,
            score_catalogue=lambda tasks: score(meta_params, catalogue, tasks),
            seed=seed,
            ranks_only=ranks_only,
        )

    return [method(seed, artifact) for seed, artifact in artifacts.items()]


def _baseline_methods(
    assembly: Assembly, baselines: tuple[Baseline, ...], progress: Callable[[str], None]
) -> list[Method]:
    training = training_of(assembly.interactions, assembly.split.train)
    everything = np.arange(training.num_items, dtype=np.int32)

    def method(baseline: Baseline) -> Method:
        progress(f"fitting {baseline.name}")
        predict = baseline.fit(training)

        def score_catalogue(tasks: TaskSet) -> np.ndarray:
            scores = np.empty((len(tasks), training.num_items), np.float32)
            for first in range(0, len(tasks), 64):
                rows = np.arange(first, min(first + 64, len(tasks)))
                scores[rows] = predict(_ask_about(tasks.take(rows), everything))
            return scores

        return Method(baseline.name, "baseline", predict, score_catalogue, ranks_only=baseline.ranks_only)

    return [method(baseline) for baseline in baselines]


def _ask_about(tasks: TaskSet, items: np.ndarray) -> TaskSet:
    """Put these items in place of every task's query; the query's targets are gone."""
    shape = (len(tasks), len(items))
    ones = np.ones(shape, np.float32)
    return replace(tasks, query_items=np.broadcast_to(items, shape), query_target=0 * ones, query_mask=ones)


def _setting(assembly: Assembly) -> Setting:
    interactions = assembly.interactions
    train = training_of(interactions, assembly.split.train)
    users, items, _ = interactions.positions()
    everything = pl.DataFrame({"user": users, "item": items}).group_by("user").agg("item")
    rated_items = dict(zip(everything["user"].to_list(), everything["item"].to_list(), strict=True))

    def rated(positions: np.ndarray) -> np.ndarray:
        known = np.zeros((len(positions), interactions.items.height), bool)
        for row, user in enumerate(positions):
            known[row, rated_items[int(user)]] = True
        return known

    return Setting(
        user_ids=interactions.users["user"],
        num_ratings=train.counts("items"),
        scale=interactions.scale,
        rated=rated,
        config=assembly.experiment.evaluation,
    )


def _protocol(assembly: Assembly) -> dict[str, Any]:
    config, split = assembly.experiment.evaluation, assembly.split
    return {
        "name": split.name,
        "sentence": SENTENCES[split.name],
        "draws": next(iter(split.scenarios.values())).draws,
        "regime": "query",
        "relevance_threshold": config.relevant,
        "gain": "exponential",
        "unit": "stars" if assembly.interactions.name.startswith("ml-") else "rating points",
        "selection": "model and reference baseline are selected on held-out training users",
    }


def _metadata(assembly: Assembly, folder: Path, seeds: dict[int, Path], command: str) -> dict[str, Any]:
    interactions, split = assembly.interactions, assembly.split
    return {
        "name": assembly.experiment.name,
        "command": command,
        "commit": _commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"metajax": version("metajax"), "jax": version("jax"), "python": sys.version.split()[0]},
        "data": {"name": interactions.name, "counts": _counts(interactions) | {"training ratings": split.train.height}},
        "config": encode(assembly.experiment),
        "learning_curves": [
            {"seed": seed, "step": line["step"], "loss": line["loss"], "validation": line.get("validation")}
            for seed, path in seeds.items()
            for line in read_log(path.parent)
        ],
    }


def _counts(interactions: Interactions) -> dict[str, int]:
    ratings = interactions.ratings
    return {"ratings": ratings.height, "users": ratings["user"].n_unique(), "items": ratings["item"].n_unique()}


def _with_metrics(artifact: Artifact, summary: Summary) -> Artifact:
    metrics: dict[str, Any] = {}
    for one in summary.estimates:
        if one.kind == "learner" and one.k is None:
            cell = {"value": one.value, "low": one.low, "high": one.high}
            metrics.setdefault(one.scenario, {})[one.metric] = cell
    return replace(artifact, metrics=metrics)


def _experiment_of(folder: Path) -> Experiment:
    if not (folder / "config.json").is_file():
        raise StorageError(f"{folder} is no run of metajax (config.json is missing). Train first: metajax train.")
    return decode(files.read_json(folder / "config.json"))


def _commit() -> str | None:
    """Return the commit of the working directory, with a mark if it has changes, or None outside a repository."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
