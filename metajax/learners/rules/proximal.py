"""Rules that pull parameters: towards where they began, or towards zero."""

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.learners.rules.base import Rule, no_pull
from metajax.types import Key, PyTree


def proximal(strength: float, *, learned: bool = False, per_tensor: bool = False) -> Rule:
    """Add lambda / 2 ||phi - theta||^2 to the inner objective, with theta where the user began.

    It passes g + lambda (phi - theta) on, so a rule that descends must follow: `chain(proximal(2.0), sgd(0.1))`.

    Args:
        strength: lambda, positive.
        learned: make lambda a meta-parameter, through a softplus so that it stays positive.
        per_tensor: learn one lambda for every tensor.

    Raises:
        ConfigError: if `strength` is not positive.

    References:
        Rajeswaran et al., 2019, "Meta-learning with implicit gradients", eq. 3. https://arxiv.org/abs/1909.04630
    """
    if not strength > 0:
        raise ConfigError(f"The strength of a proximal term must be positive, got {strength=}. Try 1.0.")
    raw = strength + jnp.log(-jnp.expm1(-jnp.asarray(strength, float)))  # softplus(raw) = strength

    def init(key: Key, fast_params: PyTree) -> PyTree:
        del key
        if not learned:
            return {}
        return {"raw_strength": jax.tree.map(lambda _: raw, fast_params) if per_tensor else raw}

    def strengths(hyper: PyTree, fast_params: PyTree) -> PyTree:
        if not learned:
            return jax.tree.map(lambda leaf: jnp.asarray(strength, leaf.dtype), fast_params)
        if per_tensor:
            return jax.tree.map(
                lambda one, leaf: jax.nn.softplus(one).astype(leaf.dtype), hyper["raw_strength"], fast_params
            )
        return jax.tree.map(lambda leaf: jax.nn.softplus(hyper["raw_strength"]).astype(leaf.dtype), fast_params)

    def update(hyper: PyTree, rule_state: PyTree, updates: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        pulled = jax.tree.map(
            lambda g, lam, phi, theta: g + lam * (phi - theta),
            updates, strengths(hyper, fast_params), fast_params, rule_state,
        )  # fmt: skip
        return pulled, rule_state

    def pull(hyper: PyTree, rule_state: PyTree, fast_params: PyTree) -> jax.Array:
        parts = jax.tree.map(
            lambda lam, phi, theta: 0.5 * lam * jnp.sum((phi - theta) ** 2),
            strengths(hyper, fast_params), fast_params, rule_state,
        )  # fmt: skip
        return jax.tree.reduce(jnp.add, parts)

    return Rule(init, lambda hyper, fast_params: fast_params, update, pull, is_proximal=True)


def weight_decay(rate: float) -> Rule:
    """Pass g + rate * phi on; a rule that descends must follow.

    Raises:
        ConfigError: if `rate` is negative.
    """
    if rate < 0:
        raise ConfigError(f"A weight decay must be 0 or more, got {rate=}.")

    def update(hyper: PyTree, rule_state: PyTree, updates: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        del hyper
        return jax.tree.map(lambda g, phi: g + jnp.asarray(rate, g.dtype) * phi, updates, fast_params), rule_state

    def pull(hyper: PyTree, rule_state: PyTree, fast_params: PyTree) -> jax.Array:
        squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(fast_params)]
        return 0.5 * rate * sum(squares, start=no_pull(hyper, rule_state, fast_params))

    return Rule(lambda key, fast_params: {}, lambda hyper, fast_params: (), update, pull)
