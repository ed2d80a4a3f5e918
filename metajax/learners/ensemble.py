"""Several copies of a learner that start apart and learn from the same tasks; their predictions are averaged.

The predictive distribution is the mixture of the members': its variance is the mean of theirs plus the variance of
their means.

References:
    Lakshminarayanan et al., 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles",
    section 2.4. https://arxiv.org/abs/1612.01474
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.types import Examples, Key, Learner, Metrics, Prediction, PyTree, Task


def ensemble(learner: Learner, members: int) -> Learner:
    """Make a learner of `members` copies: every leaf of meta-parameters, states and representations is stacked.

    Args:
        learner: any whose prediction is in units of the target.
        members: 1 or more.

    Raises:
        ConfigError: if there is no member.
    """
    if members < 1:
        raise ConfigError(f"An ensemble wants 1 or more members, got {members}.")

    def init(key: Key) -> PyTree:
        return jax.vmap(learner.init)(jax.random.split(key, members))

    def represent(meta_params: PyTree, items: PyTree) -> PyTree:
        stacked = jax.vmap(learner.represent, (0, None))(meta_params, items)
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), stacked)  # rows come first in representations

    def begin(meta_params: PyTree, user: PyTree) -> PyTree:
        return jax.vmap(learner.begin, (0, None))(meta_params, user)

    def adapt(meta_params: PyTree, state: PyTree, support: Examples) -> PyTree:
        return jax.vmap(lambda one, its, items: learner.adapt(one, its, support._replace(items=items)), (0, 0, 1))(
            meta_params, state, support.items
        )

    def predict(meta_params: PyTree, state: PyTree, representations: PyTree) -> Prediction:
        each = jax.vmap(learner.predict, (0, 0, 1))(meta_params, state, representations)
        mean = jnp.mean(each.mean, axis=0)
        if each.variance is None:
            return Prediction(mean)
        return Prediction(mean, jnp.mean(each.variance, axis=0) + jnp.var(each.mean, axis=0))

    def loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        keys = jax.random.split(key, members)
        values, metrics = jax.vmap(learner.loss, (0, None, 0, None))(meta_params, task, keys, progress)
        # the sum: each member moves as if it were alone, but for a clipping of the whole gradient
        return jnp.sum(values), jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), metrics)

    its = learner.compact
    compact = None if its is None else lambda state, rows: jax.vmap(lambda one: its(one, rows))(state)
    return Learner(
        init,
        represent,
        begin,
        adapt,
        predict,
        loss,
        learner.labels,
        learner.streaming,
        compact,
        partial(_left_out, learner.left_out) if learner.left_out else None,
        partial(_widened, learner.widen) if learner.widen else None,
    )


def _widened(widen: Callable[[PyTree, float], PyTree], meta_params: PyTree, factor: float) -> PyTree:
    """Widen every member; how far their means lie apart stays."""
    return jax.vmap(lambda one: widen(one, factor))(meta_params)


def _left_out(
    leave: Callable[..., jax.Array], meta_params: PyTree, state: PyTree, support: Examples, representations: PyTree
) -> jax.Array:
    each = jax.vmap(lambda one, its, rated, items: leave(one, its, support._replace(items=rated), items), (0, 0, 1, 1))
    return jnp.mean(each(meta_params, state, support.items, representations), axis=0)
