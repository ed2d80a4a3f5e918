"""Choices of learner: warming up the own embedding of a new item, on tasks about items."""

from collections.abc import Sequence
from dataclasses import dataclass

from metajax import learners
from metajax.data.columns import Column
from metajax.losses import Loss
from metajax.models import item_width, user_width
from metajax.types import Learner, Model


@dataclass(frozen=True)
class MetaEmbedding:
    """Meta-Embedding: a new item's own embedding is generated from its content, then descends batch by batch."""

    cold_weight: float = 0.1
    """Weight of the loss before any rating; that after a step weighs the rest of 1."""
    inner_step_size: float = 0.1
    """Size of the step on a batch."""
    batch_rows: int = 20
    """Ratings of a batch."""
    hidden_width: int = 16
    """Width of the generator's hidden layer."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.meta_embedding(
            model,
            loss,
            content_width=user_width(model, columns),
            cold_weight=self.cold_weight,
            inner_step_size=self.inner_step_size,
            batch_rows=self.batch_rows,
            hidden_width=self.hidden_width,
        )


@dataclass(frozen=True)
class Mwuf:
    """MWUF: a new item's own embedding, begun as the mean item's, is scaled by content and shifted by its raters."""

    inner_step_size: float = 0.05
    """Size of the cold embedding's step on a batch."""
    batch_rows: int = 20
    """Ratings of a batch."""
    hidden_width: int = 16
    """Width of the hidden layer of both networks."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.mwuf(
            model,
            loss,
            content_width=user_width(model, columns),
            rater_width=item_width(model, columns),
            inner_step_size=self.inner_step_size,
            batch_rows=self.batch_rows,
            hidden_width=self.hidden_width,
        )
