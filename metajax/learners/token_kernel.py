"""A kernel of what two items share: of every group of tokens a variance, times how many tokens both items have.

It is a linear model with a weight per token, of which only those matter that a user has rated: the kernel needs no
posterior over all others.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", section 2.1.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def shared_kernel(
    variances: Float[Array, " groups"],
    one: Int[Array, "rows width"],
    other: Int[Array, "columns width"],
    widths: Sequence[int],
) -> Float[Array, "rows columns"]:
    """Return the kernel of items with other items.

    A reduction for each group, which XLA fuses with the comparison. Written out as one sum of comparisons it takes as
    long (and its gradient twice as long at widths 1, 4, 6 and 16), as a loop over tokens two to three times as long.

    Args:
        variances: of the groups.
        one: tokens, group after group; 0 is none. No two groups have a token in common.
        other: the same of other items.
        widths: of the groups: how many columns each has.
    """
    one, total, start = jnp.where(one > 0, one, -1), jnp.zeros((), variances.dtype), 0
    for variance, width in zip(variances, widths, strict=True):
        mine, its = one[:, start : start + width], other[:, start : start + width]
        same = mine[:, None, :, None] == its[None, :, None, :]
        total = total + variance * jnp.sum(same, axis=(2, 3), dtype=jnp.int32).astype(variances.dtype)
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
    """Return the sum of the weights of each item's tokens.

    A token is in bounds: to say so takes an eighth off the program that answers eight users. Gathered column by column,
    alone as fast, that program took nearly twice as long.
    """
    return jnp.sum(weights.at[tokens].get(mode="promise_in_bounds", wrap_negative_indices=False), axis=1)


def _by_column(variances: Float[Array, " groups"], widths: Sequence[int]) -> Float[Array, " width"]:
    return jnp.repeat(variances, np.asarray(widths), total_repeat_length=sum(widths))
