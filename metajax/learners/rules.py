"""HOW parameters move in the inner loop: optax-like, but the rule's own hyper-parameters can be learned.

What optax cannot do and a `Rule` must is be differentiated with respect to its hyper-parameters: they are leaves
of `meta_params`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.types import PyTree


class Rule(NamedTuple):
    """An inner-loop update rule.

    Attributes:
        init: fast_params -> hyper: the learned hyper-parameters, a part of `meta_params` (an empty dict if none).
        begin: (hyper, fast_params) -> rule_state: moments and the like, kept in the user's state.
        update: (hyper, rule_state, gradients, fast_params) -> (updates, rule_state); the updates are added.
    """

    init: Callable[[PyTree], PyTree]
    begin: Callable[[PyTree, PyTree], PyTree]
    update: Callable[[PyTree, PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]


def sgd(step_size: float, *, learned: bool = False) -> Rule:
    """Descend by `step_size` times the gradient: phi <- phi - alpha g.

    Args:
        step_size: alpha, positive.
        learned: make alpha a meta-parameter, in log space so that it stays positive.

    Raises:
        ConfigError: if `step_size` is not positive.
    """
    if not step_size > 0:
        raise ConfigError(f"An inner step size must be positive, got {step_size=}. Try 0.01.")

    def init(fast_params: PyTree) -> PyTree:
        del fast_params
        return {"log_step_size": jnp.log(jnp.asarray(step_size, float))} if learned else {}

    def update(hyper: Any, rule_state: PyTree, gradients: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        del fast_params
        alpha = jnp.exp(hyper["log_step_size"]) if learned else step_size
        return jax.tree.map(lambda g: -jnp.asarray(alpha, g.dtype) * g, gradients), rule_state

    return Rule(init, lambda hyper, fast_params: (), update)
