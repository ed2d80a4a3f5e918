"""Choices of loss: what a row costs, inside and outside."""

from collections.abc import Sequence
from dataclasses import dataclass

from metajax import losses
from metajax.losses import Loss


@dataclass(frozen=True)
class SquaredError:
    """Regress on the target."""

    def build(self, levels: Sequence[float]) -> Loss:
        """Make the loss; `levels` (the distinct targets) are not needed."""
        del levels
        return losses.squared_error()


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Classify targets 1.0 and 0.0."""

    def build(self, levels: Sequence[float]) -> Loss:
        """Make the loss; `levels` (the distinct targets) are not needed."""
        del levels
        return losses.binary_cross_entropy()


@dataclass(frozen=True)
class SoftmaxCrossEntropy:
    """Classify into the distinct targets, with a score for each."""

    def build(self, levels: Sequence[float]) -> Loss:
        """Make the loss for these levels."""
        return losses.softmax_cross_entropy(tuple(levels))


@dataclass(frozen=True)
class Ordinal:
    """Classify into the ordered distinct targets, with one score and thresholds between them."""

    def build(self, levels: Sequence[float]) -> Loss:
        """Make the loss for these levels."""
        return losses.ordinal(tuple(levels))


@dataclass(frozen=True)
class CatalogueSoftmax:
    """Rank what is taken up next in the whole catalogue; for the learners Uptake and Autoencoder."""

    def build(self, levels: Sequence[float]) -> Loss:
        """Make the loss; `levels` (the distinct targets) are not needed."""
        del levels
        return losses.catalogue_softmax()


@dataclass(frozen=True)
class PairwiseRanking:
    """Rank a user's rows by target (BPR); scores have no unit, so that only ranking metrics are reported."""

    def build(self, levels: Sequence[float]) -> Loss:
        """Make the loss; `levels` (the distinct targets) are not needed."""
        del levels
        return losses.pairwise_ranking()
