"""What tuning found: best.json, and a run that is trained by it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metajax import files
from metajax.errors import ConfigError, StorageError
from metajax.experiment.codec import decode, encode
from metajax.experiment.experiment import Experiment
from metajax.experiment.search import replaced

SCHEMA = "metajax-tuning"
VERSION = 1
TUNING = "tuning.json"
"""In a run's folder: the best.json that it was trained by."""

_KEPT = ("seconds", "seconds_per_trial", "value", "overrides", "space", "commit")
_ENTRIES = {"overrides": dict, "trials": dict, "seconds": float, "config": dict}


def read_tuned(path: Path) -> dict[str, Any]:
    """Read a best.json.

    Raises:
        StorageError: if it is none, or of another version; the message names what is wrong.
    """
    document = files.read_json(path, limit=1 << 24)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or document.get("version") != VERSION:
        raise StorageError(f"{path} is no result of tuning that this metajax reads. Make one with metajax tune.")
    for name, kind in _ENTRIES.items():
        if not isinstance(document.get(name), kind):
            raise StorageError(f"{path}: {name!r} must be a {kind.__name__}, got {document.get(name)!r}.")
    return document


def apply_tuned(experiment: Experiment, document: Mapping[str, Any]) -> Experiment:
    """Return the experiment with the choices that tuning found.

    Raises:
        ConfigError: if they were found for another learner, model, loss or optimiser.
    """
    for name in ("model", "loss", "learner", "optimizer"):
        tuned, here = document["config"].get(name, {}).get("kind"), encode(getattr(experiment, name))["kind"]
        if tuned != here:
            raise ConfigError(f"The tuned choices are of the {name} {tuned}, but the experiment's is {here}.")
    return replaced(experiment, {name: decode(value) for name, value in document["overrides"].items()})


def check_tuned(experiment: Experiment, document: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if the experiment has other values than tuning found."""
    if apply_tuned(experiment, document) != experiment:
        names = ", ".join(document["overrides"])
        raise ConfigError(f"A flag changes what --tuned sets ({names}). Leave out the flag or --tuned.")


def tuning_metadata(folder: Path) -> dict[str, Any]:
    """Return `{"tuning": ...}` for the report of a run that was trained by a best.json, else nothing."""
    if not (folder / TUNING).is_file():
        return {}
    document = read_tuned(folder / TUNING)
    return {
        "tuning": {"trials": sum(document["trials"].values()), "states": document["trials"]}
        | {name: document.get(name) for name in _KEPT}
    }


def as_best(tuning: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `tuning_metadata`: return the best.json that a kept report of this configuration was trained by."""
    kept = {name: tuning[name] for name in _KEPT}
    return {"schema": SCHEMA, "version": VERSION, "trials": tuning["states"], "config": dict(config), **kept}
