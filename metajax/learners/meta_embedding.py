"""Meta-Embedding: a generator makes a new item's own embedding of its content, such that a gradient step improves it.

phi_0 = g(content); phi_1 = phi_0 - a grad L_S(phi_0); g is trained by alpha L_S(phi_0) + (1 - alpha) L_Q(phi_1), with
the base recommender held fixed: it learns from the loss with the ids that it knows, and from nothing else. The paper
trains the recommender first and g afterwards; here both learn in one run, and no gradient passes between them.

References:
    Pan et al., 2019, "Warm up cold-start advertisements: improving CTR predictions via learning to learn ID
    embeddings", algorithm 1. https://arxiv.org/abs/1904.11547
"""

from typing import NamedTuple

import jax

from metajax.errors import ConfigError
from metajax.learners import own_embedding as own
from metajax.learners.episode import represent_task
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


class MetaEmbeddingState(NamedTuple):
    """One item: what is known about it, and its own embedding (None where the user tower has other parameters)."""

    user: PyTree
    embedding: PyTree


def meta_embedding(
    model: Model,
    loss: Loss,
    *,
    content_width: int,
    cold_weight: float = 0.1,
    inner_step_size: float = 0.1,
    batch_rows: int = 20,
    hidden_width: int = 16,
) -> Learner:
    """Build the learner, for tasks about items on transposed data.

    Args:
        model: the base recommender; its user tower has an own id.
        loss: what a row costs.
        content_width: length of the model's user vector, which g reads with the id unknown.
        cold_weight: alpha, between 0 and 1.
        inner_step_size: a, of one step on the mean loss of a batch.
        batch_rows: rows of a batch; `adapt` takes a step on each batch of its rows, in the order given.
        hidden_width: of g.

    Raises:
        ConfigError: if the user tower has no id, alpha is outside 0..1, or another number is not positive.
    """
    own.check_warm_up(inner_step_size=inner_step_size, batch_rows=batch_rows, hidden_width=hidden_width)
    if not 0 <= cold_weight <= 1:
        raise ConfigError(f"cold_weight is alpha of two losses that add up to one: 0 to 1, got {cold_weight}.")
    own.check_own_tables(model)

    def init(key: Key) -> PyTree:
        model_key, generator_key = jax.random.split(key)
        params = model.init(model_key)
        generator = own.init_network(generator_key, content_width, hidden_width, params=params)
        return {"model": params, "generator": generator}

    def represent(meta_params: PyTree, items: PyTree) -> PyTree:
        return model.embed_item(meta_params["model"]["item"], items)

    def begin(meta_params: PyTree, user: PyTree) -> MetaEmbeddingState:
        params = meta_params["model"]
        generated = own.network(meta_params["generator"], own.embed_content(model, params, user))
        return MetaEmbeddingState(user, own.unravel_like_row(params)(generated))

    def loss_of(meta_params: PyTree, user: PyTree, embedding: PyTree, rows: Examples) -> jax.Array:
        params = meta_params["model"]
        return own.rows_loss(model, loss, params, own.embed_with(model, params, user, embedding), rows)

    def adapt(meta_params: PyTree, state: MetaEmbeddingState, support: Examples) -> MetaEmbeddingState:
        embedding = own.descend(
            lambda phi, batch: loss_of(meta_params, state.user, phi, batch),
            state.embedding,
            support,
            step_size=inner_step_size,
            batch_rows=batch_rows,
        )
        return state._replace(embedding=embedding)

    def predict(meta_params: PyTree, state: MetaEmbeddingState, representations: PyTree) -> Prediction:
        params = meta_params["model"]
        user_vector = own.embed_with(model, params, state.user, state.embedding)
        return Prediction(loss.mean(model.score(params["head"], user_vector, representations)))

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key, progress
        task, rows = represent_task(represent, meta_params, task)
        params = meta_params["model"]
        base = own.rows_loss(model, loss, params, model.embed_user(params["user"], task.user), rows)
        fixed = meta_params | {"model": jax.lax.stop_gradient(params)}
        task = jax.lax.stop_gradient(task)
        state = begin(fixed, task.user)
        cold = loss_of(fixed, state.user, state.embedding, task.support)
        warm = loss_of(fixed, state.user, adapt(fixed, state, task.support).embedding, task.query)
        total = base + cold_weight * cold + (1 - cold_weight) * warm
        return total, {"base_loss": base, "cold_loss": cold, "warm_loss": warm}

    return Learner(init, represent, begin, adapt, predict, outer_loss, learn_everything, "continued")
