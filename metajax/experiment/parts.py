"""From an experiment to what adapts and predicts, without its data and without what judges it."""

from dataclasses import dataclass

from metajax.data import Encoding
from metajax.experiment.experiment import Experiment
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
    model = experiment.model.build(encoding.columns, outputs=loss.num_outputs, offset=loss.link(offset))
    return Parts(experiment.learner.build(model, loss, encoding.columns), loss)
