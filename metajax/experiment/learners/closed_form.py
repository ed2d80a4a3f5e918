"""Choices of learner: adaptation in closed form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class BayesianLinear:
    """A Bayesian linear regression per user on the item vectors: exact, streaming, with a variance."""

    prior_variance: float = 0.25
    """Of a weight at the start, in units of the noise variance; learned for every feature."""
    bias_variance: float = 0.33
    """Of the user's bias at the start; learned."""
    noise: float = 0.9
    """Standard deviation of a rating at the start; learned."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.bayesian_linear(
            model,
            loss,
            item_width=item_width(model, columns),
            prior_variance=self.prior_variance,
            bias_variance=self.bias_variance,
            noise=self.noise,
        )


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process per user on the item vectors: deep kernel transfer."""

    kernel: Literal["linear", "rbf"] = "rbf"
    """Of two item vectors."""
    scale: float = 0.25
    """Of the kernel at the start, in units of the noise variance; learned."""
    bias_variance: float = 0.33
    """Of the user's bias at the start; learned."""
    length: float = 1.0
    """Of the RBF kernel at the start; learned."""
    noise: float = 0.9
    """Standard deviation of a rating at the start; learned."""
    max_support: int = 100
    """Ratings that a state holds; beyond, the oldest are forgotten."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.gaussian_process(
            model,
            loss,
            item_width=item_width(model, columns),
            kernel=self.kernel,
            scale=self.scale,
            bias_variance=self.bias_variance,
            length=self.length,
            noise=self.noise,
            max_support=self.max_support,
        )


@dataclass(frozen=True)
class Prototypes:
    """Prototypes of what a user likes and does not (protonet), for implicit feedback."""

    relevant: float = 0.5
    """Targets from here on are liked: 0.5 for targets of 1.0 and 0.0, such as 4.0 for stars."""
    strength: float = 2.0
    """Ratings that a learned prototype counts for, at the start; learned."""
    scale: float = 0.1
    """Of distances at the start; learned."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.prototypes(
            model,
            loss,
            item_width=item_width(model, columns),
            relevant=self.relevant,
            strength=self.strength,
            scale=self.scale,
        )
