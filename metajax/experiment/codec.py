"""Configurations to JSON and back, without executing anything: only parts that metajax knows come back."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from metajax.errors import ConfigError, StorageError
from metajax.evaluation.config import EvaluationConfig
from metajax.experiment import data, learners, losses, models, optimizers
from metajax.experiment.experiment import Experiment
from metajax.tasks import EpisodeConfig
from metajax.training.loop import TrainingConfig


def encode(config: Any) -> Any:
    """Write a configuration as plain JSON types; dataclasses carry their class name as "kind".

    A class of one's own that is named like one of metajax's carries its module too, so as not to be read as that one.

    Raises:
        ConfigError: for a part that is neither a dataclass nor plain.
    """
    if is_dataclass(config) and not isinstance(config, type):
        return {"kind": _kind(type(config))} | {one.name: encode(getattr(config, one.name)) for one in fields(config)}
    if isinstance(config, tuple | list):
        return [encode(one) for one in config]
    if config is None or isinstance(config, bool | int | float | str):
        return config
    raise ConfigError(
        f"The experiment holds a {type(config).__name__}, which cannot be written to its configuration. "
        "Make a part of your own a frozen dataclass, with numbers, words, tuples or such parts as fields."
    )


def decode(document: Any) -> Any:
    """Undo `encode`; what an older version had and left unset (None) may be missing now.

    Raises:
        StorageError: for a kind that metajax does not know, or a field that the kind does not have.
    """
    if isinstance(document, list):
        return tuple(decode(one) for one in document)
    if not isinstance(document, dict):
        return document
    kind = document.get("kind")
    known = _known()
    if kind not in known:
        raise StorageError(
            f"The configuration names a part {kind!r}, which metajax does not know. "
            "A part of your own is loaded by giving the run's experiment: Recommender.load(folder, experiment=...)."
        )
    has = {one.name for one in fields(known[kind])}
    values = {name: decode(value) for name, value in document.items() if name in has or value is not None}
    del values["kind"]
    if unknown := values.keys() - has:
        raise StorageError(f"{kind} has no field {sorted(unknown)[0]!r}. The run was written by another version.")
    return known[kind](**values)


def _kind(made: type) -> str:
    name = made.__name__
    return name if _known().get(name, made) is made else f"{made.__module__}.{name}"


def _known() -> dict[str, type]:
    return {made.__name__: made for made in _parts()}


def _parts() -> Iterator[type]:
    yield from (Experiment, EpisodeConfig, TrainingConfig, EvaluationConfig)
    for module in (data, learners, losses, models, optimizers):
        yield from (made for made in vars(module).values() if isinstance(made, type) and is_dataclass(made))
