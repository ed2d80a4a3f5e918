"""Where the traced programs of a run are kept for the next process that runs the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from metajax.errors import MetajaxError
from metajax.experiment.assembly import Assembly
from metajax.experiment.codec import decode, encode
from metajax.training import kept


def trace_places(assembly: Assembly, folder: Path | None) -> Callable[[str], Path] | None:
    """Return name of a program -> where its trace is kept; None where none can be.

    A run's programs are made of its choices and of what its parts are built from (`make_parts`), and of no code but
    metajax's own: with a part of somebody else's nothing is kept, since that code may have changed.

    Args:
        assembly: to be trained.
        folder: of kept programs; None keeps none.
    """
    if folder is None:
        return None
    experiment = replace(assembly.experiment, name="", seeds=(0,))  # which no program depends on
    try:
        choices = encode(experiment)
        if decode(json.loads(json.dumps(choices))) != experiment:
            return None
    except MetajaxError:
        return None
    built_from = [choices, repr(assembly.encoding.columns), repr(assembly.offset), repr(assembly.levels)]
    return partial(kept.place, folder, json.dumps(built_from))
