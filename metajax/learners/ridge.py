"""A closed-form learner: the shared model's prediction plus a ridge regression per user on the item vectors.

mean = score(user, item) + w^T [1, item vector], with w = 0 before any rating and then the minimiser of
sum (y - mean)^2 + lambda_0 w_0^2 + lambda |w_1..|^2 over the support. Both penalties are learned, in log space. With a
head that is linear in the item vector the shared score is exactly a prior mean of w that depends on the user.

References:
    Bertinetto et al., 2019, "Meta-learning with differentiable closed-form solvers" (R2-D2), eqs. 4 to 6.
    https://arxiv.org/abs/1805.08136
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.learners.episode import represent_task
from metajax.learners.linear_posterior import LinearPosterior, condition
from metajax.losses import Loss, squared_error
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything

PREDICTS_TARGET = ("squared error", "pairwise ranking")


class RidgeState(NamedTuple):
    """One user: the vector that the shared model sees, and the beliefs about the user's own weights."""

    user: PyTree
    posterior: LinearPosterior


def linear_features(item_vectors: jax.Array) -> jax.Array:
    """Return `[rows, 1 + d]`: a constant, then the item vectors `[rows, d]`."""
    return jnp.concatenate([jnp.ones_like(item_vectors[:, :1]), item_vectors], axis=1)


def ridge(
    model: Model,
    loss: Loss | None = None,
    *,
    item_width: int,
    penalty: float = 4.0,
    bias_penalty: float = 3.0,
) -> Learner:
    """Build the closed-form learner.

    Args:
        model: its item vectors `[rows, d]` are the features, its score is the prior mean.
        loss: what the outer loop scores the query with; squared error by default. Adaptation is always least squares.
        item_width: d, the length of an item vector.
        penalty: initial lambda of the item vector's weights, in units of the noise variance; positive.
        bias_penalty: initial lambda of the constant, the user's own bias; positive.

    Raises:
        ConfigError: if a penalty is not positive, or the loss does not read the score as the target.
    """
    if not (penalty > 0 and bias_penalty > 0):
        raise ConfigError(f"Ridge penalties must be positive, got {penalty=}, {bias_penalty=}.")
    outer = loss or squared_error()
    if outer.name not in PREDICTS_TARGET:
        raise ConfigError(
            f"ridge predicts the target itself, so its loss is one of {PREDICTS_TARGET}, got {outer.name}."
        )

    def init(key: Key) -> PyTree:
        return {
            "model": model.init(key),
            "log_penalty": jnp.log(jnp.asarray(penalty, float)),
            "log_bias_penalty": jnp.log(jnp.asarray(bias_penalty, float)),
        }

    def represent(meta_params: PyTree, items: PyTree) -> jax.Array:
        return model.embed_item(meta_params["model"]["item"], items)

    def prior_mean(meta_params: PyTree, user_vector: PyTree, item_vectors: jax.Array) -> jax.Array:
        return model.score(meta_params["model"]["head"], user_vector, item_vectors)

    def begin(meta_params: PyTree, user: PyTree) -> RidgeState:
        user_vector = model.embed_user(meta_params["model"]["user"], user)
        scale = jnp.full((1 + item_width,), -0.5 * meta_params["log_penalty"])
        scale = jnp.exp(scale.at[0].set(-0.5 * meta_params["log_bias_penalty"]))
        return RidgeState(user_vector, LinearPosterior(jnp.zeros_like(scale), jnp.diag(scale)))

    def adapt(meta_params: PyTree, state: RidgeState, support: Examples) -> RidgeState:
        residual = support.target - prior_mean(meta_params, state.user, support.items)
        posterior = condition(state.posterior, linear_features(support.items), residual, support.mask)
        moved = jnp.any(support.mask > 0)  # conditioning on nothing is exact only up to rounding: gate it
        gated = jax.tree.map(lambda new, old: jnp.where(moved, new, old), posterior, state.posterior)
        return state._replace(posterior=gated)

    def mean(meta_params: PyTree, state: RidgeState, item_vectors: jax.Array) -> jax.Array:
        return (
            prior_mean(meta_params, state.user, item_vectors) + linear_features(item_vectors) @ state.posterior.weights
        )

    def predict(meta_params: PyTree, state: RidgeState, representations: PyTree) -> Prediction:
        return Prediction(mean(meta_params, state, representations))

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key, progress
        task, _ = represent_task(represent, meta_params, task)
        state = adapt(meta_params, begin(meta_params, task.user), task.support)
        return outer.value(mean(meta_params, state, task.query.items), task.query.target, task.query.mask), {}

    return Learner(init, represent, begin, adapt, predict, outer_loss, learn_everything, "exact")
