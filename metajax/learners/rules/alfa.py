"""ALFA: step size and weight decay of every tensor and step from a small network on weights and gradients.

References:
    Baik et al., 2020, "Meta-learning with adaptive hyperparameters", eqs. 5 to 7. https://arxiv.org/abs/2011.00209
"""

import jax
import jax.numpy as jnp

from metajax.learners.rules.base import Rule
from metajax.learners.rules.descent import check_step_size
from metajax.types import Key, PyTree


def alfa_rule(step_size: float, *, decay: float = 1e-3) -> Rule:
    """Phi <- (1 - b beta) phi - a alpha g, with (alpha, beta) from a two-layer network.

    The network sees the mean of every tensor's weights and gradients, 2 L numbers for L tensors, and gives alpha and
    beta for each. Its last layer begins at zero weights and ones, so that the rule begins as gradient descent with
    weight decay. a and b are learned for every tensor.

    Args:
        step_size: a at the start, positive.
        decay: b at the start.

    Raises:
        ConfigError: if `step_size` is not positive.
    """
    check_step_size(step_size)

    def init(key: Key, fast_params: PyTree) -> PyTree:
        leaves = jax.tree.leaves(fast_params)
        count, dtype = len(leaves), jnp.result_type(*leaves)
        scale = (1 / max(1, count)) ** 0.5  # He's, for 2 L inputs
        return {
            "hidden": {
                "kernel": scale * jax.random.normal(key, (2 * count, 2 * count), dtype),
                "bias": jnp.zeros(2 * count, dtype),
            },
            "output": {"kernel": jnp.zeros((2 * count, 2 * count), dtype), "bias": jnp.ones(2 * count, dtype)},
            "step_size": jnp.full(count, step_size, dtype),
            "decay": jnp.full(count, decay, dtype),
        }

    def update(hyper: PyTree, rule_state: PyTree, updates: PyTree, fast_params: PyTree) -> tuple[PyTree, PyTree]:
        gradients, structure = jax.tree.flatten(updates)
        weights = jax.tree.leaves(fast_params)
        seen = jnp.stack([jnp.mean(one) for one in (*weights, *gradients)])
        hidden = jax.nn.relu(seen @ hyper["hidden"]["kernel"] + hyper["hidden"]["bias"])
        alpha, beta = jnp.split(hidden @ hyper["output"]["kernel"] + hyper["output"]["bias"], 2)
        steps, decays = hyper["step_size"] * alpha, hyper["decay"] * beta
        moved = [-decays[i] * phi - steps[i] * g for i, (phi, g) in enumerate(zip(weights, gradients, strict=True))]
        return jax.tree.unflatten(structure, moved), rule_state

    return Rule(init, lambda hyper, fast_params: (), update)
