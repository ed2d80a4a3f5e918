"""A Bayesian linear regression of uptake: who took some items is solved for in closed form, to name the next.

score(i) = score(user, [b_i + a l_i, q_i]) + q_i^T w,   q_i = e^(s / 2) (f_i + d_i)
y_j = q_j^T w + noise for every rated item j,   w ~ N(0, I),   noise ~ N(0, n_j)
y_j = e^t t_j (1 + r (rating_j - m)),   n_j = e^h times that at the start

f, l, t_j and n_j are where training begins (`Leading`): the leading directions in which training's users differ, how
often an item is taken, what it says to have taken it, and how little. They stay. d and b are learned under Gaussian
priors around 0; a, t, r, h and the scales s of the factors without one. What two ratings say in common counts once,
unlike in a sum of what each says. The sums of q q^T / n and q y / n are the state, so that one rating at a time is
exactly all at once.

It is trained as an autoencoder is: to name the items of the query among all of the catalogue but the support, by a
softmax over it. A part of the support is dropped, so that the logarithm of its size is uniform.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", eq. 2.8 (the posterior of w).
    Liang et al., 2018, "Variational autoencoders for collaborative filtering", eq. 2 and section 2.2.4 (the loss).
    https://arxiv.org/abs/1802.05814
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.data.taken import Leading
from metajax.errors import ConfigError
from metajax.learners.next_item import loss_of_next, squares
from metajax.learners.triangular import cholesky, solve_factored
from metajax.losses import Loss, catalogue_softmax
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


class UptakeItem(NamedTuple):
    """Items as the learner sees them.

    Attributes:
        vectors: `[rows, 1 + d]` what the shared model scores.
        target: `[rows]` y of a rating m.
        precision: `[rows]` 1 / n.
    """

    vectors: jax.Array
    target: jax.Array
    precision: jax.Array


class UptakeState(NamedTuple):
    """One user: the vector that the shared model sees, `[d, d]` sum of q q^T / n, and `[d]` sum of q y / n."""

    user: PyTree
    precision: Float[Array, "d d"]
    information: Float[Array, " d"]


def uptake(
    model: Model,
    loss: Loss | None = None,
    *,
    start: Leading,
    catalogue: PyTree,
    position: Callable[[PyTree], jax.Array],
    middle: float = 0.0,
    relevant: float | None = None,
    deviation: float = 0.3,
    training_rows: int = 0,
) -> Learner:
    """Build the learner.

    Args:
        model: its item vectors `[rows, 1 + d]` are b and d, its score is added.
        loss: the softmax over the catalogue, and nothing else.
        start: where training begins; zeros will do where parameters are to be loaded.
        catalogue: encoded items, leaves `[items, ...]`: all that training knows.
        position: encoded items -> int32 `[rows]` their places in `catalogue`; below 0 where they are not in it.
        middle: m, a rating that says nothing but that it was given.
        relevant: ratings of the query below this are not to be named; None has all of them named.
        deviation: of the priors of b, and, in units of the factors' size, of d. Positive.
        training_rows: number of ratings that the priors are weighed against; 0 for no priors.

    Raises:
        ConfigError: if the deviation is not positive, or the loss is another.
    """
    if not deviation > 0:
        raise ConfigError(f"A regression of uptake wants a positive deviation, got {deviation=}.")
    if loss is not None and loss.name != catalogue_softmax().name:
        raise ConfigError(
            f"A regression of uptake is trained by {catalogue_softmax().name}, got {loss.name}. Take CatalogueSoftmax."
        )
    width = start.factors.shape[1]

    def init(key: Key) -> PyTree:
        return {
            "model": model.init(key),
            "start": jax.tree.map(lambda leaf: jnp.asarray(leaf, float), start)._asdict(),
            "popularity": jnp.ones(()),
            "log_target": jnp.log(jnp.asarray(8.0, float)),
            "by_rating": jnp.zeros(()),
            "log_noise": jnp.zeros(()),
            "log_scales": jnp.zeros(width),
        }

    def represent(meta_params: PyTree, items: PyTree) -> UptakeItem:
        row = jnp.maximum(position(items) + 1, 0)
        at = {name: leaf[row] for name, leaf in meta_params["start"].items()}
        own = model.embed_item(meta_params["model"]["item"], items)
        factors = (at["factors"] + own[:, 1:]) * jnp.exp(0.5 * meta_params["log_scales"])[None]
        level = own[:, 0] + meta_params["popularity"] * at["level"]
        return UptakeItem(
            vectors=jnp.concatenate([level[:, None], factors], axis=1),
            target=jnp.exp(meta_params["log_target"]) * at["target"],
            precision=jnp.exp(-at["log_noise"] - meta_params["log_noise"]),
        )

    def begin(meta_params: PyTree, user: PyTree) -> UptakeState:
        nothing = jnp.zeros((width, width), meta_params["log_noise"].dtype)
        return UptakeState(model.embed_user(meta_params["model"]["user"], user), nothing, nothing[0])

    def adapt(meta_params: PyTree, state: UptakeState, support: Examples) -> UptakeState:
        items, rating, mask = support
        target = items.target * (1 + meta_params["by_rating"] * jnp.where(mask > 0, rating - middle, 0))
        weighted = items.vectors[:, 1:] * (mask * items.precision)[:, None]
        return state._replace(
            precision=state.precision + weighted.T @ items.vectors[:, 1:],
            information=state.information + target @ weighted,
        )

    def predict(meta_params: PyTree, state: UptakeState, representations: UptakeItem) -> Prediction:
        prior = model.score(meta_params["model"]["head"], state.user, representations.vectors)
        lower = cholesky(jnp.eye(width, dtype=state.precision.dtype) + state.precision)
        weights = solve_factored(lower, state.information[:, None])[:, 0]
        return Prediction(prior + representations.vectors[:, 1:] @ weights)

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del progress
        support, query = task.support, task.query
        share_key, key = jax.random.split(key)
        share = jnp.maximum(jnp.sum(support.mask), 1) ** -jax.random.uniform(share_key)
        mask = jnp.where(jax.random.uniform(key, support.mask.shape) < share, support.mask, 0)
        seen = Examples(represent(meta_params, support.items), support.target, mask)
        state = adapt(meta_params, begin(meta_params, task.user), seen)
        scores = predict(meta_params, state, represent(meta_params, catalogue)).mean
        wanted = query.mask if relevant is None else jnp.where(query.target >= relevant, query.mask, 0)
        value = loss_of_next(scores, position(support.items), position(query.items), support.mask, wanted)
        return (value + priors(meta_params) / training_rows if training_rows else value), {}

    def priors(meta_params: PyTree) -> jax.Array:
        """Return minus the log of the priors, without constants."""
        own, size = meta_params["model"]["item"], jnp.mean(meta_params["start"]["factors"] ** 2)
        return (squares(own, factors=False) + squares(own, factors=True) / size) / (2 * deviation**2)

    def labels(meta_params: PyTree) -> PyTree:
        return learn_everything(meta_params) | {"start": jax.tree.map(lambda _: "freeze", meta_params["start"])}

    return Learner(init, represent, begin, adapt, predict, outer_loss, labels, "exact")
