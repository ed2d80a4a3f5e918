"""Choices of outer optimiser. Any object whose `build(outer_steps)` gives an optax transformation can stand here."""

from dataclasses import dataclass
from typing import Literal

import optax


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

    def build(self, outer_steps: int) -> optax.GradientTransformation:
        """Make the transformation for a run of `outer_steps`."""
        rate: optax.ScalarOrSchedule = self.learning_rate
        if self.schedule == "cosine":
            rate = optax.warmup_cosine_decay_schedule(
                0.0 if self.warmup else self.learning_rate,
                self.learning_rate,
                self.warmup,
                max(outer_steps, self.warmup + 1),
                0.01 * self.learning_rate,
            )
        elif self.warmup:
            rate = optax.linear_schedule(0.0, self.learning_rate, self.warmup)
        clip = optax.clip_by_global_norm(self.clip) if self.clip else optax.identity()
        return optax.chain(clip, optax.adamw(rate, weight_decay=self.weight_decay))
