"""A Gaussian process per user on the item vectors: deep kernel transfer.

rating = score(user, item) + f(item vector) + noise,   f ~ GP(0, k),   noise ~ N(0, s^2)
k(u, v) = b + a u^T v   (linear)   or   b + a exp(-|u - v|^2 / (2 l^2))   (RBF)

The item tower is the deep part of the kernel. a, b, l and s are learned in log space; all of it is trained end to end
on the query's predictive log-likelihood. With the linear kernel it is `bayesian_linear`, in its dual form.

The state holds the ratings themselves, the latest `max_support` of them, so that one at a time is exactly all at once;
every prediction solves a system of that many rows.

References:
    Patacchiola et al., 2020, "Bayesian meta-learning for the few-shot setting via deep kernels", eqs. 4 and 5.
    https://arxiv.org/abs/1910.05199
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.learners.episode import represent_task
from metajax.learners.gaussian import check_likelihood, negative_log_likelihood
from metajax.learners.support_memory import empty_memory, remember
from metajax.learners.triangular import cholesky, solve_lower
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything

Kernel = Literal["linear", "rbf"]


class ProcessState(NamedTuple):
    """One user: the vector that the shared model sees, and the latest ratings, `[max_support]` rows."""

    user: PyTree
    ratings: Examples


def gaussian_process(
    model: Model,
    loss: Loss | None = None,
    *,
    item_width: int,
    kernel: Kernel = "rbf",
    scale: float = 0.25,
    bias_variance: float = 0.33,
    length: float = 1.0,
    noise: float = 0.9,
    max_support: int = 100,
) -> Learner:
    """Build the learner.

    Args:
        model: its item vectors `[rows, d]` are what the kernel sees, its score is the prior mean.
        loss: squared error, which the likelihood of a Gaussian generalises; nothing else.
        item_width: d, the length of an item vector.
        kernel: "linear" or "rbf".
        scale: a at the start, in units of the noise variance; positive.
        bias_variance: b at the start, in units of the noise variance; positive.
        length: l at the start, of the RBF kernel; positive.
        noise: s at the start, in units of the target; positive.
        max_support: ratings that a state holds; beyond, the oldest are forgotten.

    Raises:
        ConfigError: if a number is not positive, the kernel unknown, or the loss another.
    """
    check_likelihood(loss)
    numbers = {"scale": scale, "bias_variance": bias_variance, "length": length, "noise": noise}
    for name, value in {**numbers, "max_support": max_support}.items():
        if not value > 0:
            raise ConfigError(f"{name} of a Gaussian process must be positive, got {value}.")
    if kernel not in ("linear", "rbf"):
        raise ConfigError(f'The kernel of a Gaussian process is "linear" or "rbf", got {kernel!r}.')

    def init(key: Key) -> PyTree:
        logs = {f"log_{name}": jnp.log(jnp.asarray(value, float)) for name, value in numbers.items()}
        if kernel == "linear":
            del logs["log_length"]
        return {"model": model.init(key)} | logs

    def represent(meta_params: PyTree, items: PyTree) -> jax.Array:
        return model.embed_item(meta_params["model"]["item"], items)

    def start(meta_params: PyTree, user: PyTree, capacity: int) -> ProcessState:
        user_vector = model.embed_user(meta_params["model"]["user"], user)
        dtype = meta_params["log_noise"].dtype
        return ProcessState(user_vector, empty_memory(capacity, jax.ShapeDtypeStruct((item_width,), dtype), dtype))

    def begin(meta_params: PyTree, user: PyTree) -> ProcessState:
        return start(meta_params, user, max_support)

    def adapt(meta_params: PyTree, state: ProcessState, support: Examples) -> ProcessState:
        del meta_params
        return state._replace(ratings=remember(state.ratings, support))

    def covariance(meta_params: PyTree, one: jax.Array, other: jax.Array) -> jax.Array:
        """Return `[rows, rows]` k over the noise variance."""
        products = one @ other.T
        if kernel == "rbf":
            squares = jnp.sum(one**2, axis=1)[:, None] + jnp.sum(other**2, axis=1)[None, :] - 2 * products
            products = jnp.exp(-0.5 * jnp.maximum(squares, 0) * jnp.exp(-2 * meta_params["log_length"]))
        return jnp.exp(meta_params["log_bias_variance"]) + jnp.exp(meta_params["log_scale"]) * products

    def prior_mean(meta_params: PyTree, user: PyTree, item_vectors: jax.Array) -> jax.Array:
        return model.score(meta_params["model"]["head"], user, item_vectors)

    def predict(meta_params: PyTree, state: ProcessState, representations: PyTree) -> Prediction:
        items, target, mask = state.ratings
        residual = jnp.where(mask > 0, target - prior_mean(meta_params, state.user, items), 0)
        known = covariance(meta_params, items, items) * mask[:, None] * mask[None, :]
        lower = cholesky(known + jnp.eye(len(mask), dtype=known.dtype))
        between = covariance(meta_params, items, representations) * mask[:, None]
        whitened = solve_lower(lower, jnp.concatenate([between, residual[:, None]], axis=1))
        half, rest = whitened[:, :-1], whitened[:, -1]
        own = jax.vmap(lambda row: covariance(meta_params, row[None], row[None])[0, 0])(representations)
        mean = prior_mean(meta_params, state.user, representations) + half.T @ rest
        spread = jnp.maximum(own - jnp.sum(half**2, axis=0), 0)
        return Prediction(mean, jnp.exp(2 * meta_params["log_noise"]) * (1 + spread))

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key, progress
        task, _ = represent_task(represent, meta_params, task)
        capacity = min(max_support, task.support.mask.shape[0])  # a task's rows and no more: the same, but faster
        state = adapt(meta_params, start(meta_params, task.user, capacity), task.support)
        return negative_log_likelihood(predict(meta_params, state, task.query.items), task.query), {}

    return Learner(init, represent, begin, adapt, predict, outer_loss, learn_everything, "exact")
