"""Embedding tables of millions of rows: a step gathers the rows that its tasks look up, and moves those alone.

The tasks' ids are rewritten to positions in a small local table, so that models and learners notice nothing, and the
gradient is that of the rows looked up. A step costs what its tasks cost, whatever the size of the table. This is
another optimiser than the dense one of its name: a row that no task of a step looks up keeps its moments as they are.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from metajax.errors import ConfigError
from metajax.types import PyTree, Task


class RowOptimizer(NamedTuple):
    """An optimiser of rows.

    Attributes:
        init: table `[rows, ...]` -> state, leaves `[rows, ...]`.
        update: (gradients, state, rows, step) -> (rows, state), all of the same rows; `step` counts from 1.
    """

    init: Callable[[jax.Array], PyTree]
    update: Callable[[jax.Array, PyTree, jax.Array, jax.Array], tuple[jax.Array, PyTree]]


class LazyTables(NamedTuple):
    """How to move tables of `min_rows` rows and more, and all other parameters.

    Attributes:
        rest: any optax transformation.
        rows: what moves a table's rows.
        min_rows: smaller tables are moved whole, with the rest.
    """

    rest: optax.GradientTransformation
    rows: RowOptimizer
    min_rows: int


class Table(NamedTuple):
    """A leaf of the meta-parameters that the ids of an encoded column look up.

    Attributes:
        path: its key path.
        of: "user" or "item".
        column: the column's name.
    """

    path: tuple[str, ...]
    of: str
    column: str


Rows = dict[tuple[str, str], Int[Array, " rows"]]
"""(side, column) -> the ids that a batch looks up, ascending, 0 first; beyond the last one the table's size."""


def lazy_adam(rate: optax.ScalarOrSchedule, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> RowOptimizer:
    """Adam on the rows of a step; the bias correction counts all steps, as in Kingma and Ba, 2015, algorithm 1."""

    def update(gradients: jax.Array, state: PyTree, rows: jax.Array, step: jax.Array) -> tuple[jax.Array, PyTree]:
        count = step.astype(rows.dtype)
        first = b1 * state["first"] + (1 - b1) * gradients
        second = b2 * state["second"] + (1 - b2) * gradients**2
        unbiased = jnp.sqrt(second / (1 - b2**count)) + eps
        return rows - _at(rate, step) * first / (1 - b1**count) / unbiased, {"first": first, "second": second}

    return RowOptimizer(lambda table: {"first": jnp.zeros_like(table), "second": jnp.zeros_like(table)}, update)


def rowwise_adagrad(rate: optax.ScalarOrSchedule, *, eps: float = 1e-8) -> RowOptimizer:
    """Adagrad with one accumulator a row, of the mean squared gradient (Mudigere et al., 2022, section 4.1.3).

    https://arxiv.org/abs/2104.05158
    """

    def update(gradients: jax.Array, state: jax.Array, rows: jax.Array, step: jax.Array) -> tuple[jax.Array, PyTree]:
        total = state + jnp.mean(gradients**2, axis=range(1, gradients.ndim))
        scale = jnp.expand_dims(jnp.sqrt(total) + eps, tuple(range(1, gradients.ndim)))
        return rows - _at(rate, step) * gradients / scale, total

    return RowOptimizer(lambda table: jnp.zeros(table.shape[0], table.dtype), update)


def _at(rate: optax.ScalarOrSchedule, step: jax.Array) -> jax.typing.ArrayLike:
    return rate(step - 1) if callable(rate) else rate


def find_tables(meta_params: PyTree, min_rows: int) -> tuple[Table, ...]:
    """Return the tables of `min_rows` rows or more: leaves at .../(user or item)/.../COLUMN/embedding.

    Raises:
        ConfigError: if there is none.
    """
    found, seen = [], []
    for key_path, leaf in jax.tree_util.tree_leaves_with_path(meta_params):
        path = tuple(str(getattr(key, "key", key)) for key in key_path)
        of = next((one for one in path if one in ("user", "item")), None)
        if path[-1] == "embedding" and of:
            seen.append(f"{'/'.join(path)} {leaf.shape}")
            if leaf.shape[0] >= min_rows:
                found.append(Table(path, of, path[-2]))
    if not found:
        raise ConfigError(
            f"No embedding table has {min_rows:,} rows or more; there are: {', '.join(seen) or 'none'}. "
            "Move tables whole (the optimizer Adam), or lower min_rows."
        )
    return tuple(found)


def localize(tables: Sequence[Table], meta_params: PyTree, batch: PyTree) -> tuple[PyTree, PyTree, Rows]:
    """Cut the tables down to the rows that a batch looks up, and rewrite the batch's ids.

    Args:
        tables: from `find_tables`.
        meta_params: with whole tables.
        batch: any tree of tasks (and other leaves, which stay).

    Returns:
        Meta-parameters with local tables, the batch with local ids, and which rows the local ones are.
    """
    rows: Rows = {}
    for table in tables:
        size = leaf_at(meta_params, table.path).shape[0]
        ids = [task_ids.ravel() for task in _tasks(batch) for task_ids in _ids(task, table)]
        if ids and (table.of, table.column) not in rows:
            every = jnp.concatenate([jnp.zeros(1, ids[0].dtype), *ids])
            most = min(every.size, size)
            rows[table.of, table.column] = jnp.unique(every, size=most, fill_value=size)
    local = meta_params
    for table in tables:
        taken = rows[table.of, table.column]
        local = with_leaf(local, table.path, leaf_at(meta_params, table.path).at[taken].get(mode="fill", fill_value=0))
    is_task = lambda part: isinstance(part, Task)  # noqa: E731
    return (
        local,
        jax.tree.map(lambda part: _renamed(part, rows) if is_task(part) else part, batch, is_leaf=is_task),
        rows,
    )


def check_localizes(
    optimizer: LazyTables, loss: Callable[[PyTree, PyTree], jax.Array], meta_params: PyTree, batch: PyTree
) -> None:
    """Raise `ConfigError` if a batch's loss depends on rows that its tasks do not look up.

    Args:
        optimizer: says which tables are cut down.
        loss: (meta_params, batch) -> scalar.
        meta_params: with whole tables.
        batch: of tasks.
    """
    tables = find_tables(meta_params, optimizer.min_rows)

    @jax.jit
    def both(meta_params: PyTree, batch: PyTree) -> tuple[jax.Array, jax.Array]:
        local, renamed, _ = localize(tables, meta_params, batch)
        return loss(meta_params, batch), loss(local, renamed)

    whole, local = map(float, both(meta_params, batch))
    if not abs(whole - local) <= 1e-5 * max(1.0, abs(whole)):
        raise ConfigError(
            f"The loss is {whole:.6g} with whole tables and {local:.6g} with the rows that the tasks look up: this "
            "learner reads other rows too. Move tables whole (the optimizer Adam)."
        )


def _tasks(batch: PyTree) -> list[Task]:
    parts = jax.tree.leaves(batch, is_leaf=lambda part: isinstance(part, Task))
    return [part for part in parts if isinstance(part, Task)]


def _ids(task: Task, table: Table) -> list[jax.Array]:
    if table.of == "user":
        return [task.user[table.column]]
    return [task.support.items[table.column], task.query.items[table.column]]


def _renamed(task: Task, rows: Rows) -> Task:
    def rename(of: str, encoded: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {
            name: jnp.searchsorted(rows[of, name], ids).astype(ids.dtype) if (of, name) in rows else ids
            for name, ids in encoded.items()
        }

    return Task(
        rename("user", task.user),
        task.support._replace(items=rename("item", task.support.items)),
        task.query._replace(items=rename("item", task.query.items)),
    )


def move_rows(
    optimizer: RowOptimizer,
    table: jax.Array,
    state: PyTree,
    *,
    taken: Int[Array, " rows"],
    gradients: jax.Array,
    step: jax.Array,
    keep: jax.Array,
) -> tuple[jax.Array, PyTree]:
    """Move the rows `taken` of a table; those without a gradient, padding among them, stay as they are.

    Args:
        optimizer: of rows.
        table: `[size, ...]`.
        state: of the table, leaves `[size, ...]`.
        taken: ids of rows; those of `size` and beyond are dropped.
        gradients: `[rows, ...]` of the rows taken.
        step: counts from 1.
        keep: nothing moves if this is False.
    """
    old = jax.tree.map(lambda leaf: leaf.at[taken].get(mode="fill", fill_value=0), (table, state))
    new = optimizer.update(gradients, old[1], old[0], step)
    touched = keep & jnp.any(gradients != 0, axis=tuple(range(1, gradients.ndim)))
    at = jnp.where(touched, taken, table.shape[0])
    return jax.tree.map(lambda leaf, moved: leaf.at[at].set(moved, mode="drop"), (table, state), new)


def leaf_at(tree: PyTree, path: Sequence[str]) -> PyTree:
    """Return the leaf at a path of nested dicts."""
    for key in path:
        tree = tree[key]
    return tree


def with_leaf(tree: PyTree, path: Sequence[str], leaf: PyTree) -> PyTree:
    """Return the tree with another leaf at the path; dicts on the way are copied."""
    if not path:
        return leaf
    return {**tree, path[0]: with_leaf(tree[path[0]], path[1:], leaf)}
