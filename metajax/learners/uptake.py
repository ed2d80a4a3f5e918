"""A Bayesian linear regression of uptake: who took some items is solved for in closed form, to name the next.

score(i) = score(user, [b_i + a l_i, q_i]) + q_i^T w,   q_i = e^(s / 2) (f_i + d_i)
y_j = q_j^T w + noise for every rated item j,   w ~ N(0, 1 / (1 + g count)),   noise ~ N(0, n_j)
y_j = e^t t_j (1 + r (rating_j - m)),   n_j = e^h times that at the start

f, l, t_j and n_j are where training begins (`UptakeStart`): the leading directions in which training's users differ,
how often an item is taken, what it says to have taken it, and how little. They stay. d and b are learned under Gaussian
priors around 0; a, t, r, h, g, the scales s of the factors and what is known of the user without one. What two ratings
say in common counts once, unlike in a sum of what each says. g, a number a factor: whoever takes an item leaves others,
which holds w back the more, the more items are taken. The sums of q q^T / n and q y / n and the count are the state, so
that one rating at a time is exactly all at once.

It is trained as an autoencoder is: to name the items of the query among all of the catalogue but the support, by a
softmax over it. A part of the support is dropped, so that the logarithm of its expected size is uniform.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", eq. 2.8 (the posterior of w).
    Liang et al., 2018, "Variational autoencoders for collaborative filtering", eq. 2 and section 2.2.4 (the loss).
    https://arxiv.org/abs/1802.05814
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metajax.errors import ConfigError
from metajax.learners.next_item import check_next, loss_of_next, squares
from metajax.learners.triangular import cholesky, solve_factored
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything

SAYS = 8.0
"""e^t at the start: what a taking says, in logits of the softmax."""
OTHERS = 0.1
"""g at the start."""


class UptakeStart(NamedTuple):
    """Where training begins, and what of it stays; row 0 is of an item that is not in the catalogue.

    Attributes:
        level: `[1 + items]` l.
        factors: `[1 + items, d]` f.
        says: `[1 + items]` t.
        log_noise: `[1 + items]` logarithm of n.
        size: root mean square of f, in units of which d has its prior.
    """

    level: Float[Array, " ids"] | Float[np.ndarray, " ids"]
    factors: Float[Array, "ids d"] | Float[np.ndarray, "ids d"]
    says: Float[Array, " ids"] | Float[np.ndarray, " ids"]
    log_noise: Float[Array, " ids"] | Float[np.ndarray, " ids"]
    size: float


class UptakeItem(NamedTuple):
    """Items as the learner sees them.

    Attributes:
        vectors: `[rows, 1 + d]` what the shared model scores.
        says: `[rows]` y of a rating m.
        precision: `[rows]` 1 / n.
    """

    vectors: jax.Array
    says: jax.Array
    precision: jax.Array


class UptakeState(NamedTuple):
    """One user: the vector that the shared model sees, `[d, d]` sum of q q^T / n, `[d]` sum of q y / n, how many."""

    user: PyTree
    precision: Float[Array, "d d"]
    information: Float[Array, " d"]
    count: Float[Array, ""]


def uptake(
    model: Model,
    loss: Loss | None = None,
    *,
    start: UptakeStart,
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
    check_next(loss, "A regression of uptake")
    width = start.factors.shape[1]

    def init(key: Key) -> PyTree:
        return {
            "model": model.init(key),
            "start": {name: jnp.asarray(leaf, float) for name, leaf in start._asdict().items() if name != "size"},
            "popularity": jnp.ones(()),
            "log_says": jnp.log(jnp.asarray(SAYS, float)),
            "by_rating": jnp.zeros(()),
            "log_noise": jnp.zeros(()),
            "log_scales": jnp.zeros(width),
            "log_others": jnp.full(width, jnp.log(jnp.asarray(OTHERS, float))),
        }

    def represent(meta_params: PyTree, items: PyTree) -> UptakeItem:
        row = jnp.maximum(position(items) + 1, 0)
        at = {name: leaf[row] for name, leaf in jax.lax.stop_gradient(meta_params["start"]).items()}
        own = model.embed_item(meta_params["model"]["item"], items)
        factors = (at["factors"] + own[:, 1:]) * jnp.exp(0.5 * meta_params["log_scales"])[None]
        level = own[:, 0] + meta_params["popularity"] * at["level"]
        return UptakeItem(
            vectors=jnp.concatenate([level[:, None], factors], axis=1),
            says=jnp.exp(meta_params["log_says"]) * at["says"],
            precision=jnp.exp(-at["log_noise"] - meta_params["log_noise"]),
        )

    def begin(meta_params: PyTree, user: PyTree) -> UptakeState:
        nothing = jnp.zeros((width, width), meta_params["log_noise"].dtype)
        return UptakeState(model.embed_user(meta_params["model"]["user"], user), nothing, nothing[0], nothing[0, 0])

    def adapt(meta_params: PyTree, state: UptakeState, support: Examples) -> UptakeState:
        items, rating, mask = support
        says = items.says * (1 + meta_params["by_rating"] * jnp.where(mask > 0, rating - middle, 0))
        weighted = items.vectors[:, 1:] * (mask * items.precision)[:, None]
        return state._replace(
            precision=state.precision + weighted.T @ items.vectors[:, 1:],
            information=state.information + says @ weighted,
            count=state.count + jnp.sum(mask),
        )

    def predict(meta_params: PyTree, state: UptakeState, representations: UptakeItem) -> Prediction:
        prior = model.score(meta_params["model"]["head"], state.user, representations.vectors)
        lower = cholesky(jnp.diag(1 + state.count * jnp.exp(meta_params["log_others"])) + state.precision)
        weights = solve_factored(lower, state.information[:, None])[:, 0]
        return Prediction(prior + representations.vectors[:, 1:] @ weights)

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del progress
        support, query = task.support, task.query
        seen = Examples(represent(meta_params, support.items), support.target, keep_some(key, support.mask))
        state = adapt(meta_params, begin(meta_params, task.user), seen)
        scores = predict(meta_params, state, represent(meta_params, catalogue)).mean
        wanted = query.mask if relevant is None else jnp.where(query.target >= relevant, query.mask, 0)
        value = loss_of_next(scores, position(support.items), position(query.items), support.mask, wanted)
        return (value + priors(meta_params) / training_rows if training_rows else value), {}

    def priors(meta_params: PyTree) -> jax.Array:
        """Return minus the log of the priors, without constants."""
        own = meta_params["model"]["item"]
        of_factors = squares(own, factors=True) / start.size**2
        return (squares(own, factors=False) + of_factors) / (2 * deviation**2)

    def labels(meta_params: PyTree) -> PyTree:
        return learn_everything(meta_params) | {"start": jax.tree.map(lambda _: "freeze", meta_params["start"])}

    return Learner(init, represent, begin, adapt, predict, outer_loss, labels, "exact")


def keep_some(key: Key, mask: Float[Array, " rows"]) -> Float[Array, " rows"]:
    """Drop rows by chance: of n, n^(1 - u) are kept on average, u uniform in [0, 1). The key is consumed."""
    share_key, key = jax.random.split(key)
    share = jnp.maximum(jnp.sum(mask), 1) ** -jax.random.uniform(share_key)
    return jnp.where(jax.random.uniform(key, mask.shape) < share, mask, 0)
