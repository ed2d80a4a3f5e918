"""The own embedding of what a task is about, kept in the state and put in the place of the model's table of ids.

Warm-up learners give a new item (the "user" of its task) rows that the table does not have. Their base recommender is
trained beside them, by the loss with the ids that the table has.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from metajax.errors import ConfigError
from metajax.learners.selection import join, paths, split
from metajax.losses import Loss
from metajax.types import Examples, Key, Model, PyTree

OWN = paths("user/id/*", "user/*/id/*")
"""The tables `[ids, d]` of the user tower's own id; row 0 is for whoever is unknown."""


def check_own_tables(model: Model) -> None:
    """Raise `ConfigError` if the user tower has no id."""
    if not jax.tree.leaves(own_tables(jax.eval_shape(model.init, jax.random.key(0)))):
        raise ConfigError(
            "A warm-up learner replaces the own embedding of what a task is about, but the model's user tower has no "
            "id. Give it one: identity=('user', 'item') in the data's choices."
        )


def own_tables(params: PyTree) -> PyTree:
    """Return the tables of own ids, with None for all other parameters of the user tower."""
    return split({"user": params["user"]}, OWN)[0]


def unravel_like_row(params: PyTree) -> Callable[[jax.Array], PyTree]:
    """Return `[d]` -> the rows that one id has in all tables."""
    return ravel_pytree(jax.tree.map(lambda table: table[0], own_tables(params)))[1]


def embed_with(model: Model, params: PyTree, user: PyTree, embedding: PyTree) -> PyTree:
    """Return the user vector with `embedding` as own rows, whatever id `user` has."""
    rest = split({"user": params["user"]}, OWN)[1]
    tables = jax.tree.map(lambda row: jnp.stack([jnp.zeros_like(row), row]), embedding)
    return model.embed_user(join(tables, rest)["user"], {**user, "id": jnp.ones((), jnp.int32)})


def embed_content(model: Model, params: PyTree, user: PyTree) -> jax.Array:
    """Return the user vector `[content_width]` of an unknown id: content alone."""
    return model.embed_user(params["user"], {**user, "id": jnp.zeros((), jnp.int32)})


def rows_loss(model: Model, loss: Loss, params: PyTree, user_vector: PyTree, rows: Examples) -> jax.Array:
    """Return the mean loss over the rows, whose items are represented."""
    return loss.value(model.score(params["head"], user_vector, rows.items), rows.target, rows.mask)


def descend(
    loss_of: Callable[[PyTree, Examples], jax.Array],
    embedding: PyTree,
    support: Examples,
    *,
    step_size: float,
    batch_rows: int,
) -> PyTree:
    """Take one gradient step on each batch of `batch_rows` rows, in the order given; no rows move nothing.

    Args:
        loss_of: (embedding, a batch) -> mean loss, with a gradient of zeros where all is padding.
        embedding: where to start.
        support: real rows first.
        step_size: of the mean loss's gradient.
        batch_rows: rows of a batch.
    """
    rows = support.mask.shape[0]
    size = max(1, min(batch_rows, rows))
    count = -(-rows // size)

    def batched(leaf: jax.Array) -> jax.Array:
        padded = jnp.pad(leaf, [(0, count * size - rows)] + [(0, 0)] * (leaf.ndim - 1))
        return padded.reshape(count, size, *leaf.shape[1:])

    def step(embedding: PyTree, batch: Examples) -> tuple[PyTree, None]:
        gradients = jax.grad(loss_of)(embedding, batch)
        return jax.tree.map(lambda row, slope: row - step_size * slope, embedding, gradients), None

    return jax.lax.scan(step, embedding, jax.tree.map(batched, support))[0]


def init_network(key: Key, num_inputs: int, hidden_width: int, *, params: PyTree) -> PyTree:
    """Make a network of one hidden layer whose outputs are as many as an id has own values, zeros at the start.

    Args:
        key: consumed.
        num_inputs: width of the input.
        hidden_width: width of the hidden layer.
        params: the model's, whose own rows the outputs belong to.
    """
    row, _ = ravel_pytree(jax.tree.map(lambda table: jnp.zeros_like(table[0]), own_tables(params)))
    kernel = jax.random.normal(key, (num_inputs, hidden_width), row.dtype) / num_inputs**0.5
    return {
        "hidden": {"kernel": kernel, "bias": jnp.zeros(hidden_width, row.dtype)},
        "output": {"kernel": jnp.zeros((hidden_width, row.shape[0]), row.dtype), "bias": row},
    }


def network(params: PyTree, inputs: jax.Array) -> jax.Array:
    """Return W_2 tanh(W_1 x + b_1) + b_2."""
    hidden = jnp.tanh(inputs @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return hidden @ params["output"]["kernel"] + params["output"]["bias"]


def check_warm_up(*, inner_step_size: float, batch_rows: int, hidden_width: int) -> None:
    """Raise `ConfigError` for a hyper-parameter that is not positive."""
    sizes = {"inner_step_size": inner_step_size, "batch_rows": batch_rows, "hidden_width": hidden_width}
    for name, value in sizes.items():
        if not value > 0:
            raise ConfigError(f"{name} of a warm-up learner must be positive, got {value}.")
