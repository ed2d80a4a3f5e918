"""The compiled programs that answer requests: adapt a batch of users, rank for a batch of users.

Each is vmapped over users, and none reads or writes more of the meta-parameters than its arguments.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.stages import Wrapped

from metajax.ranking import BLOCK, adapt_to, linear_score, predicted_score, ranker
from metajax.types import Learner, PyTree


class Adapted(NamedTuple):
    """A batch of users after adaptation.

    Attributes:
        states: leaves `[users, ...]`.
        losses: `[users]` mean squared errors on the ratings that were adapted to; NaN without any.
    """

    states: PyTree
    losses: jax.Array


class Lists(NamedTuple):
    """A list for each user of a batch, `[users, k]`: the best first, -1 where nothing is left.

    Attributes:
        positions: in the catalogue.
        scores: predictive means, not clipped.
        variances: NaN where the method has none.
    """

    positions: jax.Array
    scores: jax.Array
    variances: jax.Array


def adapting(learner: Learner) -> Wrapped:
    """Return `(meta_params, representations, starts, positions, target) -> Adapted`.

    `starts` are states where the learner's streaming is exact, and encoded users otherwise: those begin anew.
    """
    is_exact = learner.streaming == "exact"
    anew = adapt_to(learner)
    onwards = adapt_to(learner._replace(begin=lambda _, state: state))

    def adapt(
        meta_params: PyTree, representations: PyTree, start: PyTree, positions: jax.Array, target: jax.Array
    ) -> Adapted:
        state = (onwards if is_exact else anew)(meta_params, representations, start, positions, target)
        rated = jax.tree.map(lambda leaf: leaf[jnp.maximum(positions, 0)], representations)
        errors = learner.predict(meta_params, state, rated).mean - target
        return Adapted(state, jnp.mean(errors**2, where=positions >= 0))

    return jax.jit(jax.vmap(adapt, in_axes=(None, None, 0, 0, 0)))


def ranking(learner: Learner, *, linear: bool) -> Wrapped:
    """Return `(meta_params, representations, states, allowed, k=) -> Lists`; `allowed` is bool `[users, items]`."""
    score = linear_score(learner) if linear else predicted_score(learner)

    def rank(meta_params: PyTree, representations: PyTree, state: PyTree, allowed: jax.Array, k: int) -> Lists:
        none = jnp.zeros((0,), jnp.int32)
        best = ranker(score, k=k, block=BLOCK)(meta_params, state, representations, none, allowed)
        listed = jax.tree.map(lambda leaf: leaf[jnp.maximum(best.positions, 0)], representations)
        variance = learner.predict(meta_params, state, listed).variance
        return Lists(best.positions, best.scores, jnp.full_like(best.scores, jnp.nan) if variance is None else variance)

    def ranks(meta_params: PyTree, representations: PyTree, states: PyTree, allowed: jax.Array, *, k: int) -> Lists:
        one = lambda state, open_items: rank(meta_params, representations, state, open_items, k)  # noqa: E731
        return jax.vmap(one)(states, allowed)

    return jax.jit(ranks, static_argnames="k")
