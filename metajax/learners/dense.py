"""Dense ReLU networks of a learner's own, as plain arrays: what encodes ratings and decodes predictions."""

from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.rows import dense_layer
from metajax.types import Key, PyTree


def init_dense(key: Key, widths: Sequence[int], dtype: jnp.dtype, *, output_scale: float = 1.0) -> PyTree:
    """Draw layers "layers_0", "layers_1" and so on, by He's rule (a standard deviation of sqrt(2 / inputs)).

    Args:
        key: consumed.
        widths: of the input, of every hidden layer, and of the output.
        dtype: of the parameters.
        output_scale: factor of the last layer's kernel; a small one starts the output close to 0.
    """
    keys = jax.random.split(key, len(widths) - 1)
    scales = [1.0] * (len(widths) - 2) + [output_scale]
    return {
        f"layers_{number}": {
            "kernel": scale * (2 / inputs) ** 0.5 * jax.random.normal(one, (inputs, outputs), dtype),
            "bias": jnp.zeros(outputs, dtype),
        }
        for number, (one, scale, (inputs, outputs)) in enumerate(zip(keys, scales, pairwise(widths), strict=True))
    }


def layer(params: PyTree, inputs: Float[Array, "*rows d"]) -> Float[Array, "*rows width"]:
    """Return x W + b."""
    if inputs.ndim == 2:
        return dense_layer(inputs, params["kernel"], params["bias"])
    outputs = inputs @ params["kernel"]
    return outputs + jnp.broadcast_to(params["bias"], outputs.shape)


def dense(params: PyTree, inputs: Float[Array, "*rows d"]) -> Float[Array, "*rows width"]:
    """Apply all layers, with a ReLU between each two."""
    for number in range(len(params) - 1):
        inputs = jax.nn.relu(layer(params[f"layers_{number}"], inputs))
    return layer(params[f"layers_{len(params) - 1}"], inputs)


def side_by_side(rows: int, *parts: Array) -> Float[Array, "rows width"]:
    """Concatenate per row: `[rows, d]` as they are, `[d]` the same for every row, `[rows, 1]` for a number a row."""
    return jnp.concatenate([jnp.broadcast_to(part, (rows, part.shape[-1])) for part in _as_rows(parts)], axis=1)


def _as_rows(parts: Sequence[Array]) -> list[Array]:
    return [part[None, :] if part.ndim == 1 else part for part in parts]


def float_type(params: PyTree) -> jnp.dtype:
    """Return the dtype of a model's parameters, which those of a learner share."""
    return jax.tree.leaves(params)[0].dtype
