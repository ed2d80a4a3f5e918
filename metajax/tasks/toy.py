"""Toy task families with known answers: nothing in a learner knows what a movie is.

A task's items are `{"x": [rows, features]}` and nothing is known about its user (an empty dict).
"""

import jax
import jax.numpy as jnp

from metajax.types import Examples, Key, Task


def sinusoid_task(key: Key, *, support_rows: int = 10, query_rows: int = 10) -> Task:
    """Draw y = A sin(x - p), with A ~ U[0.1, 5], p ~ U[0, pi] and x ~ U[-5, 5]. The key is consumed.

    References:
        Finn et al., 2017, "Model-agnostic meta-learning", section 5.1. https://arxiv.org/abs/1703.03400
    """
    amplitude_key, phase_key, x_key = jax.random.split(key, 3)
    amplitude = jax.random.uniform(amplitude_key, minval=0.1, maxval=5.0)
    phase = jax.random.uniform(phase_key, minval=0.0, maxval=jnp.pi)
    x = jax.random.uniform(x_key, (support_rows + query_rows, 1), minval=-5.0, maxval=5.0)
    return _task(x, amplitude * jnp.sin(x[:, 0] - phase), support_rows)


def linear_task(
    key: Key,
    mean: jax.Array,
    *,
    spread: float = 1.0,
    noise: float = 0.1,
    support_rows: int = 10,
    query_rows: int = 10,
) -> Task:
    """Draw y = w^T x + noise, with w ~ N(mean, spread^2 I) of the task and x ~ N(0, I). The key is consumed.

    The best prediction is known: the ridge regression of the support on x, towards `mean`, with penalty
    noise^2 / spread^2.

    Args:
        key: consumed.
        mean: `[features]`, shared by all tasks.
        spread: standard deviation of a task's own weights around the mean.
        noise: standard deviation of the noise.
        support_rows: rows to adapt on.
        query_rows: rows to be judged on.
    """
    weights_key, x_key, noise_key = jax.random.split(key, 3)
    weights = mean + spread * jax.random.normal(weights_key, mean.shape, mean.dtype)
    x = jax.random.normal(x_key, (support_rows + query_rows, mean.shape[0]), mean.dtype)
    return _task(x, x @ weights + noise * jax.random.normal(noise_key, (x.shape[0],), mean.dtype), support_rows)


def _task(x: jax.Array, target: jax.Array, support_rows: int) -> Task:
    rows = Examples({"x": x}, target, jnp.ones_like(target))
    support = jax.tree.map(lambda leaf: leaf[:support_rows], rows)
    query = jax.tree.map(lambda leaf: leaf[support_rows:], rows)
    return Task({}, support, query)
