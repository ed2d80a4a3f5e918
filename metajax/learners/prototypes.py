"""Prototypes of what a user likes and does not: prototypical networks for implicit feedback.

p+ = (kappa m+ + sum of liked item vectors) / (kappa + their number), and p- likewise of the others
score = score(user, item) + a (|v - p-|^2 - |v - p+|^2)

The paper's prototypes are plain means of a class. Here a class may be empty, as the disliked are in implicit feedback,
so that each is shrunk towards a learned prototype m as if kappa ratings had been there. Sums and counts are the state:
one rating at a time is exactly all at once.

References:
    Snell et al., 2017, "Prototypical networks for few-shot learning", eqs. 1 and 2. https://arxiv.org/abs/1703.05175
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.errors import ConfigError
from metajax.learners.episode import represent_task
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


class PrototypeState(NamedTuple):
    """One user: the vector that the shared model sees, and what the prototypes are made of.

    Attributes:
        user: the user's vector.
        sums: `[2, d]` sums of the vectors of liked and of other items.
        counts: `[2]` how many there are.
    """

    user: PyTree
    sums: Float[Array, "2 d"]
    counts: Float[Array, "2"]


def prototypes(
    model: Model, loss: Loss, *, item_width: int, relevant: float = 0.5, strength: float = 2.0, scale: float = 0.1
) -> Learner:
    """Build the learner (protonet).

    Args:
        model: its item vectors `[rows, d]` are averaged, its score is added.
        loss: any of one output: binary cross-entropy, pairwise ranking, squared error.
        item_width: d, the length of an item vector.
        relevant: targets from here on are liked; 0.5 for targets of 1.0 and 0.0, such as 4.0 for stars.
        strength: kappa at the start, in ratings; positive.
        scale: a at the start; positive.

    Raises:
        ConfigError: if a number is not positive, or the loss wants several scores a row.
    """
    if not (strength > 0 and scale > 0):
        raise ConfigError(f"strength and scale of prototypes must be positive, got {strength=}, {scale=}.")
    if loss.num_outputs != 1:
        raise ConfigError(f"Prototypes give one score a row, and {loss.name} wants {loss.num_outputs}.")

    def init(key: Key) -> PyTree:
        return {
            "model": model.init(key),
            "prior": jnp.zeros((2, item_width), float),
            "log_strength": jnp.log(jnp.asarray(strength, float)),
            "log_scale": jnp.log(jnp.asarray(scale, float)),
        }

    def represent(meta_params: PyTree, items: PyTree) -> jax.Array:
        return model.embed_item(meta_params["model"]["item"], items)

    def begin(meta_params: PyTree, user: PyTree) -> PrototypeState:
        nothing = jnp.zeros_like(meta_params["prior"])
        return PrototypeState(model.embed_user(meta_params["model"]["user"], user), nothing, nothing[:, 0])

    def adapt(meta_params: PyTree, state: PrototypeState, support: Examples) -> PrototypeState:
        del meta_params
        liked = jnp.where(support.target >= relevant, support.mask, 0)
        members = jnp.stack([liked, support.mask - liked])
        return state._replace(sums=state.sums + members @ support.items, counts=state.counts + members.sum(axis=1))

    def scores(meta_params: PyTree, state: PrototypeState, item_vectors: jax.Array) -> jax.Array:
        kappa = jnp.exp(meta_params["log_strength"])
        centres = (kappa * meta_params["prior"] + state.sums) / (kappa + state.counts)[:, None]
        away = jnp.sum((item_vectors[:, None, :] - centres[None, :, :]) ** 2, axis=2)
        shared = model.score(meta_params["model"]["head"], state.user, item_vectors)
        return shared + jnp.exp(meta_params["log_scale"]) * (away[:, 1] - away[:, 0])

    def predict(meta_params: PyTree, state: PrototypeState, representations: PyTree) -> Prediction:
        return Prediction(loss.mean(scores(meta_params, state, representations)))

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key, progress
        task, _ = represent_task(represent, meta_params, task)
        state = adapt(meta_params, begin(meta_params, task.user), task.support)
        return loss.value(scores(meta_params, state, task.query.items), task.query.target, task.query.mask), {}

    return Learner(init, represent, begin, adapt, predict, outer_loss, learn_everything, "exact")
