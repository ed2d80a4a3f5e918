"""Heads: from a user's vector and the items' vectors to scores.

Every head adds `offset`, a plain number and no parameter, to its scores, and starts close to it: with the mean
training target (through the loss's `link`) a model's first predictions are sensible and learning goes to what differs.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from metajax.errors import ConfigError
from metajax.rows import dense_layer

SMALL = nnx.initializers.normal(0.01)
"""Starts the last layer close to zero, but not at it: at zero nothing below would get a gradient."""
FOR_RELU = nnx.initializers.he_normal()


class ConcatenatedLinear(nnx.Module):
    """A dense layer on concat(user vector, item vector), with the user's part computed once: W_u u + W_i v + b.

    `kernel` `[user_width + item_width, width]` and `bias` `[width]` are those of the dense layer.
    """

    def __init__(
        self,
        user_width: int,
        item_width: int,
        width: int,
        *,
        kernel_init: Callable[..., Array] = FOR_RELU,
        rngs: nnx.Rngs,
    ):
        """Make the layer; `rngs` is consumed."""
        self.user_width = user_width
        self.kernel = nnx.Param(kernel_init(rngs.params(), (user_width + item_width, width), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))

    def __call__(self, user: Float[Array, " user_width"], items: Float[Array, "rows d"]) -> Float[Array, "rows width"]:
        """Apply the layer to one user and each row."""
        of_user, of_items = jnp.split(self.kernel[...], [self.user_width])
        return dense_layer(items, of_items, self.bias[...]) + (user @ of_user)[None, :]


class Dense(nnx.Linear):
    """A dense layer with a bias, on the rows of one user or, where users share it, of all of a batch at once."""

    def __call__(self, inputs: Float[Array, "rows d"]) -> Float[Array, "rows width"]:
        """Apply the layer to each row."""
        if inputs.ndim != 2 or self.bias is None:
            return super().__call__(inputs)
        return dense_layer(inputs, self.kernel[...], self.bias[...])


class DecisionLayers(nnx.Module):
    """ReLU layers on concat(user vector, item vector): "layers_0", "layers_1" and so on."""

    def __init__(self, user_width: int, item_width: int, hidden: tuple[int, ...], *, rngs: nnx.Rngs):
        """Make the layers, of the widths `hidden` (one or more); `rngs` is consumed."""
        self.depth = len(hidden)
        self.layers_0 = ConcatenatedLinear(user_width, item_width, hidden[0], rngs=rngs)
        for number in range(1, self.depth):
            dense = Dense(hidden[number - 1], hidden[number], kernel_init=FOR_RELU, rngs=rngs)
            setattr(self, f"layers_{number}", dense)

    def hidden(self, user: Float[Array, " user_width"], items: Float[Array, "rows d"]) -> Float[Array, "rows width"]:
        """Return the last hidden layer of each row."""
        hidden = jax.nn.relu(self.layers_0(user, items))
        for number in range(1, self.depth):
            hidden = jax.nn.relu(getattr(self, f"layers_{number}")(hidden))
        return hidden


class FactorHead(nnx.Module):
    """The inner product of factor models: offset + bias + b_u + b_i + (p_u + p)^T q_i.

    A user's vector is [b_u, p_u] and an item's [b_i, q_i]. `bias` and `factors` (p, the factors of a user of whom
    nothing is known) belong to the head, so that a learner which moves the head alone moves a user's bias and factors.
    """

    def __init__(self, factors: int, *, scale: float, offset: float, rngs: nnx.Rngs):
        """Make the head; `scale` is the standard deviation of p at the start, `rngs` is consumed."""
        self.offset = offset
        self.bias = nnx.Param(jnp.zeros((), jnp.float32))
        self.factors = nnx.Param(scale * jax.random.normal(rngs.params(), (factors,), jnp.float32))

    def __call__(self, user: Float[Array, " d"], items: Float[Array, "rows d"]) -> Float[Array, " rows"]:
        """Score each row."""
        of_items = jnp.concatenate([jnp.ones_like(user[:1]), user[1:] + self.factors[...]])
        return self.offset + self.bias[...] + user[0] + items @ of_items


def squeeze_single(scores: Float[Array, "rows outputs"]) -> Float[Array, "..."]:
    """Return `[rows]` where there is one output, else `[rows, outputs]`."""
    return scores[:, 0] if scores.shape[1] == 1 else scores


def check_sizes(
    *, embedding_dim: int = 1, factors: int = 1, hidden: tuple[int, ...] = (1,), outputs: int = 1, offset: float = 0.0
) -> None:
    """Check the hyper-parameters that models share.

    Raises:
        ConfigError: if a size is not positive, there is no hidden layer, or an offset is given for several outputs.
    """
    for name, size in {"embedding_dim": embedding_dim, "factors": factors, "outputs": outputs}.items():
        if size < 1:
            raise ConfigError(f"{name} must be 1 or more, got {size}.")
    if not hidden or min(hidden) < 1:
        raise ConfigError(
            f"hidden must name one or more widths, each 1 or more, got {hidden=}. Without layers use `linear`."
        )
    if outputs > 1 and offset != 0:
        raise ConfigError(
            f"An offset belongs to a single output, got {offset=} and {outputs=}. "
            "Added to the scores of all levels it changes nothing: leave it 0."
        )


def check_single_output(model: str, outputs: int) -> None:
    """Raise `ConfigError` if a model whose head is an inner product is asked for several outputs."""
    if outputs != 1:
        raise ConfigError(
            f"{model} gives one score per row, got {outputs=}. "
            "Take a loss of one output, such as squared error or ordinal, or two_tower, neumf or linear."
        )
