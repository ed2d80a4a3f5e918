"""Choices of model: the recommender that a learner meta-trains."""

from collections.abc import Sequence
from dataclasses import dataclass

from metajax import models
from metajax.data.columns import Column
from metajax.types import Model


@dataclass(frozen=True)
class Linear:
    """A weight per feature value of user and item."""

    def build(self, columns: Sequence[Column], *, outputs: int, offset: float) -> Model:
        """Make the model."""
        return models.linear(columns, outputs=outputs, offset=offset)


@dataclass(frozen=True)
class MatrixFactorization:
    """Biases and factors, made of ids and content."""

    factors: int = 16
    """Length of a factor vector."""
    factor_scale: float = 0.03
    """Standard deviation of a factor at the start."""

    def build(self, columns: Sequence[Column], *, outputs: int, offset: float) -> Model:
        """Make the model."""
        return models.matrix_factorization(
            columns, factors=self.factors, factor_scale=self.factor_scale, outputs=outputs, offset=offset
        )


@dataclass(frozen=True)
class TwoTower:
    """Embeddings and decision layers, in MeLU's shape."""

    embedding_dim: int = 32
    """Length of the embedding of a column."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the decision layers."""
    context: int = 0
    """Length of the context vector that CAVIA adapts."""

    def build(self, columns: Sequence[Column], *, outputs: int, offset: float) -> Model:
        """Make the model."""
        return models.two_tower(
            columns,
            embedding_dim=self.embedding_dim,
            hidden=self.hidden,
            context=self.context,
            outputs=outputs,
            offset=offset,
        )


@dataclass(frozen=True)
class NeuMF:
    """Generalised matrix factorisation beside an MLP."""

    factors: int = 16
    """Length of a factor vector, in both branches."""
    hidden: tuple[int, ...] = (32, 16)
    """Widths of the MLP's layers."""

    def build(self, columns: Sequence[Column], *, outputs: int, offset: float) -> Model:
        """Make the model."""
        return models.neumf(columns, factors=self.factors, hidden=self.hidden, outputs=outputs, offset=offset)


@dataclass(frozen=True)
class FactorizationMachine:
    """All pairwise interactions of features."""

    factors: int = 16
    """Length of a factor vector."""

    def build(self, columns: Sequence[Column], *, outputs: int, offset: float) -> Model:
        """Make the model."""
        return models.factorization_machine(columns, factors=self.factors, outputs=outputs, offset=offset)


@dataclass(frozen=True)
class DeepFM:
    """A factorisation machine beside an MLP on the same factors."""

    factors: int = 16
    """Length of a factor vector."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the MLP's layers."""

    def build(self, columns: Sequence[Column], *, outputs: int, offset: float) -> Model:
        """Make the model."""
        return models.deepfm(columns, factors=self.factors, hidden=self.hidden, outputs=outputs, offset=offset)
