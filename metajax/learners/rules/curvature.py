"""Meta-Curvature: gradients transformed by learned matrices before the step.

References:
    Park and Oliva, 2019, "Meta-curvature", eqs. 4 to 8. https://arxiv.org/abs/1902.03356
"""

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.learners.rules.base import Rule
from metajax.types import Key, PyTree

WIDEST = 2048


def curvature() -> Rule:
    """Pass M_in G M_out on for a matrix, and m * g elementwise for anything else; both are the identity at the start.

    A rule that descends must follow: `chain(curvature(), sgd(0.01))`.

    Raises:
        ConfigError: when initialised, if a matrix has a side of more than 2,048: its M would not be small any more.
    """

    def init(key: Key, fast_params: PyTree) -> PyTree:
        del key
        return jax.tree.map(_identity, fast_params)

    def update(hyper: PyTree, rule_state: PyTree, updates: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        del fast_params
        return jax.tree.map(_transform, updates, hyper), rule_state

    return Rule(init, lambda hyper, fast_params: (), update)


def _identity(leaf: jax.Array) -> dict[str, jax.Array]:
    if leaf.ndim != 2:
        return {"element": jnp.ones_like(leaf)}
    if max(leaf.shape) > WIDEST:
        raise ConfigError(
            f"Meta-Curvature multiplies gradients by square matrices, and a fast parameter is {list(leaf.shape)}. "
            "Choose `fast` without embedding tables, such as paths('head/*')."
        )
    return {"into": jnp.eye(leaf.shape[0], dtype=leaf.dtype), "out": jnp.eye(leaf.shape[1], dtype=leaf.dtype)}


def _transform(gradient: jax.Array, by: dict[str, jax.Array]) -> jax.Array:
    return by["element"] * gradient if "element" in by else by["into"] @ gradient @ by["out"]
