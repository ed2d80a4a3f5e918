"""Choices of learner: adaptation by one pass of a network that reads the ratings."""

from collections.abc import Sequence
from dataclasses import dataclass

from metajax import learners
from metajax.data.columns import Column
from metajax.losses import Loss
from metajax.models import item_width, user_width
from metajax.types import Learner, Model


@dataclass(frozen=True)
class ConditionalNeuralProcess:
    """CNP: a network encodes each rating, another decodes their mean into predictions with a variance."""

    width: int = 64
    """Width of the user's representation and of hidden layers."""
    min_deviation: float = 0.1
    """Least predictive standard deviation, in units of the rating."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.cnp(
            model,
            loss,
            user_width=user_width(model, columns),
            item_width=item_width(model, columns),
            width=self.width,
            min_deviation=self.min_deviation,
        )
