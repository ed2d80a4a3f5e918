"""A user's latest ratings in a state of fixed shape, for learners that read the ratings themselves when they predict.

A memory is an `Examples` whose real rows stand at the end, oldest first, with zeros before them.
"""

import jax
import jax.numpy as jnp

from metajax.types import Examples, PyTree


def empty_memory(capacity: int, item: PyTree, dtype: jnp.dtype) -> Examples:
    """Make a memory of no rating.

    Args:
        capacity: most ratings that it holds.
        item: of what is kept of one item, arrays or their shapes and types.
        dtype: of ratings and mask.
    """
    nothing = jnp.zeros(capacity, dtype)
    return Examples(jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), item), nothing, nothing)


def remember(memory: Examples, support: Examples) -> Examples:
    """Add the real rows of the support; beyond its capacity the memory forgets the oldest.

    Adding A and then B is adding A and B, bit for bit, and padding rows leave no trace.

    Args:
        memory: `[capacity]` rows.
        support: what is kept of its items, leaves `[rows, ...]`.
    """
    rows = jax.tree.map(lambda old, new: jnp.concatenate([old, new]), memory, support)
    capacity = memory.mask.shape[0]
    latest = jnp.argsort(rows.mask > 0, stable=True)[rows.mask.shape[0] - capacity :]
    kept = jax.tree.map(lambda leaf: leaf[latest], rows)
    real = kept.mask > 0

    def only_real(leaf: jax.Array) -> jax.Array:
        return jnp.where(real.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0)

    return Examples(jax.tree.map(only_real, kept.items), only_real(kept.target), real.astype(rows.mask.dtype))


def forget(memory_mask: jax.Array, support_mask: jax.Array, row: jax.Array) -> jax.Array:
    """Return the mask of a memory that was last told a support, without one of its rows; nothing else is moved.

    Args:
        memory_mask: `[capacity]`.
        support_mask: `[rows]` of what it was told last.
        row: of the support; a padding row, or one that is forgotten already, changes nothing.
    """
    later = jnp.sum((jnp.arange(support_mask.shape[0]) > row) & (support_mask > 0))
    place = jnp.arange(memory_mask.shape[0]) == memory_mask.shape[0] - 1 - later
    return jnp.where(place & (support_mask[row] > 0), 0, memory_mask)
