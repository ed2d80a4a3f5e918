"""Evaluate the seeds of a run beside the baselines, and write its report."""

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
from metajax.data import Interactions, Scenario, Split
from metajax.errors import StorageError
from metajax.evaluation.baselines import Training, training_of
from metajax.evaluation.groups import user_groups
from metajax.evaluation.measure import Method, Setting, results_frame
from metajax.evaluation.predict import catalogue_scorer, predictor
from metajax.evaluation.protocols import lay_out, sentence
from metajax.evaluation.report import write_report
from metajax.evaluation.results import PerUser, write_per_user
from metajax.evaluation.selection import COLD_ITEMS
from metajax.evaluation.summary import Summary, summarise
from metajax.evaluation.values import Scale
from metajax.evaluation.wording import describe_metric
from metajax.experiment.artifact import Artifact, read_artifact, write_artifact
from metajax.experiment.assembly import Assembly, assemble
from metajax.experiment.baseline_results import baseline_results
from metajax.experiment.codec import decode, encode
from metajax.experiment.experiment import Experiment
from metajax.experiment.provenance import commit
from metajax.experiment.running import refits
from metajax.experiment.tuned import tuning_metadata
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
        experiment: for a run with parts of your own, which are not rebuilt from a file: its classes and the files of
            its data are taken, the choices are the run's.
        command: kept in the report.
        progress: called with the name of what is measured next.

    Raises:
        StorageError: if the run has no finished seed, or the data have changed since it was trained.
    """
    own = experiment or _experiment_of(folder)
    seeds = {int(path.parent.name.removeprefix("seed-")): path for path in sorted(folder.glob("seed-*/artifact"))}
    if not seeds:
        raise StorageError(f"{folder} has no finished seed. Train it first: metajax train.")
    artifacts = {seed: read_artifact(path, experiment=own) for seed, path in sorted(seeds.items())}
    first = next(iter(artifacts.values()))
    files_of_data = {name: getattr(own.data, name) for name in ("source", "users", "items")}  # they may have moved
    experiment = replace(first.experiment, data=replace(first.experiment.data, **files_of_data))
    kept = first.encoding
    selection = assemble(experiment, kept=kept)
    assembly = assemble(experiment, final=True, kept=kept) if refits(selection) else selection
    digest = assembly.interactions.digest()
    for seed, artifact in artifacts.items():
        trained_on = artifact.training.get("data_sha256", digest)  # older ones do not say
        if artifact.encoding != assembly.encoding or trained_on != digest:
            raise StorageError(f"The data or split have changed since {seeds[seed]} was trained. Train it again.")
    training = training_of(assembly.interactions, assembly.split.train)
    scenarios = {name: lay_out(scenario, assembly.interactions) for name, scenario in assembly.split.scenarios.items()}
    setting = setting_of(assembly, training)
    baselines = baseline_results(selection, training, scenarios, setting, progress=progress)
    learners = results_frame(scenarios, _learner_methods(assembly, artifacts), setting, progress=progress)
    frame = pl.concat([learners, baselines.frame], how="diagonal_relaxed")
    protocol = protocol_of(assembly)
    progress("bootstrap intervals and paired tests")
    groups = user_groups(assembly.interactions)
    summary = summarise(
        frame,
        protocol=protocol,
        reference_baseline=baselines.references,
        rank_reference=baselines.rank_references,
        groups=groups,
    )
    metadata = _metadata(assembly, folder, seeds, command) | {"tuned_baselines": baselines.tuned}
    write_report(folder, summary, metadata)
    write_per_user(folder / PER_USER, PerUser(experiment.name, assembly.interactions.name, protocol, frame))
    for seed, artifact in artifacts.items():
        write_artifact(_with_metrics(artifact, summary), seeds[seed])
    return summary


def learner_name(experiment: Experiment) -> str:
    """Return the name of an experiment's learner in tables: its class, and its model."""
    return f"{type(experiment.learner).__name__} ({type(experiment.model).__name__})"


def _learner_methods(assembly: Assembly, artifacts: dict[int, Artifact]) -> list[Method]:
    predict, score = predictor(assembly.parts.learner), catalogue_scorer(assembly.parts.learner)
    ranks_only = assembly.parts.loss.ranks_only

    def method(seed: int, artifact: Artifact) -> Method:
        meta_params, catalogue = artifact.meta_params, assembly.catalogue
        return Method(
            name=learner_name(assembly.experiment),
            kind="learner",
            predict=lambda tasks: predict(meta_params, catalogue, tasks),
            score_catalogue=lambda tasks: score(meta_params, catalogue, tasks),
            noise=artifact.training.get("validation_variance", {}),
            seed=seed,
            ranks_only=ranks_only,
        )

    return [method(seed, artifact) for seed, artifact in artifacts.items()]


def setting_of(assembly: Assembly, train: Training) -> Setting:
    """Gather what measuring needs to know of the data; `train` is what baselines are fitted to."""
    interactions = assembly.interactions
    num_ratings = train.counts("items")
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
        num_ratings=num_ratings,
        scale=Scale.of(interactions.scale, train.target),
        candidates={
            name: _candidates(assembly.split, num_ratings, scenario)
            for name, scenario in assembly.split.scenarios.items()
        },
        rated=rated,
        config=assembly.experiment.evaluation,
    )


def _candidates(split: Split, num_ratings: np.ndarray, scenario: Scenario) -> np.ndarray:
    """Return which items a scenario's rankings hold: those of training, its own, and of cold items all or none.

    Across domains, of these only the items of the target domain.
    """
    interactions, candidates = split.interactions, num_ratings > 0
    candidates[interactions.positions(scenario.ratings)[1]] = True
    if scenario.name in COLD_ITEMS:
        candidates |= interactions.items["item"].is_in(split.cold_items.implode()).to_numpy()
    if scenario.domains is None:
        return candidates
    in_target = np.zeros_like(candidates)
    target = interactions.ratings.filter(pl.col("domain") == scenario.domains[1])
    in_target[interactions.positions(target)[1]] = True
    return candidates & in_target


def protocol_of(assembly: Assembly) -> dict[str, Any]:
    """Say under what protocol an assembly is measured."""
    config, split = assembly.experiment.evaluation, assembly.split
    scenario = next(iter(split.scenarios.values()))
    return {
        "name": split.name,
        "sentence": sentence(split.name, split.scenarios),
        "split": encode(assembly.experiment.split),
        "data_sha256": assembly.interactions.digest(),  # two files may have one name, and as many ratings
        "draws": scenario.draws,
        "regime": "query",
        "relevance_threshold": config.threshold,
        "gain": "exponential",
        "unit": "stars" if assembly.interactions.name.startswith("ml-") else "rating points",
        "selection": "models, tuned baselines and the reference baseline are selected on held-out training users"
        + (" and, for cold items, on held-out training items" if split.holds_out_items else ""),
    }


def _metadata(assembly: Assembly, folder: Path, seeds: dict[int, Path], command: str) -> dict[str, Any]:
    interactions, split = assembly.interactions, assembly.split
    return {
        "name": assembly.experiment.name,
        "command": command,
        "commit": commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"metajax": version("metajax"), "jax": version("jax"), "python": sys.version.split()[0]},
        "data": {"name": interactions.name, "counts": _counts(interactions) | {"training ratings": split.train.height}},
        "config": encode(assembly.experiment),
        **tuning_metadata(folder),
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
    """Keep for the model card what is better or worse at full support; the report has all else."""
    metrics: dict[str, Any] = {}
    for one in summary.estimates:
        is_told = one.kind == "learner" and one.k is None and np.isfinite([one.value, one.low, one.high]).all()
        if is_told and describe_metric(one.metric, summary.protocol).direction:
            cell = {"value": one.value, "low": one.low, "high": one.high}
            metrics.setdefault(one.scenario, {})[one.metric] = cell
    return replace(artifact, metrics=metrics)


def _experiment_of(folder: Path) -> Experiment:
    if not (folder / "config.json").is_file():
        raise StorageError(f"{folder} is no run of metajax (config.json is missing). Train first: metajax train.")
    return decode(files.read_json(folder / "config.json"))
