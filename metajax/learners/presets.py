"""Named algorithms of the gradient engine, a few lines each."""

from metajax.learners.flows import first_order as first_order_flow
from metajax.learners.flows import full
from metajax.learners.gradient import gradient_learner
from metajax.learners.objectives import without_adaptation
from metajax.learners.rules import sgd
from metajax.learners.selection import Selection, everything, paths
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
        fast=fast or everything(),
        rule=sgd(inner_step_size, learned=learn_step_size),
        flow=first_order_flow() if first_order else full(),
        inner_steps=inner_steps,
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
