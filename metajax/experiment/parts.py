"""From an experiment to what adapts and predicts, without its data and without what judges it."""

from dataclasses import dataclass

from metajax.data import Encoding
from metajax.experiment.experiment import Experiment
from metajax.learners import in_units
from metajax.losses import Loss
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


def make_parts(experiment: Experiment, encoding: Encoding, *, offset: float, levels: tuple[float, ...]) -> Parts:
    """Build loss, model and learner.

    Args:
        experiment: the choices.
        encoding: what the model sees.
        offset: mean training target.
        levels: distinct training targets, ascending.
    """
    loss = experiment.loss.build(levels)
    unit = (experiment.data.unit or 1.0) if loss.regresses else 1.0
    model = experiment.model.build(encoding.columns, outputs=loss.num_outputs, offset=loss.link(offset / unit))
    if unit != 1:
        loss = experiment.loss.build(tuple(level / unit for level in levels))
    learner = experiment.learner.build(model, loss, encoding.columns)
    return Parts(learner if unit == 1 else in_units(learner, unit), loss)
