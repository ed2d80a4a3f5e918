"""HOW the outer gradient comes back through the inner loop.

The envelope and Reptile need no way back: they are objectives (`metajax.learners.objectives`).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.learners.differentiation import forward_over_reverse_gradient, implicit_solve
from metajax.types import PyTree

InnerLoss = Callable[[PyTree, PyTree], jax.Array]
"""(fast parameters, all else that it depends on) -> scalar."""
Cut = Callable[[PyTree, jax.Array, int, jax.Array], PyTree]
"""(inner gradients, step, inner_steps, progress) -> the same numbers, constants where nothing is to come back."""


class Flow(NamedTuple):
    """How the outer gradient comes back.

    Attributes:
        cut: which inner gradients are constants.
        gradient: inner loss -> its gradient by the fast parameters, differentiable again.
        keep: applied to an inner step: what of it is kept for the way back.
        solve: (solver, inner objective) -> a solver of the same values with the gradient of this flow. A solver is
            (fast parameters, all else) -> adapted fast parameters.
        is_implicit: whether the way back is through the minimiser, not through the steps.
        is_uniform: whether the way back is autodiff's own, and goes through all steps or through none.
    """

    cut: Cut = lambda gradients, step, inner_steps, progress: gradients
    gradient: Callable[[InnerLoss], Callable[[PyTree, PyTree], PyTree]] = jax.grad
    keep: Callable[[Callable], Callable] = lambda step: step
    solve: Callable[[Callable, InnerLoss], Callable] = lambda solver, objective: solver
    is_implicit: bool = False
    is_uniform: bool = False


def full(*, remat: bool = False, forward_over_reverse: bool = False) -> Flow:
    """Differentiate through every inner step: second-order MAML.

    Args:
        remat: keep parameters only and compute every step again on the way back; the same numbers, less memory where
            activations are larger than parameters.
        forward_over_reverse: take Hessian-vector products as the directional derivative of the gradient; the same
            numbers without storing the inner gradient's own way back.

    References:
        Finn et al., 2017, "Model-agnostic meta-learning", eq. 1. https://arxiv.org/abs/1703.03400
    """
    return Flow(
        gradient=forward_over_reverse_gradient if forward_over_reverse else jax.grad,
        keep=partial(jax.checkpoint, prevent_cse=False) if remat else (lambda step: step),  # a scan's body has no CSE
        is_uniform=not (remat or forward_over_reverse),
    )


def first_order() -> Flow:
    """Treat inner *gradients* as constants, so that the meta-gradient is that of the query loss at phi_K: FOMAML.

    The stop is on the gradients and not on phi, so that whatever scales them (a learned step size) still learns.

    References:
        Finn et al., 2017, section 5.2. https://arxiv.org/abs/1703.03400
    """
    return Flow(cut=lambda gradients, step, inner_steps, progress: jax.lax.stop_gradient(gradients), is_uniform=True)


def truncated(steps: int) -> Flow:
    """Differentiate through the gradients of the last `steps` inner steps; those before are constants.

    With 0 it is `first_order()`, with all inner steps `full()`.

    Raises:
        ConfigError: if `steps` is negative.

    References:
        Shaban et al., 2019, "Truncated back-propagation for bilevel optimization". https://arxiv.org/abs/1810.10667
    """
    if steps < 0:
        raise ConfigError(f"A truncated flow keeps 0 steps or more, got {steps=}.")
    return Flow(cut=lambda gradients, step, inner_steps, progress: _stop_if(step < inner_steps - steps, gradients))


def annealed(until: float = 0.3) -> Flow:
    """First order while progress is below `until`, then full: MAML++'s derivative-order annealing.

    Both branches cost a full backward pass: under `jit` progress is not known beforehand.

    Raises:
        ConfigError: if `until` is not in [0, 1].

    References:
        Antoniou et al., 2019, section 4, "Derivative-order annealing". https://arxiv.org/abs/1810.09502
    """
    if not 0 <= until <= 1:
        raise ConfigError(f"Annealing ends at a share of the training, in [0, 1], got {until=}.")
    return Flow(cut=lambda gradients, step, inner_steps, progress: _stop_if(progress < until, gradients))


def implicit(cg_steps: int = 5) -> Flow:
    """Differentiate the minimiser of the inner objective, whatever steps led there: iMAML.

    With J = L_S + the rule's proximal pull and v = (d^2 J / d phi^2)^-1 grad_phi L_Q by conjugate gradients, whatever
    else J depends on (where the user began, the parameters outside the fast part, lambda) gets - d/d. [v . grad_phi J].
    Step sizes get no gradient: they do not change the minimiser.

    Args:
        cg_steps: of the conjugate gradients.

    Raises:
        ConfigError: if `cg_steps` is less than 1.

    References:
        Rajeswaran et al., 2019, "Meta-learning with implicit gradients", eqs. 6 and 7.
        https://arxiv.org/abs/1909.04630
    """
    if cg_steps < 1:
        raise ConfigError(f"Conjugate gradients take one step or more, got {cg_steps=}.")
    return Flow(solve=lambda solver, objective: implicit_solve(solver, objective, cg_steps), is_implicit=True)


def _stop_if(condition: jax.Array, gradients: PyTree) -> PyTree:
    return jax.tree.map(lambda g: jnp.where(condition, jax.lax.stop_gradient(g), g), gradients)
