"""Rules that turn gradients into steps: one size, one a tensor and step, one an element, or optax's own."""

import jax
import jax.numpy as jnp
import optax

from metajax.errors import ConfigError
from metajax.learners.rules.base import Rule
from metajax.types import Key, PyTree


def sgd(step_size: float, *, learned: bool = False) -> Rule:
    """Descend by `step_size` times the gradient: phi <- phi - alpha g.

    Args:
        step_size: alpha, positive.
        learned: make alpha a meta-parameter, in log space so that it stays positive.

    Raises:
        ConfigError: if `step_size` is not positive.
    """
    check_step_size(step_size)

    def init(key: Key, fast_params: PyTree) -> PyTree:
        del key, fast_params
        return {"log_step_size": jnp.log(jnp.asarray(step_size, float))} if learned else {}

    def alpha(hyper: PyTree) -> jax.Array | float:
        return jnp.exp(hyper["log_step_size"]) if learned else step_size

    def update(hyper: PyTree, rule_state: PyTree, updates: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        del fast_params
        return jax.tree.map(lambda g: -jnp.asarray(alpha(hyper), g.dtype) * g, updates), rule_state

    return Rule(init, lambda hyper, fast_params: (), update, step_size=alpha)


def per_step(step_size: float, num_steps: int) -> Rule:
    """Learn one step size for every tensor and every inner step (LSLR); signs are free.

    Args:
        step_size: of all at the start, positive.
        num_steps: K; the rule is tied to it.

    Raises:
        ConfigError: if a number is not positive.

    References:
        Antoniou et al., 2019, "How to train your MAML", section 4, "Learning per-layer per-step learning rates".
        https://arxiv.org/abs/1810.09502
    """
    check_step_size(step_size)
    if num_steps < 1:
        raise ConfigError(f"Step sizes per step need one step or more, got {num_steps=}.")

    def init(key: Key, fast_params: PyTree) -> PyTree:
        del key
        return jax.tree.map(lambda leaf: jnp.full((num_steps,), step_size, leaf.dtype), fast_params)

    def update(hyper: PyTree, rule_state: PyTree, updates: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        del fast_params
        now = jnp.minimum(rule_state, num_steps - 1)
        return jax.tree.map(lambda alpha, g: -alpha[now] * g, hyper, updates), rule_state + 1

    return Rule(init, lambda hyper, fast_params: jnp.zeros((), jnp.int32), update, num_steps=num_steps)


def per_element(low: float = 0.005, high: float = 0.1, *, num_steps: int | None = 1) -> Rule:
    """Learn one step size for every element: phi <- phi - a * g, a of theta's shape (Meta-SGD); signs are free.

    Args:
        low: every a begins uniform between this
        high: and this.
        num_steps: what the learned a holds for, one step as in the paper; None lifts the tie.

    Raises:
        ConfigError: if the bounds do not ascend.

    References:
        Li et al., 2017, "Meta-SGD: learning to learn quickly for few-shot learning", eqs. 1 and 2.
        https://arxiv.org/abs/1707.09835
    """
    if not low <= high:
        raise ConfigError(f"Step sizes begin between two bounds that ascend, got {low=}, {high=}.")

    def init(key: Key, fast_params: PyTree) -> PyTree:
        leaves, structure = jax.tree.flatten(fast_params)
        keys = jax.random.split(key, max(1, len(leaves)))
        drawn = [
            jax.random.uniform(one, leaf.shape, leaf.dtype, low, high) if low < high else jnp.full_like(leaf, low)
            for one, leaf in zip(keys, leaves, strict=False)
        ]
        return jax.tree.unflatten(structure, drawn)

    def update(hyper: PyTree, rule_state: PyTree, updates: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        del fast_params
        return jax.tree.map(lambda a, g: -a * g, hyper, updates), rule_state

    return Rule(init, lambda hyper, fast_params: (), update, num_steps=num_steps)


def from_optax(transformation: optax.GradientTransformation) -> Rule:
    """Lift an optax transformation, such as `optax.adam(0.01, eps_root=1e-8)`.

    Its moments are part of the user's state. Unless the flow is of first order, outer gradients go through it: it must
    have a derivative where a gradient is 0. Adam has none without `eps_root`, and the meta-gradient is then NaN.
    """

    def update(hyper: PyTree, rule_state: PyTree, updates: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        del hyper
        updates, rule_state = transformation.update(updates, rule_state, fast_params)
        return updates, rule_state

    return Rule(lambda key, fast_params: {}, lambda hyper, fast_params: transformation.init(fast_params), update)


def check_step_size(step_size: float) -> None:
    """Raise `ConfigError` if a step size is not positive."""
    if not step_size > 0:
        raise ConfigError(f"An inner step size must be positive, got {step_size=}. Try 0.01.")
