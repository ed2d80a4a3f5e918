"""Choices of learner: adaptation by gradient steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from metajax import learners
from metajax.data.columns import Column
from metajax.losses import Loss
from metajax.types import Learner, Model


@dataclass(frozen=True)
class Maml:
    """MAML on all parameters; FOMAML with `first_order`."""

    inner_steps: int = 1
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.01
    """Size of a step."""
    first_order: bool = False
    """Treat inner gradients as constants."""
    learn_step_size: bool = False
    """Learn the step size."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.maml(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            first_order=self.first_order,
            learn_step_size=self.learn_step_size,
        )


@dataclass(frozen=True)
class Anil:
    """MAML on the head only: the towers are shared."""

    inner_steps: int = 1
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.01
    """Size of a step."""
    first_order: bool = False
    """Treat inner gradients as constants."""
    learn_step_size: bool = False
    """Learn the step size."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.anil(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            first_order=self.first_order,
            learn_step_size=self.learn_step_size,
        )


@dataclass(frozen=True)
class Melu:
    """MeLU: adapt the decision layers."""

    inner_steps: int = 1
    """Gradient steps of an adaptation."""
    inner_step_size: float = 5e-3
    """Size of a step. The published 5e-6 is a no-op."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.melu(model, loss, inner_steps=self.inner_steps, inner_step_size=self.inner_step_size)


@dataclass(frozen=True)
class Joint:
    """No meta-learning: the model trained on all users alike; fine-tuned to a new one if `inner_steps` is not 0."""

    inner_steps: int = 0
    """Gradient steps on the head at test time."""
    inner_step_size: float = 0.01
    """Size of a step."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.joint(model, loss, inner_steps=self.inner_steps, inner_step_size=self.inner_step_size)
