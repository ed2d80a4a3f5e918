"""A Bayesian linear regression per user on the item vectors: exact, streaming, with a variance for every prediction.

rating = score(user, item) + w^T [1, item vector] + noise,   w ~ N(0, P),   noise ~ N(0, s^2)

The shared model's score is the prior mean: with a head that is linear in the item vector it is exactly a mean of w that
depends on the user. P is diagonal and learned, as is s, in log space; all of it is trained end to end on the query's
predictive log-likelihood, one row at a time. The posterior is that of `ridge`, whose two penalties are here one for
every feature: 1 / P in units of s^2.

References:
    Harrison et al., 2018, "Meta-learning priors for efficient online Bayesian regression" (ALPaCA), eqs. 8 to 12.
    https://arxiv.org/abs/1807.08912
"""

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.learners.episode import represent_task
from metajax.learners.gaussian import check_likelihood, negative_log_likelihood
from metajax.learners.linear_posterior import LinearPosterior, relative_variance
from metajax.learners.ridge import RidgeState, linear_features, ridge
from metajax.losses import Loss
from metajax.types import Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


def bayesian_linear(
    model: Model,
    loss: Loss | None = None,
    *,
    item_width: int,
    prior_variance: float = 0.25,
    bias_variance: float = 0.33,
    noise: float = 0.9,
) -> Learner:
    """Build the learner.

    Args:
        model: its item vectors `[rows, d]` are the features, its score is the prior mean.
        loss: squared error, which the likelihood of a Gaussian generalises; nothing else.
        item_width: d, the length of an item vector.
        prior_variance: of a weight at the start, in units of the noise variance; positive.
        bias_variance: of the constant, the user's own bias, at the start; positive.
        noise: standard deviation of a rating at the start, in units of the target; positive.

    Raises:
        ConfigError: if a variance is not positive, or the loss is another.
    """
    check_likelihood(loss)
    for name, value in {"prior_variance": prior_variance, "bias_variance": bias_variance, "noise": noise}.items():
        if not value > 0:
            raise ConfigError(f"{name} of a Bayesian linear head must be positive, got {value}.")
    inner = ridge(model, item_width=item_width)

    def init(key: Key) -> PyTree:
        log_variance = jnp.full(1 + item_width, jnp.log(jnp.asarray(prior_variance, float)))
        return {
            "model": model.init(key),
            "log_prior_variance": log_variance.at[0].set(jnp.log(bias_variance)),
            "log_noise": jnp.log(jnp.asarray(noise, float)),
        }

    def begin(meta_params: PyTree, user: PyTree) -> RidgeState:
        root = jnp.exp(0.5 * meta_params["log_prior_variance"])
        user_vector = model.embed_user(meta_params["model"]["user"], user)
        return RidgeState(user_vector, LinearPosterior(jnp.zeros_like(root), jnp.diag(root)))

    def predict(meta_params: PyTree, state: RidgeState, representations: PyTree) -> Prediction:
        spread = relative_variance(state.posterior, linear_features(representations))
        variance = jnp.exp(2 * meta_params["log_noise"]) * (1 + spread)
        return Prediction(inner.predict(meta_params, state, representations).mean, variance)

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key, progress
        task, _ = represent_task(inner.represent, meta_params, task)
        state = inner.adapt(meta_params, begin(meta_params, task.user), task.support)
        return negative_log_likelihood(predict(meta_params, state, task.query.items), task.query), {}

    return Learner(init, inner.represent, begin, inner.adapt, predict, outer_loss, learn_everything, "exact")
