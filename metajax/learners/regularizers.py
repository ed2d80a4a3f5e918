"""Outer regularisers: a learner in, the same learner with a term more in its outer loss out."""

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.types import Examples, Key, Learner, Metrics, Prediction, PyTree, Task, learn_everything


def l2_to_prior(learner: Learner, weight: float, *, prior: PyTree | None = None) -> Learner:
    """Add weight / 2 ||meta_params - prior||^2, over what is learned: what a learner writes itself is left alone.

    Args:
        learner: any.
        weight: 0 or more.
        prior: a tree like `meta_params`; zeros by default.

    Raises:
        ConfigError: if `weight` is negative.
    """
    _check_weight(weight)

    def loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        value, metrics = learner.loss(meta_params, task, key, progress)
        away = meta_params if prior is None else jax.tree.map(jnp.subtract, meta_params, prior)
        squares = jax.tree.map(
            lambda leaf, label: jnp.sum(leaf**2) if label == "learn" else 0.0, away, learner.labels(meta_params)
        )
        return value + 0.5 * weight * _sum(squares).astype(value.dtype), metrics

    return learner._replace(loss=loss)


def noisy_weights(learner: Learner, weight: float, *, deviation: float = 0.05) -> Learner:
    """Train with meta-parameters drawn from N(mean, deviation^2), and weight times their KL from N(0, 1): MR-MAML (W).

    Means and deviations are learned; adaptation and prediction use the means. It keeps a learner from memorising tasks
    instead of using their supports.

    Args:
        learner: one whose leaves are all learned.
        weight: beta, 0 or more.
        deviation: of every parameter at the start, positive.

    Raises:
        ConfigError: if `weight` is negative or `deviation` not positive.

    References:
        Yin et al., 2020, "Meta-learning without memorization", eq. 5. https://arxiv.org/abs/1912.03820
    """
    _check_weight(weight)
    if not deviation > 0:
        raise ConfigError(f"The deviation of noisy weights must be positive, got {deviation=}.")

    def init(key: Key) -> PyTree:
        mean = learner.init(key)
        return {"mean": mean, "log_deviation": jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.log(deviation)), mean)}

    def loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        noise_key, key = jax.random.split(key)
        mean, log_deviation = meta_params["mean"], meta_params["log_deviation"]
        leaves, structure = jax.tree.flatten(mean)
        keys = jax.tree.unflatten(structure, list(jax.random.split(noise_key, len(leaves))))
        drawn = jax.tree.map(
            lambda m, s, one: m + jnp.exp(s) * jax.random.normal(one, m.shape, m.dtype), mean, log_deviation, keys
        )
        value, metrics = learner.loss(drawn, task, key, progress)
        return value + weight * gaussian_kl(mean, log_deviation).astype(value.dtype), metrics

    def represent(meta_params: PyTree, items: PyTree) -> PyTree:
        return learner.represent(meta_params["mean"], items)

    def begin(meta_params: PyTree, user: PyTree) -> PyTree:
        return learner.begin(meta_params["mean"], user)

    def adapt(meta_params: PyTree, state: PyTree, support: Examples) -> PyTree:
        return learner.adapt(meta_params["mean"], state, support)

    def predict(meta_params: PyTree, state: PyTree, representations: PyTree) -> Prediction:
        return learner.predict(meta_params["mean"], state, representations)

    return Learner(init, represent, begin, adapt, predict, loss, learn_everything, learner.streaming)


def gaussian_kl(mean: PyTree, log_deviation: PyTree) -> jax.Array:
    """KL from N(mean, deviation^2) to N(0, 1), summed over all elements, in nats."""
    each = jax.tree.map(lambda m, s: jnp.sum(0.5 * (m**2 + jnp.exp(2 * s) - 1) - s), mean, log_deviation)
    return _sum(each)


def _sum(tree: PyTree) -> jax.Array:
    return jax.tree.reduce(jnp.add, tree)


def _check_weight(weight: float) -> None:
    if weight < 0:
        raise ConfigError(f"The weight of a regulariser must be 0 or more, got {weight=}.")
