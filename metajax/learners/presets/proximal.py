"""Presets that stay near the start: a proximal term inside, or a start that moves towards what adapting reached."""

from typing import Literal

import optax

from metajax.learners.flows import first_order, full, implicit
from metajax.learners.gradient import gradient_learner
from metajax.learners.objectives import envelope, reptile_surrogate
from metajax.learners.rules import chain, from_optax, proximal, sgd
from metajax.learners.selection import Selection
from metajax.losses import Loss
from metajax.types import Learner, Model


def reptile(
    model: Model, loss: Loss, *, inner_steps: int = 5, inner_step_size: float = 0.01, adam: bool = True
) -> Learner:
    """Move the start towards what adapting to all rows of a task reached: theta += eps mean(phi_K - theta).

    eps is the outer optimiser's learning rate. All parameters are fast.

    Args:
        model: the recommender.
        loss: what a row costs.
        inner_steps: of an adaptation.
        inner_step_size: of a step.
        adam: step by Adam with beta1 = 0, as the paper; else by plain gradient descent.

    References:
        Nichol et al., 2018, "On first-order meta-learning algorithms", algorithm 1. https://arxiv.org/abs/1803.02999
    """
    rule = from_optax(optax.adam(inner_step_size, b1=0.0)) if adam else sgd(inner_step_size)
    return gradient_learner(model, loss, rule=rule, objective=reptile_surrogate(), inner_steps=inner_steps)


def imaml(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 10,
    inner_step_size: float = 0.1,
    strength: float = 1.0,
    cg_steps: int = 5,
    fast: Selection | None = None,
) -> Learner:
    """Adapt to the minimiser of L_S(phi) + lambda / 2 ||phi - theta||^2, and differentiate that: implicit MAML.

    References:
        Rajeswaran et al., 2019, "Meta-learning with implicit gradients", eqs. 3 and 6. https://arxiv.org/abs/1909.04630
    """
    return gradient_learner(
        model,
        loss,
        fast=fast,
        rule=chain(proximal(strength), sgd(inner_step_size)),
        flow=implicit(cg_steps),
        inner_steps=inner_steps,
    )


def mlr(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 5,
    inner_step_size: float = 0.05,
    strength: float = 1.0,
    per_tensor: bool = False,
    gradient: Literal["full", "first_order", "implicit"] = "full",
    fast: Selection | None = None,
) -> Learner:
    """Meta-learning with regularisation, read as: a proximal inner objective whose strength lambda is learned.

    phi_K approximates the minimiser of L_S(phi) + lambda / 2 ||phi - theta||^2; the outer loss is L_Q(phi_K).

    Args:
        model: the recommender.
        loss: what a row costs.
        inner_steps: of an adaptation.
        inner_step_size: of a step.
        strength: lambda at the start.
        per_tensor: learn one lambda for every tensor.
        gradient: "full", "first_order" or "implicit": how the outer gradient comes back.
        fast: which parameters move; all by default.
    """
    flows = {"full": full, "first_order": first_order, "implicit": implicit}
    return gradient_learner(
        model,
        loss,
        fast=fast,
        rule=chain(proximal(strength, learned=True, per_tensor=per_tensor), sgd(inner_step_size)),
        flow=flows[gradient](),
        inner_steps=inner_steps,
    )


def minibatch_prox(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 10,
    inner_step_size: float = 0.1,
    strength: float = 1.0,
    fast: Selection | None = None,
) -> Learner:
    """The envelope form of `mlr`: meta-gradient lambda (theta - phi*), no Hessian, adapted on all rows of a task.

    References:
        Zhou et al., 2019, "Efficient meta learning via minibatch proximal update", algorithm 1.
        https://papers.nips.cc/paper/8432-efficient-meta-learning-via-minibatch-proximal-update
    """
    return gradient_learner(
        model,
        loss,
        fast=fast,
        rule=chain(proximal(strength), sgd(inner_step_size)),
        objective=envelope(),
        inner_steps=inner_steps,
    )
