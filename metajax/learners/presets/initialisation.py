"""Presets that meta-learn where to begin: MAML and what it became by moving another part of the parameters."""

import jax

from metajax.learners.flows import first_order as first_order_flow
from metajax.learners.flows import full
from metajax.learners.gradient import gradient_learner
from metajax.learners.objectives import without_adaptation
from metajax.learners.rules import sgd
from metajax.learners.selection import Selection, all_but, paths, split
from metajax.losses import Loss
from metajax.types import Learner, Model


def maml(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 1,
    inner_step_size: float = 0.01,
    first_order: bool = False,
    learn_step_size: bool = False,
    fast: Selection | None = None,
) -> Learner:
    """Meta-learn an initialisation from which a few gradient steps fit a user: MAML, or FOMAML if `first_order`.

    phi_0 = theta; phi_{k+1} = phi_k - alpha grad L_S(phi_k); the outer loss is L_Q(phi_K).

    References:
        Finn et al., 2017, "Model-agnostic meta-learning", algorithm 2. https://arxiv.org/abs/1703.03400
    """
    return gradient_learner(
        model,
        loss,
        fast=fast,
        rule=sgd(inner_step_size, learned=learn_step_size),
        flow=first_order_flow() if first_order else full(),
        inner_steps=inner_steps,
    )


def fomaml(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 1,
    inner_step_size: float = 0.01,
    learn_step_size: bool = False,
    fast: Selection | None = None,
) -> Learner:
    """MAML whose inner gradients are constants to the outer loop: first-order MAML.

    References:
        Finn et al., 2017, section 5.2. https://arxiv.org/abs/1703.03400
    """
    return maml(
        model,
        loss,
        inner_steps=inner_steps,
        inner_step_size=inner_step_size,
        first_order=True,
        learn_step_size=learn_step_size,
        fast=fast,
    )


def anil(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 1,
    inner_step_size: float = 0.01,
    first_order: bool = False,
    learn_step_size: bool = False,
) -> Learner:
    """Adapt the head only ("almost no inner loop"): the towers are shared and represent each item once.

    References:
        Raghu et al., 2020, "Rapid learning or feature reuse?". https://arxiv.org/abs/1909.09157
    """
    return maml(
        model,
        loss,
        inner_steps=inner_steps,
        inner_step_size=inner_step_size,
        first_order=first_order,
        learn_step_size=learn_step_size,
        fast=paths("head/*"),
    )


def melu(model: Model, loss: Loss, *, inner_steps: int = 1, inner_step_size: float = 5e-3) -> Learner:
    """Adapt the decision layers (all dense layers of the head), never the embeddings: MeLU.

    The published inner step size, 5e-6, is a no-op: the loss moves in its fourth digit. Hence 5e-3 here.

    References:
        Lee et al., 2019, "MeLU: meta-learned user preference estimator for cold-start recommendation",
        algorithm 1. https://arxiv.org/abs/1908.00413
    """
    return anil(model, loss, inner_steps=inner_steps, inner_step_size=inner_step_size)


def boil(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 1,
    inner_step_size: float = 0.01,
    body: Selection | None = None,
) -> Learner:
    """Adapt the body and never the output layer ("body only update in the inner loop"): ANIL turned round.

    Args:
        model: the recommender.
        loss: what a row costs.
        inner_steps: of an adaptation.
        inner_step_size: of the body; the output layer's is 0.
        body: by default all but "head/output/*", or all but the head where there is no such layer.

    References:
        Oh et al., 2021, "BOIL: towards representation change for few-shot learning". https://arxiv.org/abs/2008.08882
    """
    if body is None:
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        has_output = bool(jax.tree.leaves(split(shapes, paths("head/output/*"))[0]))
        body = all_but("head/output/*" if has_output else "head/*")
    return maml(model, loss, inner_steps=inner_steps, inner_step_size=inner_step_size, fast=body)


def cavia(
    model: Model,
    loss: Loss,
    *,
    inner_steps: int = 2,
    inner_step_size: float = 1.0,
    first_order: bool = False,
    context: str = "head/context",
) -> Learner:
    """Adapt a small context vector only, which the model concatenates to an input and which begins at zero.

    Args:
        model: with a parameter at the path `context` that is zero at the start, such as `two_tower(..., context=8)`.
        loss: what a row costs.
        inner_steps: of an adaptation.
        inner_step_size: 1.0 in the paper; a context has no scale of its own.
        first_order: treat inner gradients as constants.
        context: path of the context; the outer loop never moves it.

    Raises:
        ConfigError: if the model has no such parameter.

    References:
        Zintgraf et al., 2019, "Fast context adaptation via meta-learning", eqs. 6 and 7.
        https://arxiv.org/abs/1810.03642
    """
    return gradient_learner(
        model,
        loss,
        fast=paths(context),
        rule=sgd(inner_step_size),
        flow=first_order_flow() if first_order else full(),
        inner_steps=inner_steps,
        frozen=paths(context),
    )


def joint(model: Model, loss: Loss, *, inner_steps: int = 0, inner_step_size: float = 0.01) -> Learner:
    """Train jointly on all users with no meta-learning: the honest control.

    The outer loss is the mean loss over all rows of a task with the shared parameters. With `inner_steps` = 0 a new
    user gets the shared model; with more, its head is fine-tuned on the support at test time only.
    """
    return gradient_learner(
        model,
        loss,
        fast=paths("head/*"),
        rule=sgd(inner_step_size),
        objective=without_adaptation(),
        inner_steps=inner_steps,
    )
