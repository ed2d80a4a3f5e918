"""From an experiment to the things that run: data, tasks, model, learner."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from metajax.data import Encoding, Interactions, Split, fit_encoding
from metajax.evaluation.predict import predictor
from metajax.evaluation.protocols import lay_out
from metajax.evaluation.validate import validation_of
from metajax.experiment.experiment import Experiment
from metajax.losses import Loss
from metajax.tasks import Catalogue, Histories, TaskSet, catalogue, histories
from metajax.training.loop import Validate
from metajax.types import Learner


@dataclass(frozen=True)
class Parts:
    """What adapts and predicts, without any data: all that a saved run needs to be brought back.

    Attributes:
        learner: the meta-learner on its model.
        loss: that it was trained with.
    """

    learner: Learner
    loss: Loss


@dataclass(frozen=True)
class Assembly:
    """An experiment brought to life."""

    experiment: Experiment
    interactions: Interactions
    split: Split
    encoding: Encoding
    catalogue: Catalogue
    histories: Histories
    offset: float
    levels: tuple[float, ...]
    parts: Parts
    validation: TaskSet


def make_parts(experiment: Experiment, encoding: Encoding, *, offset: float, levels: tuple[float, ...]) -> Parts:
    """Build loss, model and learner.

    Args:
        experiment: the choices.
        encoding: what the model sees.
        offset: mean training target.
        levels: distinct training targets, ascending.
    """
    loss = experiment.loss.build(levels)
    model = experiment.model.build(encoding.columns, outputs=loss.num_outputs, offset=loss.link(offset))
    return Parts(experiment.learner.build(model, loss, encoding.columns), loss)


def assemble(experiment: Experiment) -> Assembly:
    """Read the data, split them, prove that nothing leaks, encode, and build the learner."""
    split = experiment.split.build(experiment.data.load())
    split.check()
    interactions = split.interactions  # transposed where tasks are about items
    rows = split.meta_train()
    encoding = fit_encoding(
        interactions,
        rows,
        identity=experiment.data.identity,
        features=experiment.data.features,
        min_count=experiment.data.min_count,
    )
    offset = float(rows["target"].mean())  # pyright: ignore[reportArgumentType]
    levels = tuple(float(level) for level in rows["target"].unique().sort())
    return Assembly(
        experiment=experiment,
        interactions=interactions,
        split=split,
        encoding=encoding,
        catalogue=catalogue(encoding.encode_users(interactions.users), encoding.encode_items(interactions.items)),
        histories=_histories(interactions, rows, by_time=experiment.episodes.order == "time"),
        offset=offset,
        levels=levels,
        parts=make_parts(experiment, encoding, offset=offset, levels=levels),
        validation=lay_out(split.validation, interactions),
    )


def make_validate(assembly: Assembly) -> Validate:
    """Return meta_params -> the value that model selection lowers, on held-out training users."""
    measure = validation_of(
        assembly.validation,
        shots=assembly.experiment.evaluation.validation_shots,
        scale=assembly.interactions.scale,
        ranking_only=assembly.parts.loss.name == "pairwise ranking",
    )
    predict = predictor(assembly.parts.learner)
    return lambda meta_params: measure(lambda tasks: predict(meta_params, assembly.catalogue, tasks).mean)


def _histories(interactions: Interactions, rows: pl.DataFrame, *, by_time: bool) -> Histories:
    users, items, target = interactions.positions(rows)
    timestamp = rows["timestamp"].to_numpy() if by_time and "timestamp" in rows.columns else None
    return histories(users, items, np.asarray(target), num_users=interactions.users.height, timestamp=timestamp)
