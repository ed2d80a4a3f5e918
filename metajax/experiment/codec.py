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


def decode(document: Any, *, own: Any = None) -> Any:
    """Undo `encode`; what an older version had and left unset (None) may be missing now.

    Args:
        document: what `encode` made.
        own: a configuration that brings the classes of one's own which the document names: what they hold is read from
            the document, not from it.

    Raises:
        StorageError: for a kind that is not known, or a field that the kind does not have.
    """
    return _decode(document, {made.__name__: made for made in _own_classes(own)}, _known())


def _decode(document: Any, own: dict[str, type], known: dict[str, type]) -> Any:
    if isinstance(document, list):
        return tuple(_decode(one, own, known) for one in document)
    if not isinstance(document, dict):
        return document
    kind = str(document.get("kind"))
    made = known.get(kind) or own.get(kind.rpartition(".")[2])
    if made is None:
        raise StorageError(
            f"The configuration names a part {kind!r}, which metajax does not know. "
            "A part of your own is loaded by giving the run's experiment: Recommender.load(folder, experiment=...)."
        )
    has = {one.name for one in fields(made)}
    values = {name: _decode(value, own, known) for name, value in document.items() if name in has or value is not None}
    del values["kind"]
    if unknown := values.keys() - has:
        raise StorageError(f"{kind} has no field {sorted(unknown)[0]!r}. The run was written by another version.")
    return made(**values)


def _own_classes(config: Any) -> Iterator[type]:
    if is_dataclass(config) and not isinstance(config, type):
        if _known().get(type(config).__name__) is not type(config):
            yield type(config)
        for one in fields(config):
            yield from _own_classes(getattr(config, one.name))


def _kind(made: type) -> str:
    name = made.__name__
    return name if _known().get(name, made) is made else f"{made.__module__}.{name}"


def _known() -> dict[str, type]:
    return {made.__name__: made for made in _parts()}


def _parts() -> Iterator[type]:
    yield from (Experiment, EpisodeConfig, TrainingConfig, EvaluationConfig)
    for module in (data, learners, losses, models, optimizers):
        yield from (made for made in vars(module).values() if isinstance(made, type) and is_dataclass(made))
