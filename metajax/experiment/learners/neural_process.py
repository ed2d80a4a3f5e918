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


@dataclass(frozen=True)
class TaNP:
    """TaNP: a neural process whose decoder is modulated by which kinds of user a new one is like."""

    width: int = 64
    """Width of the task's embedding and of hidden layers."""
    latent_width: int = 32
    """Width of the latent z."""
    num_clusters: int = 10
    """Kinds of user that are told apart."""
    clustering_weight: float = 0.1
    """Weight of the clustering loss."""
    min_deviation: float = 0.1
    """Least predictive standard deviation, in units of the rating."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.tanp(
            model,
            loss,
            user_width=user_width(model, columns),
            item_width=item_width(model, columns),
            width=self.width,
            latent_width=self.latent_width,
            num_clusters=self.num_clusters,
            clustering_weight=self.clustering_weight,
            min_deviation=self.min_deviation,
        )


@dataclass(frozen=True)
class AttentiveNeuralProcess:
    """Attentive neural process: each item attends to the rated items that are like it."""

    width: int = 64
    """Width of representations, keys and hidden layers."""
    num_heads: int = 4
    """Heads of the attention, which share the width out."""
    self_attention: bool = False
    """Let the encoded ratings look at each other first."""
    max_support: int = 100
    """Ratings that a user's state holds; of more, the latest given."""
    min_deviation: float = 0.1
    """Least predictive standard deviation, in units of the rating."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.attentive_neural_process(
            model,
            loss,
            user_width=user_width(model, columns),
            item_width=item_width(model, columns),
            width=self.width,
            num_heads=self.num_heads,
            self_attention=self.self_attention,
            max_support=self.max_support,
            min_deviation=self.min_deviation,
        )
