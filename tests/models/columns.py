"""Columns of every kind, and encoded rows for them."""

import jax.numpy as jnp
import numpy as np

from metajax.data.columns import Column

USER = (
    Column("id", "user", "category", 4),
    Column("gender", "user", "category", 3),
    Column("interests", "user", "bag", 5),
    Column("age", "user", "number", 1),
    Column("text", "user", "vector", 3),
)
ITEM = (
    Column("id", "item", "category", 6),
    Column("decade", "item", "category", 4),
    Column("genres", "item", "bag", 5),
    Column("year", "item", "number", 1),
    Column("image", "item", "vector", 2),
)
KINDS = {
    "all": USER + ITEM,
    "empty_user": ITEM,
    "only_ids": (USER[0], ITEM[0]),
    "only_numbers": (USER[3], ITEM[3]),
}


def encoded(columns, of, rows=None, seed=0):
    """Encode `rows` random items, or one user without a rows axis; bags are two ids wide."""
    rng = np.random.default_rng(seed)
    leading = () if rows is None else (rows,)

    def values(column):
        if column.kind in ("category", "bag"):
            shape = leading + ((2,) if column.kind == "bag" else ())
            return jnp.asarray(rng.integers(0, column.size, shape), jnp.int32)
        return jnp.asarray(rng.normal(size=leading + ((column.size,) if column.kind == "vector" else ())), jnp.float32)

    return {column.name: values(column) for column in columns if column.of == of}
