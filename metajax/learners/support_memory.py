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
    capacity, number = memory.mask.shape[0], jnp.arange(rows.mask.shape[0], dtype=jnp.int32)
    later = _number_of_later(rows.mask > 0)
    place = jnp.where((rows.mask > 0) & (later < capacity), capacity - 1 - later, capacity)  # else nowhere
    latest = jnp.zeros(capacity, jnp.int32).at[place].set(number, mode="drop")
    kept = jax.tree.map(lambda leaf: leaf[latest], rows)
    real = jnp.arange(capacity) >= capacity - jnp.sum(rows.mask > 0)

    def only_real(leaf: jax.Array) -> jax.Array:
        return jnp.where(real.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0)

    return Examples(jax.tree.map(only_real, kept.items), only_real(kept.target), real.astype(rows.mask.dtype))


def places(capacity: int, support_mask: jax.Array) -> jax.Array:
    """Return bool `[capacity, rows]`: where a memory keeps each row of the support that it was told last.

    A padding row has no place, nor has a row that is forgotten already.

    Args:
        capacity: of the memory.
        support_mask: `[rows]`.
    """
    real = support_mask > 0
    return (jnp.arange(capacity)[:, None] == capacity - 1 - _number_of_later(real)[None]) & real[None]


def _number_of_later(real: jax.Array) -> jax.Array:
    """Return how many real rows come after each row."""
    return jnp.sum(real) - jnp.cumsum(real)
