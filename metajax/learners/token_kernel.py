"""A kernel of what two items share: of every group of tokens a variance, times how many tokens both items have.

It is a linear model with a weight per token, of which only those matter that a user has rated: the kernel needs no
posterior over all others.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", section 2.1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def count_shared(
    one: Int[Array, "rows width"], other: Int[Array, "columns width"], widths: Sequence[int]
) -> Float[Array, "groups rows columns"]:
    """Return how many tokens of a group two items share.

    Args:
        one: tokens, group after group; 0 is none. No two groups have a token in common.
        other: the same of other items.
        widths: of the groups: how many columns each has.
    """
    counts, start = [], 0
    for width in widths:
        left, right = one[:, start : start + width], other[:, start : start + width].T
        counts.append(_count_pairs(jnp.where(left > 0, left, -1), right))
        start += width
    return jnp.stack(counts).astype(float)


def _count_pairs(left: Int[Array, "rows width"], right: Int[Array, "width columns"]) -> Int[Array, "rows columns"]:
    """Count equal pairs, a token of `right` after another: all at once took six times as long for 128 rows."""

    def count(place: jax.Array, counted: jax.Array) -> jax.Array:
        return counted + jnp.sum(left[:, :, None] == right[place][None, None, :], axis=1, dtype=jnp.int32)

    return jax.lax.fori_loop(0, right.shape[0], count, jnp.zeros((left.shape[0], right.shape[1]), jnp.int32))


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
