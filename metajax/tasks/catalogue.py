"""What the device knows: encoded features of every item and user, and each user's history."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from metajax.errors import TaskError
from metajax.types import Examples, PyTree, Task

Order = Literal["random", "time", "domain"]


class Catalogue(NamedTuple):
    """Encoded feature columns, by name.

    Attributes:
        users: leaves `[num_users, ...]`; an empty dict where nothing is known about users.
        items: leaves `[num_items, ...]`.
    """

    users: dict[str, Array]
    items: dict[str, Array]


class Histories(NamedTuple):
    """Every training user's rows, one user after the other (compressed sparse rows).

    Attributes:
        offsets: `[num_users + 1]`; user u owns the rows from offsets[u] up to offsets[u + 1].
        items: `[num_rows]` positions in the catalogue.
        target: `[num_rows]`.
        source_rows: `[num_users]`, how many of a user's rows, the first of them, are of the source domain; or None.
    """

    offsets: Int[Array, " boundaries"]
    items: Int[Array, " rows"]
    target: Float[Array, " rows"]
    source_rows: Int[Array, " users"] | None = None


@dataclass(frozen=True)
class StoredHistories:
    """The same on disk, memory-mapped; from `open_histories`.

    Attributes:
        offsets: int64 `[num_users + 1]`.
        items: int32 `[num_rows]`.
        target: float32 `[num_rows]`.
        source_rows: None, for they know no domains.
    """

    offsets: np.ndarray
    items: np.ndarray
    target: np.ndarray
    source_rows: None = None


def catalogue(users: dict[str, np.ndarray], items: dict[str, np.ndarray]) -> Catalogue:
    """Put encoded features on the device."""
    return Catalogue(jax.tree.map(jnp.asarray, users), jax.tree.map(jnp.asarray, items))


def histories(
    users: np.ndarray,
    items: np.ndarray,
    target: np.ndarray,
    *,
    num_users: int,
    timestamp: np.ndarray | None = None,
    in_target: np.ndarray | None = None,
    seed: int = 0,
) -> Histories:
    """Group rows by user and put them on the device.

    With `timestamp` a user's rows are ordered by time (ties keep the order given). Without, they are shuffled once from
    `seed`, so that a contiguous window of a long history is a random subset of it. With `in_target` a user's rows of
    the source domain come first.

    Args:
        users: int `[rows]` positions in the user table.
        items: int `[rows]` positions in the item table.
        target: `[rows]`.
        num_users: size of the user table; users without rows have an empty history.
        timestamp: `[rows]` or None.
        in_target: bool `[rows]`, which are of the target domain, or None.
        seed: of the shuffle.

    Raises:
        TaskError: if lengths differ or a user's position is outside the table.
    """
    if not len(users) == len(items) == len(target):
        raise TaskError(f"users, items and target must be equally long, got {len(users)}, {len(items)}, {len(target)}.")
    if len(users) and not 0 <= users.min() <= users.max() < num_users:
        raise TaskError(f"User positions must lie in 0..{num_users - 1}, got {users.min()}..{users.max()}.")
    within = np.random.default_rng(seed).permutation(len(users)) if timestamp is None else timestamp
    order = np.lexsort((within, users) if in_target is None else (within, in_target, users))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=num_users))])
    return Histories(
        jnp.asarray(offsets, jnp.int32),
        jnp.asarray(items[order], jnp.int32),
        jnp.asarray(target[order], jnp.float32),
        None if in_target is None else jnp.asarray(np.bincount(users[~in_target], minlength=num_users), jnp.int32),
    )


def lengths(histories: Histories | StoredHistories) -> np.ndarray:
    """Return `[num_users]` numbers of rows, on the host."""
    return np.diff(np.asarray(histories.offsets))


def gather(table: PyTree, positions: Int[Array, "..."]) -> PyTree:
    """Look up encoded features: leaves `[n, ...]` at `positions` of any shape."""
    return jax.tree.map(lambda column: column[positions], table)


def task_from_rows(
    catalogue: Catalogue,
    user: Int[Array, "*tasks"],
    support: tuple[Array, Array, Array],
    query: tuple[Array, Array, Array],
) -> Task:
    """Turn positions into a task (or a batch of tasks): (items, target, mask) triples become `Examples`."""
    return Task(
        user=gather(catalogue.users, user),
        support=Examples(gather(catalogue.items, support[0]), support[1], support[2]),
        query=Examples(gather(catalogue.items, query[0]), query[1], query[2]),
    )
