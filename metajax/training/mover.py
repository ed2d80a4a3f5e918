"""How a step's gradients move the meta-parameters: whole leaves by optax, large tables by the rows looked up."""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax.training.tables import LazyTables, Rows, Table, find_tables, leaf_at, localize, move_rows, with_leaf
from metajax.types import Learner, PyTree


class Mover(NamedTuple):
    """How a step's gradients move the meta-parameters.

    Attributes:
        init: meta_params -> state.
        gather: (meta_params, batch) -> (the meta-parameters that the batch reads, the batch, which rows they are).
        move: (gradients, state, meta_params, rows, step, finite) -> (meta_params, state), unmoved if not finite.
    """

    init: Callable[[PyTree], PyTree]
    gather: Callable[[PyTree, PyTree], tuple[PyTree, PyTree, Rows]]
    move: Callable[[PyTree, PyTree, PyTree, Rows, jax.Array, jax.Array], tuple[PyTree, PyTree]]


def make_mover(optimizer: optax.GradientTransformation | LazyTables, learner: Learner) -> Mover:
    """Make what moves a learner's meta-parameters, large tables by their rows with `LazyTables`."""
    if isinstance(optimizer, LazyTables):
        return _by_rows(
            optimizer, find_tables(jax.eval_shape(learner.init, jax.random.key(0)), optimizer.min_rows), learner
        )
    whole = labelled(optimizer, learner)

    def move(gradients, state, meta_params, rows, step, finite):
        del rows, step
        updates, moved = whole.update(gradients, state, meta_params)
        return _where(finite, (optax.apply_updates(meta_params, updates), moved), (meta_params, state))

    return Mover(whole.init, lambda meta_params, batch: (meta_params, batch, {}), move)


def _by_rows(optimizer: LazyTables, tables: Sequence[Table], learner: Learner) -> Mover:
    rest = labelled(optimizer.rest, learner)

    def without(tree: PyTree) -> PyTree:
        for table in tables:
            tree = with_leaf(tree, table.path, None)
        return tree

    def init(meta_params: PyTree) -> PyTree:
        rows = {"/".join(table.path): optimizer.rows.init(leaf_at(meta_params, table.path)) for table in tables}
        return {"rest": rest.init(without(meta_params)), "rows": rows}

    def move(gradients, state, meta_params, rows, step, finite):
        before = without(meta_params)
        updates, moved = rest.update(without(gradients), state["rest"], before)
        after, moved = _where(finite, (optax.apply_updates(before, updates), moved), (before, state["rest"]))
        states = {}
        for table in tables:
            name = "/".join(table.path)
            moved_table, states[name] = move_rows(
                optimizer.rows,
                leaf_at(meta_params, table.path),
                state["rows"][name],
                taken=rows[table.of, table.column],
                gradients=leaf_at(gradients, table.path),
                step=step,
                keep=finite,
            )
            after = with_leaf(after, table.path, moved_table)
        return after, {"rest": moved, "rows": states}

    return Mover(init, lambda meta_params, batch: localize(tables, meta_params, batch), move)


def _where(condition: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda one, other: jnp.where(condition, one, other), new, old)


def labelled(optimizer: optax.GradientTransformation, learner: Learner) -> optax.GradientTransformation:
    """Apply `optimizer` to the leaves that the learner labels "learn".

    "freeze" leaves never move; "write" leaves take their surrogate gradient, memory - target, whole.
    """
    choices: dict[Hashable, optax.GradientTransformation] = {
        "learn": optimizer,
        "freeze": optax.set_to_zero(),
        "write": optax.sgd(1.0),
    }
    return optax.partition(choices, learner.labels)
