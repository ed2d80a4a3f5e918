"""A kernel of what two items share: of every group of tokens a variance, times how many tokens both items have.

It is a linear model with a weight per token, of which only those matter that a user has rated: the kernel needs no
posterior over all others.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", section 2.1.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

MEMBERS = 4
"""Members of an ensemble that are summed one by one."""


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


@jax.custom_jvp
def sum_weights(weights: Float[Array, " size"], tokens: Int[Array, "items width"]) -> Float[Array, " items"]:
    """Return the sum of the weights of each item's tokens.

    Of many users who see the same items, a token's weights are read side by side: see `_of_many`.
    """
    return _sum_of_one(weights, tokens)


@sum_weights.defjvp
def _sum_weights_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Any]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """It is linear; a `custom_vmap` has no transpose."""
    (weights, tokens), (change, _) = primals, tangents
    return sum_weights(weights, tokens), _gathered(change, tokens)


def _gathered(weights: Array, tokens: Array) -> Array:
    """Say that a token is in bounds: that takes an eighth off the program that answers eight users."""
    return jnp.sum(weights.at[tokens].get(mode="promise_in_bounds", wrap_negative_indices=False), axis=1)


_sum_of_one = jax.custom_batching.custom_vmap(_gathered)


@_sum_of_one.def_vmap
def _sum_of_many(axis_size: int, in_batched: list[bool], weights: Array, tokens: Array) -> tuple[Array, bool]:
    has_weights, has_tokens = in_batched
    if has_weights and not has_tokens:
        return _of_many(weights, tokens), True
    if has_weights and axis_size <= MEMBERS:  # each member of an ensemble may be asked for many users
        return jnp.stack([_sum_of_one(*one) for one in zip(weights, tokens, strict=True)]), True
    return jax.vmap(_gathered, (0 if has_weights else None, 0 if has_tokens else None))(weights, tokens), True


def _of_many(weights: Float[Array, "users size"], tokens: Int[Array, "items width"]) -> Float[Array, "users items"]:
    """Gather the weights of all users at once: eight take a fifth of the time of one after the other.

    XLA reads a token's weights, which lie side by side, as one vector if a mask keeps tokens in bounds, in place of
    the comparisons that it adds to a gather. And only if it does not fuse the gather with what reads the sums user by
    user: it does not look into a branch, which is always taken.
    """
    room = 1 << (weights.shape[1] - 1).bit_length()
    side_by_side = jnp.pad(weights.T, [(0, room - weights.shape[1]), (0, 0)])
    nothing = jnp.zeros((tokens.shape[0], weights.shape[0]), weights.dtype)

    def summed(side_by_side: Array, tokens: Array) -> Array:
        inside = (tokens & (room - 1)).T
        each = (side_by_side.at[one].get(mode="promise_in_bounds", wrap_negative_indices=False) for one in inside)
        return sum(each, start=nothing)

    return jax.lax.cond(jnp.sum(tokens[:1]) >= 0, summed, lambda *_: nothing, side_by_side, tokens).T


def _by_column(variances: Float[Array, " groups"], widths: Sequence[int]) -> Float[Array, " width"]:
    return jnp.repeat(variances, np.asarray(widths), total_repeat_length=sum(widths))
