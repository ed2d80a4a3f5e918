"""Choices of learner: adaptation by gradient steps whose rule is learned, or that stay near the start."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metajax import learners
from metajax.data.columns import Column
from metajax.losses import Loss
from metajax.types import Learner, Model


@dataclass(frozen=True)
class Reptile:
    """Move the start towards what adapting to all rows of a task reached; all parameters are fast."""

    inner_steps: int = 5
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.01
    """Size of a step."""
    adam: bool = True
    """Step by Adam with beta1 = 0, as the paper."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.reptile(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            adam=self.adam,
        )


@dataclass(frozen=True)
class MetaSgd:
    """Meta-SGD (SGL): a learned step size for every element, in one step."""

    inner_steps: int = 1
    """Gradient steps of an adaptation."""
    low: float = 0.005
    """Every step size begins uniform between this"""
    high: float = 0.1
    """and this."""
    any_steps: bool = False
    """Allow another number of steps than one."""
    fast: tuple[str, ...] = ("head/*",)
    """Paths of the parameters that move, such as head/* or * for all."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.meta_sgd(
            model,
            loss,
            inner_steps=self.inner_steps,
            low=self.low,
            high=self.high,
            any_steps=self.any_steps,
            fast=learners.paths(*self.fast),
        )


@dataclass(frozen=True)
class MamlPlusPlus:
    """MAML++: step sizes per tensor and step, multi-step loss, derivative-order annealing."""

    inner_steps: int = 5
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.01
    """Size of a step."""
    multi_step_until: float = 0.1
    """Share of the training after which the last step alone is scored."""
    first_order_until: float = 0.3
    """Share of the training that is first order."""
    fast: tuple[str, ...] = ("head/*",)
    """Paths of the parameters that move, such as head/* or * for all."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.mamlpp(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            multi_step_until=self.multi_step_until,
            first_order_until=self.first_order_until,
            fast=learners.paths(*self.fast),
        )


@dataclass(frozen=True)
class Alfa:
    """ALFA: a small network makes step sizes and weight decays at every step."""

    inner_steps: int = 3
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.01
    """Size of a step."""
    decay: float = 1e-3
    """Weight decay at the start."""
    fast: tuple[str, ...] = ("head/*",)
    """Paths of the parameters that move, such as head/* or * for all."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.alfa(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            decay=self.decay,
            fast=learners.paths(*self.fast),
        )


@dataclass(frozen=True)
class MetaCurvature:
    """Meta-Curvature: learned matrices transform every inner gradient."""

    inner_steps: int = 1
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.01
    """Size of a step."""
    fast: tuple[str, ...] = ("head/*",)
    """Paths of the parameters that move, such as head/* or * for all."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.meta_curvature(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            fast=learners.paths(*self.fast),
        )


@dataclass(frozen=True)
class ImplicitMaml:
    """iMAML: differentiate the minimiser of the support loss plus a proximal term."""

    inner_steps: int = 10
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.1
    """Size of a step."""
    strength: float = 1.0
    """Of the proximal term."""
    cg_steps: int = 5
    """Conjugate-gradient steps of the way back."""
    fast: tuple[str, ...] = ("head/*",)
    """Paths of the parameters that move, such as head/* or * for all."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.imaml(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            strength=self.strength,
            cg_steps=self.cg_steps,
            fast=learners.paths(*self.fast),
        )


@dataclass(frozen=True)
class Mlr:
    """Meta-learning with regularisation: a proximal inner objective whose strength is learned."""

    inner_steps: int = 5
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.05
    """Size of a step."""
    strength: float = 1.0
    """Of the proximal term, at the start."""
    per_tensor: bool = False
    """Learn a strength for every tensor."""
    gradient: Literal["full", "first_order", "implicit"] = "full"
    """How the outer gradient comes back."""
    fast: tuple[str, ...] = ("head/*",)
    """Paths of the parameters that move, such as head/* or * for all."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.mlr(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            strength=self.strength,
            per_tensor=self.per_tensor,
            gradient=self.gradient,
            fast=learners.paths(*self.fast),
        )


@dataclass(frozen=True)
class MinibatchProx:
    """Meta-MinibatchProx: the envelope form of MLR, without second derivatives."""

    inner_steps: int = 10
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.1
    """Size of a step."""
    strength: float = 1.0
    """Of the proximal term."""
    fast: tuple[str, ...] = ("head/*",)
    """Paths of the parameters that move, such as head/* or * for all."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.minibatch_prox(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            strength=self.strength,
            fast=learners.paths(*self.fast),
        )


@dataclass(frozen=True)
class Boil:
    """BOIL: adapt the body, never the output layer."""

    inner_steps: int = 1
    """Gradient steps of an adaptation."""
    inner_step_size: float = 0.01
    """Size of a step."""
    body: tuple[str, ...] = ("head/layers_*",)
    """Paths of the body; * but the output would copy embedding tables for every task."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.boil(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            body=learners.paths(*self.body),
        )


@dataclass(frozen=True)
class Cavia:
    """CAVIA: adapt a small context vector only; the model needs one, such as TwoTower(context=8)."""

    inner_steps: int = 2
    """Gradient steps of an adaptation."""
    inner_step_size: float = 1.0
    """Size of a step."""
    first_order: bool = False
    """Treat inner gradients as constants."""
    context: str = "head/context"
    """Path of the context vector."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        del columns
        return learners.cavia(
            model,
            loss,
            inner_steps=self.inner_steps,
            inner_step_size=self.inner_step_size,
            first_order=self.first_order,
            context=self.context,
        )
