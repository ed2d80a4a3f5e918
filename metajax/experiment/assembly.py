"""From an experiment to the things that run: data, tasks, model, learner."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from metajax.data import Encoding, Interactions, Split, fit_encoding
from metajax.errors import ConfigError
from metajax.evaluation.predict import catalogue_scorer, predictor
from metajax.evaluation.selection import selects_on_items, validation_tasks
from metajax.evaluation.validate import catalogue_validation_of, validation_of
from metajax.experiment.experiment import Experiment
from metajax.experiment.parts import Parts, make_parts
from metajax.tasks import Catalogue, Histories, TaskSet, catalogue, histories, lengths
from metajax.training.loop import Validate
from metajax.types import PyTree


@dataclass(frozen=True)
class Assembly:
    """An experiment brought to life; `rows` are the ratings that it trains on."""

    experiment: Experiment
    interactions: Interactions
    split: Split
    rows: pl.DataFrame
    encoding: Encoding
    catalogue: Catalogue
    histories: Histories
    offset: float
    levels: tuple[float, ...]
    parts: Parts
    validation: tuple[TaskSet, ...]


def assemble(experiment: Experiment, *, final: bool = False, kept: Encoding | None = None) -> Assembly:
    """Read the data, split them, prove that nothing leaks, encode, and build the learner.

    Args:
        experiment: the choices.
        final: train on every training row, those held out for model selection included, for as many steps as are said.
        kept: the encoding of an artifact, whose parameters are there: its content estimate, which takes long to fit, is
            taken over, and no start of training is looked for.
    """
    split = experiment.split.build(experiment.data.load()).limited(experiment.evaluation.most_users)
    split.check()
    interactions = split.interactions  # transposed where tasks are about items
    if selects_on_items(split):
        split = split.held_out()
    rows = split.train if final else split.meta_train()
    if kept is None:  # what was trained without a unit stays without
        experiment = replace(experiment, data=experiment.data.resolved(float(rows["target"].to_numpy().std())))
    encoding = fit_encoding(
        interactions,
        rows.with_columns(target=pl.col("target") / (experiment.data.unit or 1.0)),
        identity=experiment.data.identity,
        features=experiment.data.features,
        min_count=experiment.data.min_count,
        max_values=experiment.data.max_values,
        estimate_content=experiment.data.estimate_content and kept is None,
    )
    if kept is not None:
        encoding = replace(encoding, content=kept.content, taken=None)
    offset = float(rows["target"].mean())  # pyright: ignore[reportArgumentType]
    levels = tuple(float(level) for level in rows["target"].unique().sort())
    rows_by_user = _histories(experiment, split, rows)
    experiment = replace(experiment, evaluation=experiment.evaluation.resolved(interactions.scale, levels))
    return Assembly(
        experiment=experiment if final else _with_steps(experiment, rows_by_user),
        interactions=interactions,
        split=split,
        rows=rows,
        encoding=encoding,
        catalogue=catalogue(encoding.encode_users(interactions.users), encoding.encode_items(interactions.items)),
        histories=rows_by_user,
        offset=offset,
        levels=levels,
        parts=make_parts(experiment, encoding, offset=offset, levels=levels),
        validation=validation_tasks(split),
    )


def with_choices(assembly: Assembly, experiment: Experiment) -> Assembly:
    """Return the assembly with other choices of model, loss, learner, episodes and training; the data stay.

    Args:
        assembly: whose data and unit of ratings are taken over.
        experiment: the choices as written; steps that were raised for other choices would stay raised.
    """
    experiment = replace(
        experiment,
        data=replace(experiment.data, unit=assembly.experiment.data.unit),
        evaluation=experiment.evaluation.resolved(assembly.interactions.scale, assembly.levels),
    )
    parts = make_parts(experiment, assembly.encoding, offset=assembly.offset, levels=assembly.levels)
    rows = _histories(experiment, assembly.split, assembly.rows)
    return replace(assembly, experiment=_with_steps(experiment, rows), histories=rows, parts=parts)


def _with_steps(experiment: Experiment, rows: Histories) -> Experiment:
    """Resolve how many steps there are."""
    episodes, have = experiment.episodes, lengths(rows)
    have = have[have >= episodes.min_rows]
    drawn = np.minimum(have, episodes.widths[-1])
    rows_per_task = float(np.average(drawn, weights=have if episodes.by_rows else None)) if len(have) else 0.0
    return replace(experiment, training=experiment.training.enough_for(len(have), rows_per_task))


def make_validate(assembly: Assembly) -> Validate:
    """Return meta_params -> the value that model selection lowers: the mean over the kinds of validation tasks."""
    if assembly.parts.loss.ranks_catalogue:
        return _validate_by_catalogue(assembly)
    measures = [
        validation_of(
            tasks,
            shots=assembly.experiment.evaluation.validation_shots,
            scale=assembly.interactions.scale,
            ranking_only=assembly.parts.loss.ranks_only,
        )
        for tasks in assembly.validation
    ]
    predict = predictor(assembly.parts.learner)

    def validate(meta_params: PyTree) -> float:
        means = lambda tasks: predict(meta_params, assembly.catalogue, tasks).mean  # noqa: E731
        return float(np.mean([measure(means) for measure in measures]))

    return validate


def _validate_by_catalogue(assembly: Assembly) -> Validate:
    evaluation, score = assembly.experiment.evaluation, catalogue_scorer(assembly.parts.learner)
    measure = catalogue_validation_of(
        assembly.validation[0],
        shots=evaluation.validation_shots,
        relevant=evaluation.threshold,
        candidates=np.isin(assembly.interactions.items["item"].to_numpy(), assembly.rows["item"].unique().to_numpy()),
    )
    return lambda meta_params: measure(lambda tasks: score(meta_params, assembly.catalogue, tasks))


def _histories(experiment: Experiment, split: Split, rows: pl.DataFrame) -> Histories:
    """Group training rows by user, in the order that episodes need."""
    order = experiment.episodes.order
    users, items, target = split.interactions.positions(rows)
    if order == "time" and "timestamp" not in rows.columns:
        raise ConfigError(
            'episodes.order="time" needs the times of ratings. Name their column by --data.timestamp, or use "random".'
        )
    timestamp = rows["timestamp"].to_numpy() if order == "time" else None
    in_target = None
    if order == "domain":
        if split.validation.domains is None:
            raise ConfigError(
                f'The {split.name} split has no two domains for episodes.order="domain". Use CrossDomain.'
            )
        in_target = (rows["domain"] == split.validation.domains[1]).to_numpy()
    num_users = split.interactions.users.height
    return histories(users, items, np.asarray(target), num_users=num_users, timestamp=timestamp, in_target=in_target)
