"""Where the traced programs of a learner are kept for the next process that runs the same."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from metajax.data.columns import Column
from metajax.errors import MetajaxError
from metajax.experiment.codec import decode, encode
from metajax.experiment.experiment import Experiment
from metajax.training import kept


def trace_places(
    experiment: Experiment, columns: Sequence[Column], offset: float, levels: Sequence[float], folder: Path | None
) -> Callable[[str], Path] | None:
    """Return name of a program, with its shapes -> where its trace is kept; None where none can be.

    Programs are made of the choices and of what the parts are built from (`make_parts`), parameters being handed over,
    and of no code but metajax's own: with a part of somebody else's nothing is kept, since that code may have changed.

    Args:
        experiment: the resolved choices.
        columns: what the model sees.
        offset: mean training target.
        levels: distinct training targets.
        folder: of kept programs; None keeps none.
    """
    if folder is None:
        return None
    nameless = replace(experiment, name="any", seeds=(0,))  # which no program depends on
    try:
        choices = encode(nameless)
        if decode(json.loads(json.dumps(choices))) != nameless:
            return None
    except MetajaxError:
        return None
    return partial(kept.place, folder, json.dumps([choices, repr(tuple(columns)), repr(offset), repr(tuple(levels))]))
