"""MWUF: two networks warm a cold item's own embedding up, by its content and by who interacted with it.

warm = (1 + scale(content)) * cold + shift(mean of the raters' vectors). The cold embedding begins as the mean of all
own embeddings that the recommender knows, and descends on the support by the loss without the networks; the networks
learn from the loss of the query with the warm embedding, the recommender held fixed. The raters averaged are those of
the support. The paper trains the recommender first; here it learns in the same run, from the loss with the ids that it
knows and from nothing else, and no gradient passes between them.

References:
    Zhu et al., 2021, "Learning to warm up cold item embeddings for cold-start recommendation with meta scaling and
    shifting networks", algorithm 1. https://arxiv.org/abs/2105.04790
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from metajax.learners import own_embedding as own
from metajax.learners.episode import represent_task
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


class MwufState(NamedTuple):
    """One item.

    Attributes:
        user: what is known about it.
        embedding: its cold own embedding (None where the user tower has other parameters).
        rater_sum: `[rater_width]` sum of the vectors of those who rated it.
        num_raters: how many they are.
    """

    user: PyTree
    embedding: PyTree
    rater_sum: jax.Array
    num_raters: jax.Array


def mwuf(
    model: Model,
    loss: Loss,
    *,
    content_width: int,
    rater_width: int,
    inner_step_size: float = 0.05,
    batch_rows: int = 20,
    hidden_width: int = 16,
) -> Learner:
    """Build the learner, for tasks about items on transposed data.

    Args:
        model: the base recommender; its user tower has an own id, its item vectors are one array.
        loss: what a row costs.
        content_width: length of the model's user vector, which the scaling network reads with the id unknown.
        rater_width: length of the model's item vectors, whose mean the shifting network reads; 0 before any rating.
        inner_step_size: of one step of the cold embedding, on the mean loss of a batch.
        batch_rows: rows of a batch; `adapt` takes a step on each batch of its rows, in the order given.
        hidden_width: of both networks.

    Raises:
        ConfigError: if the user tower has no id, or a number is not positive.
    """
    own.check_warm_up(inner_step_size=inner_step_size, batch_rows=batch_rows, hidden_width=hidden_width)
    own.check_own_tables(model)

    def init(key: Key) -> PyTree:
        model_key, scale_key, shift_key = jax.random.split(key, 3)
        params = model.init(model_key)
        return {
            "model": params,
            "scale": own.init_network(scale_key, content_width, hidden_width, params=params),
            "shift": own.init_network(shift_key, rater_width, hidden_width, params=params),
        }

    def represent(meta_params: PyTree, items: PyTree) -> jax.Array:
        return model.embed_item(meta_params["model"]["item"], items)

    def begin(meta_params: PyTree, user: PyTree) -> MwufState:
        tables = own.own_tables(meta_params["model"])
        common = jax.tree.map(lambda table: jnp.mean(table[1:], axis=0), tables)  # row 0 is no item's
        zero = jnp.zeros((), jax.tree.leaves(common)[0].dtype)
        return MwufState(user, common, jnp.zeros(rater_width, zero.dtype), zero)

    def cold_loss(meta_params: PyTree, user: PyTree, embedding: PyTree, rows: Examples) -> jax.Array:
        params = meta_params["model"]
        return own.rows_loss(model, loss, params, own.embed_with(model, params, user, embedding), rows)

    def adapt(meta_params: PyTree, state: MwufState, support: Examples) -> MwufState:
        embedding = own.descend(
            lambda cold, batch: cold_loss(meta_params, state.user, cold, batch),
            state.embedding,
            support,
            step_size=inner_step_size,
            batch_rows=batch_rows,
        )
        raters = jnp.where(support.mask[:, None] > 0, support.items, 0)
        return MwufState(
            state.user, embedding, state.rater_sum + jnp.sum(raters, axis=0), state.num_raters + jnp.sum(support.mask)
        )

    def warm_vector(meta_params: PyTree, state: MwufState) -> PyTree:
        params = meta_params["model"]
        cold, unravel = ravel_pytree(state.embedding)
        scale = 1 + own.network(meta_params["scale"], own.embed_content(model, params, state.user))
        shift = own.network(meta_params["shift"], state.rater_sum / jnp.maximum(state.num_raters, 1))
        return own.embed_with(model, params, state.user, unravel(scale * cold + shift))

    def predict(meta_params: PyTree, state: MwufState, representations: PyTree) -> Prediction:
        scores = model.score(meta_params["model"]["head"], warm_vector(meta_params, state), representations)
        return Prediction(loss.mean(scores))

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key, progress
        task, rows = represent_task(represent, meta_params, task)
        params = meta_params["model"]
        base = own.rows_loss(model, loss, params, model.embed_user(params["user"], task.user), rows)
        fixed = meta_params | {"model": jax.lax.stop_gradient(params)}
        task = jax.lax.stop_gradient(task)
        state = adapt(fixed, begin(fixed, task.user), task.support)
        warm = own.rows_loss(model, loss, fixed["model"], warm_vector(fixed, state), task.query)
        return base + warm, {"base_loss": base, "warm_loss": warm}

    return Learner(init, represent, begin, adapt, predict, outer_loss, learn_everything, "continued")
