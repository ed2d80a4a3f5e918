"""HOW the outer gradient comes back through the inner loop."""

from collections.abc import Callable

import jax

from metajax.types import PyTree

Flow = Callable[[PyTree], PyTree]
"""Applied to every inner gradient before the rule sees it."""


def full() -> Flow:
    """Differentiate through every inner step: second-order MAML.

    References:
        Finn et al., 2017, "Model-agnostic meta-learning", eq. 1. https://arxiv.org/abs/1703.03400
    """
    return lambda gradients: gradients


def first_order() -> Flow:
    """Treat inner *gradients* as constants, so that the meta-gradient is that of the query loss at phi_K: FOMAML.

    The stop is on the gradients and not on phi, so that whatever scales them (a learned step size) still learns.

    References:
        Finn et al., 2017, section 5.2. https://arxiv.org/abs/1703.03400
    """
    return jax.lax.stop_gradient
