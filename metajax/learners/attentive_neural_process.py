"""Attentive neural process: what a user thinks of an item is read off the rated items that are like it.

e_i = h(item_i, y_i - score_i)                                    for each row of the support
r(v) = sum_i a_i e_i + a_0 e_0,   a = softmax(q(v)^T k(item_i) / sqrt(width of a head), prior logit)
(m, s) = g(user, v, r(v));   y ~ N(score + m, s^2)

e_0 is learned, and so is its logit: it is all that there is before any rating, and what is left where no rated item is
like v. Where all items are alike to q and k this is the conditional neural process with its learned prior. The score is
the shared model's: the process is on what that leaves unexplained. Of the paper's two paths this is the deterministic
one; its latent z is left out, so that the likelihood is exact and the prediction needs no sampling.

The state holds the ratings themselves, the latest `max_support` of them, so that one at a time is exactly all at once.

References:
    Kim et al., 2019, "Attentive neural processes", section 3, with multi-head attention of Vaswani et al., 2017.
    https://arxiv.org/abs/1901.05761
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.errors import ConfigError
from metajax.learners.dense import dense, float_type, init_dense, side_by_side
from metajax.learners.episode import represent_task
from metajax.learners.gaussian import bounded_variance, check_neural_process, negative_log_likelihood
from metajax.learners.support_memory import empty_memory, remember
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


class AttentiveState(NamedTuple):
    """One user: the vector that the shared model sees, and the latest ratings, `[max_support]` rows."""

    user: jax.Array
    ratings: Examples


def attentive_neural_process(
    model: Model,
    loss: Loss | None = None,
    *,
    user_width: int,
    item_width: int,
    width: int = 64,
    num_heads: int = 4,
    self_attention: bool = False,
    max_support: int = 100,
    min_deviation: float = 0.1,
) -> Learner:
    """Build the learner.

    Args:
        model: the towers are read by encoder and decoder, its score is the mean before the decoder's correction.
        loss: squared error, which the likelihood of a Gaussian generalises; nothing else.
        user_width: length of the model's user vector.
        item_width: length of an item vector.
        width: of r, of keys, and of the hidden layers (two in the encoder and two in the decoder).
        num_heads: heads of the attention, which share the width out.
        self_attention: let the encoded ratings look at each other first.
        max_support: ratings that a state holds; of more, the latest given.
        min_deviation: least predictive standard deviation, in units of the target; positive.

    Raises:
        ConfigError: if the loss is another, a number is not positive, or the heads do not divide the width.
    """
    sizes = {"width": width, "num_heads": num_heads, "max_support": max_support}
    check_neural_process(loss, **sizes, min_deviation=min_deviation)
    if width % num_heads:
        raise ConfigError(f"Heads share the width out, got {width=} for {num_heads=}. Choose a multiple.")

    def init(key: Key) -> PyTree:
        keys = iter(jax.random.split(key, 7))
        params = model.init(next(keys))
        dtype = float_type(params)
        decoder = (user_width + item_width + width, width, width, 2)
        learned = {
            "model": params,
            "encoder": init_dense(next(keys), (item_width + 1, width, width, width), dtype),
            "decoder": init_dense(next(keys), decoder, dtype, output_scale=0.01),
            "cross": _init_attention(next(keys), item_width, width, num_heads, dtype),
        }
        return learned | (
            {"self": _init_attention(next(keys), width, width, num_heads, dtype)} if self_attention else {}
        )

    def represent(meta_params: PyTree, items: PyTree) -> jax.Array:
        return model.embed_item(meta_params["model"]["item"], items)

    def start(meta_params: PyTree, user: PyTree, capacity: int) -> AttentiveState:
        dtype = float_type(meta_params["encoder"])
        user_vector = model.embed_user(meta_params["model"]["user"], user)
        return AttentiveState(user_vector, empty_memory(capacity, jax.ShapeDtypeStruct((item_width,), dtype), dtype))

    def begin(meta_params: PyTree, user: PyTree) -> AttentiveState:
        return start(meta_params, user, max_support)

    def adapt(meta_params: PyTree, state: AttentiveState, support: Examples) -> AttentiveState:
        del meta_params
        return state._replace(ratings=remember(state.ratings, support))

    def encode(meta_params: PyTree, state: AttentiveState) -> jax.Array:
        """Return `[max_support, width]` e_i; of rows that are padding, nothing that is read."""
        items, target, mask = state.ratings
        residual = target - model.score(meta_params["model"]["head"], state.user, items)
        encodings = dense(meta_params["encoder"], side_by_side(len(residual), items, residual[:, None]))
        if self_attention:
            encodings = encodings + attend(meta_params["self"], encodings, encodings, encodings, mask)
        return encodings

    def predict(meta_params: PyTree, state: AttentiveState, representations: PyTree) -> Prediction:
        ratings = state.ratings
        encodings = encode(meta_params, state)
        about_user = attend(meta_params["cross"], representations, ratings.items, encodings, ratings.mask)
        score = model.score(meta_params["model"]["head"], state.user, representations)
        outputs = dense(meta_params["decoder"], side_by_side(len(score), state.user, representations, about_user))
        return Prediction(score + outputs[:, 0], bounded_variance(outputs[:, 1], min_deviation))

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key, progress
        task, _ = represent_task(represent, meta_params, task)
        capacity = min(max_support, task.support.mask.shape[0])  # a task's rows and no more: the same, but faster
        state = adapt(meta_params, start(meta_params, task.user, capacity), task.support)
        return negative_log_likelihood(predict(meta_params, state, task.query.items), task.query), {}

    return Learner(init, represent, begin, adapt, predict, outer_loss, learn_everything, "exact")


def attend(
    params: PyTree,
    asked: Float[Array, "queries d"],
    rows: Float[Array, "rows d"],
    values: Float[Array, "rows width"],
    mask: Float[Array, " rows"],
) -> Float[Array, "queries width"]:
    """Average the values of real rows and the learned prior value, by the likeness of each row to what is asked.

    Args:
        params: "query" and "key", `[d, width]` linear maps without bias; "prior_logit" `[heads]`; "prior_value"
            `[width]`.
        asked: what to attend for.
        rows: what can be attended to.
        values: one a row; each head averages its own part of the width.
        mask: 1.0 for a real row, 0.0 for padding, of which nothing is read.
    """
    heads, width = params["prior_logit"].shape[0], values.shape[1]
    split = lambda array: array.reshape(-1, heads, width // heads)  # noqa: E731
    logits = jnp.einsum("qhw,rhw->qhr", split(asked @ params["query"]), split(rows @ params["key"]))
    logits = jnp.where((mask > 0)[None, None, :], logits / (width // heads) ** 0.5, -jnp.inf)
    prior = jnp.broadcast_to(params["prior_logit"][None, :, None], (len(asked), heads, 1))
    weights = jax.nn.softmax(jnp.concatenate([prior, logits], axis=2), axis=2)
    all_values = jnp.concatenate([params["prior_value"][None, :], values])
    return jnp.einsum("qhr,rhw->qhw", weights, split(all_values)).reshape(-1, width)


def _init_attention(key: Key, inputs: int, width: int, num_heads: int, dtype: jnp.dtype) -> PyTree:
    query_key, key_key = jax.random.split(key)
    return {
        "query": jax.random.normal(query_key, (inputs, width), dtype) / inputs**0.5,
        "key": jax.random.normal(key_key, (inputs, width), dtype) / inputs**0.5,
        "prior_logit": jnp.zeros(num_heads, dtype),
        "prior_value": jnp.zeros(width, dtype),
    }
