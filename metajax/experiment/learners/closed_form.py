"""Choices of learner: adaptation in closed form."""

from collections.abc import Sequence
from dataclasses import dataclass

from metajax import learners
from metajax.data.columns import Column
from metajax.losses import Loss
from metajax.models import item_width
from metajax.types import Learner, Model


@dataclass(frozen=True)
class Ridge:
    """A ridge regression per user on the item vectors, on top of the model's own prediction; closed form."""

    penalty: float = 4.0
    """Initial penalty of the item vector's weights; learned."""
    bias_penalty: float = 3.0
    """Initial penalty of the user's bias; learned."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        width = item_width(model, columns)
        return learners.ridge(model, loss, item_width=width, penalty=self.penalty, bias_penalty=self.bias_penalty)
