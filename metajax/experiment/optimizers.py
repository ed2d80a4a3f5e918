"""Choices of outer optimiser. Any object whose `build(outer_steps)` gives an optax transformation can stand here."""

from dataclasses import dataclass
from typing import Literal

import optax

from metajax.training.tables import LazyTables, lazy_adam, rowwise_adagrad


@dataclass(frozen=True)
class Adam:
    """Adam or AdamW, with warm-up, a schedule and clipping."""

    learning_rate: float = 1e-3
    """Largest learning rate."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """"cosine" falls to a hundredth of the learning rate over the run."""
    warmup: int = 0
    """Steps in which the learning rate rises from 0."""
    clip: float = 10.0
    """Largest global norm of the meta-gradient; 0 does not clip."""
    weight_decay: float = 0.0
    """Decoupled weight decay; 0 is plain Adam."""

    def build(self, outer_steps: int) -> optax.GradientTransformation | LazyTables:
        """Make the transformation for a run of `outer_steps`."""
        return self.transformation(outer_steps)

    def transformation(self, outer_steps: int) -> optax.GradientTransformation:
        """Make the transformation of whole leaves."""
        clip = optax.clip_by_global_norm(self.clip) if self.clip else optax.identity()
        return optax.chain(clip, optax.adamw(self.rate(outer_steps), weight_decay=self.weight_decay))

    def rate(self, outer_steps: int) -> optax.ScalarOrSchedule:
        """Return the learning rate, or step -> learning rate."""
        if self.schedule == "cosine":
            return optax.warmup_cosine_decay_schedule(
                0.0 if self.warmup else self.learning_rate,
                self.learning_rate,
                self.warmup,
                max(outer_steps, self.warmup + 1),
                0.01 * self.learning_rate,
            )
        return optax.linear_schedule(0.0, self.learning_rate, self.warmup) if self.warmup else self.learning_rate


@dataclass(frozen=True)
class LazyAdam(Adam):
    """Adam, but embedding tables of many rows are moved by the rows that a step looks up.

    For catalogues of 100,000 items and more, where moving whole tables costs more than all else: with a million items
    and 32 tasks a step takes a 25th of the time (`make bench`). Tables are neither clipped nor decayed.
    """

    rows: Literal["adam", "adagrad"] = "adam"
    """How a row moves: by Adam, with two moments a weight, or by Adagrad, with one number a row."""
    min_rows: int = 10_000
    """Tables of so many rows and more are moved by rows, smaller ones whole."""

    def build(self, outer_steps: int) -> LazyTables:
        """Make the optimisers of tables and of the rest for a run of `outer_steps`."""
        of_rows = lazy_adam if self.rows == "adam" else rowwise_adagrad
        return LazyTables(self.transformation(outer_steps), of_rows(self.rate(outer_steps)), self.min_rows)
