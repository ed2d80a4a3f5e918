"""A linear denoising autoencoder of who rated what: a user is the sum of what each rating says, whatever it is about.

score = score(user, item) + v^T z,   z = (sum over the rated items j of e_j + (rating_j - m) r_j) / sqrt(count + kappa)

v is the item's vector. It is trained to name the items of the query among all of the catalogue but the support, by a
softmax over it, with a share of the support dropped: it predicts what is taken up next, not how it is liked. The sum is
the state, so that one rating at a time is exactly all at once.

References:
    Liang et al., 2018, "Variational autoencoders for collaborative filtering" (Mult-DAE), eq. 2 and section 2.2.4.
    https://arxiv.org/abs/1802.05814
    Koren, 2008, "Factorization meets the neighborhood" (SVD++), eq. 15. https://doi.org/10.1145/1401890.1401944
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.errors import ConfigError
from metajax.learners.next_item import check_next, loss_of_next, squares
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


class TakenItem(NamedTuple):
    """Items as the learner sees them: `[rows, d]` vectors, and `[rows, 2 d]` what rating them says, e and r."""

    vectors: jax.Array
    says: jax.Array


class TakenState(NamedTuple):
    """One user: the vector that the shared model sees, the sum `[d]` of what ratings say, and their number."""

    user: PyTree
    total: Float[Array, " d"]
    count: Float[Array, ""]


def autoencoder(
    model: Model,
    loss: Loss | None = None,
    *,
    encoder: Model,
    item_width: int,
    catalogue: PyTree,
    position: Callable[[PyTree], jax.Array],
    middle: float = 0.0,
    dropout: float = 0.5,
    strength: float = 3.0,
    deviation: float = 0.3,
    training_rows: int = 0,
) -> Learner:
    """Build the learner.

    Args:
        model: its item vectors `[rows, d]` are v, its score is added.
        loss: the softmax over the catalogue, and nothing else.
        encoder: its item vectors `[rows, 2 d]` are e and r.
        item_width: d.
        catalogue: encoded items, leaves `[items, ...]`: all that training knows.
        position: encoded items -> int32 `[rows]` their places in `catalogue`; below 0 where they are not in it.
        middle: m, a rating that says nothing but that it was given.
        dropout: share of the support that training leaves out, in [0, 1).
        strength: kappa at the start; positive.
        deviation: of the prior of every factor of v, e and r, a Gaussian around 0; an item's own terms, which say how
            often it is taken, have none. Positive.
        training_rows: number of ratings that the priors are weighed against; 0 for no priors.

    Raises:
        ConfigError: if a number is out of range, or the loss is another.
    """
    if not (0 <= dropout < 1 and strength > 0 and deviation > 0):
        raise ConfigError(
            "An autoencoder wants dropout in [0, 1), a positive strength and a positive deviation, got "
            f"{dropout=}, {strength=}, {deviation=}."
        )
    check_next(loss, "An autoencoder")

    def init(key: Key) -> PyTree:
        one, other = jax.random.split(key)
        return {
            "model": model.init(one),
            "encoder": {"item": encoder.init(other)["item"]},
            "log_strength": jnp.log(jnp.asarray(strength, float)),
        }

    def represent(meta_params: PyTree, items: PyTree) -> TakenItem:
        vectors = model.embed_item(meta_params["model"]["item"], items)
        return TakenItem(vectors, encoder.embed_item(meta_params["encoder"]["item"], items))

    def begin(meta_params: PyTree, user: PyTree) -> TakenState:
        nothing = jnp.zeros(item_width, meta_params["log_strength"].dtype)
        return TakenState(model.embed_user(meta_params["model"]["user"], user), nothing, nothing[0])

    def adapt(meta_params: PyTree, state: TakenState, support: Examples) -> TakenState:
        del meta_params
        taken, rated = jnp.split(support.items.says, 2, axis=1)
        target = jnp.where(support.mask > 0, support.target - middle, 0)
        total = state.total + support.mask @ taken + target @ rated
        return state._replace(total=total, count=state.count + jnp.sum(support.mask))

    def scores(meta_params: PyTree, state: TakenState, vectors: jax.Array) -> jax.Array:
        z = state.total * jax.lax.rsqrt(state.count + jnp.exp(meta_params["log_strength"]))
        return model.score(meta_params["model"]["head"], state.user, vectors) + vectors @ z

    def predict(meta_params: PyTree, state: TakenState, representations: TakenItem) -> Prediction:
        return Prediction(scores(meta_params, state, representations.vectors))

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del progress
        support, query = task.support, task.query
        kept = jnp.where(jax.random.uniform(key, support.mask.shape) >= dropout, support.mask, 0)
        seen = support._replace(items=represent(meta_params, support.items), mask=kept)
        state = adapt(meta_params, begin(meta_params, task.user), seen)
        each = scores(meta_params, state, model.embed_item(meta_params["model"]["item"], catalogue))
        value = loss_of_next(each, position(support.items), position(query.items), support.mask, query.mask)
        return (value + priors(meta_params) / training_rows if training_rows else value), {}

    def priors(meta_params: PyTree) -> jax.Array:
        tables = (meta_params["model"]["item"], meta_params["encoder"]["item"])
        return squares(tables, factors=True) / (2 * deviation**2)

    return Learner(init, represent, begin, adapt, predict, outer_loss, learn_everything, "exact")
