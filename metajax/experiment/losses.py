"""Choices of loss: what a row costs, inside and outside."""

from collections.abc import Sequence
from dataclasses import dataclass

from metajax import losses
from metajax.errors import ConfigError
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
        """Make the loss.

        Raises:
            ConfigError: if the distinct targets, `levels`, are not of [0, 1], or all alike.
        """
        _check_several(levels)
        if min(levels) < 0 or max(levels) > 1:
            raise ConfigError(
                f"BinaryCrossEntropy wants targets from 0 to 1, got {min(levels):g} to {max(levels):g}. "
                "Take SquaredError or Ordinal for ratings."
            )
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
        """Make the loss.

        Raises:
            ConfigError: if the distinct targets, `levels`, are all alike: then no pair differs.
        """
        _check_several(levels)
        return losses.pairwise_ranking()


def _check_several(levels: Sequence[float]) -> None:
    if len(levels) < 2:
        raise ConfigError(
            "All targets are alike, so that nothing tells what is wanted from what is not. Give rows of both kinds (1 "
            "and 0), or take CatalogueSoftmax with Uptake, which learns from what was taken up alone."
        )
