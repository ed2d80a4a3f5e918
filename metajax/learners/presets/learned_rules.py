"""Presets that learn how to step, beside where to begin."""

from metajax.learners.flows import annealed, full
from metajax.learners.flows import first_order as first_order_flow
from metajax.learners.gradient import gradient_learner
from metajax.learners.objectives import multi_step
from metajax.learners.rules import alfa_rule, chain, curvature, per_element, per_step, sgd
from metajax.learners.selection import Selection
from metajax.losses import Loss
from metajax.types import Learner, Model


def meta_sgd(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 1,
    low: float = 0.005,
    high: float = 0.1,
    any_steps: bool = False,
    fast: Selection | None = None,
) -> Learner:
    """Learn a step size for every element, with its sign: Meta-SGD, which some texts call SGL.

    phi = theta - a * grad L_S(theta), with a of theta's shape, in one step.

    Args:
        model: the recommender.
        loss: what a row costs.
        inner_steps: 1, as in the paper.
        low: every a begins uniform between this
        high: and this.
        any_steps: allow another number of steps, for which a learned a need not hold.
        fast: which parameters move; all by default.

    Raises:
        ConfigError: for another number of steps without `any_steps`.

    References:
        Li et al., 2017, "Meta-SGD: learning to learn quickly for few-shot learning", eq. 1.
        https://arxiv.org/abs/1707.09835
    """
    rule = per_element(low, high, num_steps=inner_steps if any_steps else 1)
    return gradient_learner(model, loss, fast=fast, rule=rule, inner_steps=inner_steps)


def mamlpp(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 5,
    inner_step_size: float = 0.01,
    multi_step_until: float = 0.1,
    first_order_until: float = 0.3,
    fast: Selection | None = None,
) -> Learner:
    """MAML++: step sizes per tensor and step (LSLR), the multi-step loss, and derivative-order annealing.

    Args:
        model: the recommender.
        loss: what a row costs.
        inner_steps: K; step sizes are learned for each.
        inner_step_size: of all at the start.
        multi_step_until: share of the training after which the last step alone is scored.
        first_order_until: share of the training that is first order; 0 is second order from the start.
        fast: which parameters move; all by default.

    References:
        Antoniou et al., 2019, "How to train your MAML", section 4. https://arxiv.org/abs/1810.09502
    """
    return gradient_learner(
        model,
        loss,
        fast=fast,
        rule=per_step(inner_step_size, inner_steps),
        flow=annealed(first_order_until) if first_order_until > 0 else full(),
        objective=multi_step(inner_steps, until=multi_step_until),
        inner_steps=inner_steps,
    )


def alfa(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 3,
    inner_step_size: float = 0.01,
    decay: float = 1e-3,
    fast: Selection | None = None,
) -> Learner:
    """Step sizes and weight decays that a small network makes anew at every step: ALFA.

    References:
        Baik et al., 2020, "Meta-learning with adaptive hyperparameters", eqs. 5 to 7. https://arxiv.org/abs/2011.00209
    """
    rule = alfa_rule(inner_step_size, decay=decay)
    return gradient_learner(model, loss, fast=fast, rule=rule, inner_steps=inner_steps)


def meta_curvature(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 1,
    inner_step_size: float = 0.01,
    first_order: bool = False,
    fast: Selection | None = None,
) -> Learner:
    """Transform every inner gradient by learned matrices before the step: Meta-Curvature.

    Args:
        model: the recommender.
        loss: what a row costs.
        inner_steps: of an adaptation.
        inner_step_size: of the step after the transformation.
        first_order: treat the gradients that are transformed as constants.
        fast: which parameters move; all by default. Leave embedding tables out.

    References:
        Park and Oliva, 2019, "Meta-curvature", eqs. 4 to 8. https://arxiv.org/abs/1902.03356
    """
    return gradient_learner(
        model,
        loss,
        fast=fast,
        rule=chain(curvature(), sgd(inner_step_size)),
        flow=first_order_flow() if first_order else full(),
        inner_steps=inner_steps,
    )
