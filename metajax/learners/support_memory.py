"""A user's latest ratings in a state of fixed shape, for learners that read the ratings themselves when they predict.

A memory is an `Examples` whose real rows stand at the end, oldest first, with zeros before them.
"""

import jax
import jax.numpy as jnp

from metajax.types import Examples


def empty_memory(capacity: int, item_width: int, dtype: jnp.dtype) -> Examples:
    """Make a memory of no rating.

    Args:
        capacity: most ratings that it holds.
        item_width: length of an item vector.
        dtype: of all its leaves.
    """
    nothing = jnp.zeros(capacity, dtype)
    return Examples(jnp.zeros((capacity, item_width), dtype), nothing, nothing)


def remember(memory: Examples, support: Examples) -> Examples:
    """Add the real rows of the support; beyond its capacity the memory forgets the oldest.

    Adding A and then B is adding A and B, bit for bit, and padding rows leave no trace.

    Args:
        memory: `[capacity]` rows.
        support: its items are vectors `[rows, d]`.
    """
    rows = jax.tree.map(lambda old, new: jnp.concatenate([old, new]), memory, support)
    capacity = memory.mask.shape[0]
    latest = jnp.argsort(rows.mask > 0, stable=True)[rows.mask.shape[0] - capacity :]
    kept = jax.tree.map(lambda leaf: leaf[latest], rows)
    real = kept.mask > 0
    return Examples(
        jnp.where(real[:, None], kept.items, 0), jnp.where(real, kept.target, 0), real.astype(rows.mask.dtype)
    )
