"""Choices of learner: memories of past users."""

from collections.abc import Sequence
from dataclasses import dataclass

from metajax import learners
from metajax.data.columns import Column
from metajax.losses import Loss
from metajax.models import user_width
from metajax.types import Learner, Model


@dataclass(frozen=True)
class Mamo:
    """MAMO: memories of past users give a new one a start of its own; the head then takes gradient steps."""

    num_slots: int = 3
    """Slots of each memory."""
    task_matrix: str = "head/*layers_0/kernel"
    """Parameters of the head that the task memory stands for: a path, * matches anything."""
    profile_rate: float = 0.5
    """Share of the profile memory that a write replaces."""
    user_rate: float = 0.05
    """Share of the user memory that a write replaces."""
    task_rate: float = 0.1
    """Share of the task memory that a write replaces."""
    bias_scale: float = 0.01
    """How far the user memory moves the start of the user tower."""
    inner_steps: int = 1
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.01
    """Size of a step."""
    first_order: bool = False
    """Treat inner gradients as constants."""
    adapt_user: bool = False
    """Move the user tower inside too; a user's state then holds a whole user tower."""

    attended_erase: bool = False
    """Let a write erase a slot only as far as it was attended to; as the paper writes, the task memory shrinks to 0."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.mamo(
            model,
            loss,
            user_width=user_width(model, columns),
            task_matrix=learners.paths(self.task_matrix),
            num_slots=self.num_slots,
            profile_rate=self.profile_rate,
            user_rate=self.user_rate,
            task_rate=self.task_rate,
            bias_scale=self.bias_scale,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            first_order=self.first_order,
            adapt_user=self.adapt_user,
            attended_erase=self.attended_erase,
        )
