"""A kernel of what two items share: of every group of tokens a variance, times how many tokens both items have.

It is a linear model with a weight per token, of which only those matter that a user has rated: the kernel needs no
posterior over all others.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", section 2.1.
"""

from collections.abc import Sequence
from itertools import product

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def shared_kernel(
    variances: Float[Array, " groups"],
    one: Int[Array, "rows width"],
    other: Int[Array, "columns width"],
    widths: Sequence[int],
) -> Float[Array, "rows columns"]:
    """Return the kernel of items with other items; one sum, for the counts of each group apart take five times as long.

    Args:
        variances: of the groups.
        one: tokens, group after group; 0 is none. No two groups have a token in common.
        other: the same of other items.
        widths: of the groups: how many columns each has.
    """
    one, total, start = jnp.where(one > 0, one, -1), jnp.zeros((), variances.dtype), 0
    for variance, width in zip(variances, widths, strict=True):
        pairs = product(range(start, start + width), repeat=2)
        each = ((one[:, here, None] == other[None, :, there]).astype(jnp.int32) for here, there in pairs)
        count = sum(each, start=jnp.zeros((), jnp.int32))
        total = total + variance * count.astype(variances.dtype)
        start += width
    return total


def sum_own(
    variances: Float[Array, " groups"], tokens: Int[Array, "rows width"], widths: Sequence[int]
) -> Float[Array, " rows"]:
    """Return the kernel of each item with itself; no item has a token twice."""
    return (tokens > 0).astype(variances.dtype) @ _by_column(variances, widths)


def token_weights(
    variances: Float[Array, " groups"],
    tokens: Int[Array, "rows width"],
    dual: Float[Array, " rows"],
    *,
    widths: Sequence[int],
    size: int,
) -> Float[Array, " size"]:
    """Return the weight of every token: sums of them are the kernel with `tokens`, times `dual`.

    Args:
        variances: of the groups.
        tokens: of the rated items.
        dual: of the rated items.
        widths: of the groups.
        size: number of tokens, 0 included.
    """
    each = dual[:, None] * _by_column(variances, widths)[None, :]
    return jnp.zeros(size, each.dtype).at[tokens].add(each).at[0].set(0)


def sum_weights(weights: Float[Array, " size"], tokens: Int[Array, "items width"]) -> Float[Array, " items"]:
    """Return the sum of the weights of each item's tokens."""
    return jnp.sum(weights[tokens], axis=1)


def _by_column(variances: Float[Array, " groups"], widths: Sequence[int]) -> Float[Array, " width"]:
    return jnp.repeat(variances, np.asarray(widths), total_repeat_length=sum(widths))
