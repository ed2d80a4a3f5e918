"""The compiled programs that answer requests: adapt a batch of users and rank for them.

Each is vmapped over users, and none reads or writes more of the meta-parameters than its arguments.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.stages import Wrapped

from metajax.ranking import BLOCK, adapt_to, linear_score, predicted_score, ranker
from metajax.ranking.questioner import OpenQuestions, Questioner
from metajax.ranking.questions import Asked
from metajax.serving.packing import unpacked
from metajax.types import Learner, Prediction, PyTree

MEASURED = 32
"""Places of ratings whose error is measured."""
QUESTIONS = 8
"""Most questions that are chosen at once."""


class Lists(NamedTuple):
    """A list for each user of a batch, `[users, k]`: the best first, -1 where nothing is left.

    Attributes:
        positions: in the catalogue.
        scores: predictive means, not clipped.
        variances: NaN where the method has none.
        losses: `[users]` mean squared errors on the first ratings that were adapted to; NaN without any.
    """

    positions: jax.Array
    scores: jax.Array
    variances: jax.Array
    losses: jax.Array


def answering(learner: Learner, *, linear: bool) -> Wrapped:
    """Return `(meta_params, representations, starts, packed, k=, with_states=) -> (states, Lists)`.

    It adapts and ranks what is allowed. `starts`, `[users, ...]`, are states where the learner's streaming is exact,
    and encoded users otherwise, which begin anew; `packed` is `Packed.bytes`. Without states () is returned, in .96 of
    the time. A learner that has `compact` predicts from as many ratings as there are rows: its states hold no more, or
    rows are the most. A barrier lies between adapting and ranking: without one XLA computes the state anew wherever it
    is read, which takes twice as long. Two programs were slower, for the thread waits for the interpreter between them.
    """
    score = linear_score(learner) if linear else predicted_score(learner)
    goes_on = learner._replace(begin=lambda _, state: state) if learner.streaming == "exact" else learner
    adapt = jax.vmap(adapt_to(goes_on), in_axes=(None, None, 0, 0, 0))

    def rank(
        meta_params: PyTree,
        representations: PyTree,
        state: PyTree,
        positions: jax.Array,
        target: jax.Array,
        allowed: jax.Array,
        k: int,
    ) -> Lists:
        small = learner.compact(state, len(positions)) if learner.compact else state
        none = jnp.zeros((0,), jnp.int32)
        best = ranker(score, k=k, block=BLOCK)(meta_params, small, representations, none, allowed)
        rated, its_target = positions[:MEASURED], target[:MEASURED]

        def predicted(positions: jax.Array) -> Prediction:
            there = jnp.maximum(positions, 0)
            return learner.predict(meta_params, small, jax.tree.map(lambda leaf: leaf[there], representations))

        loss = jnp.mean((predicted(rated).mean - its_target) ** 2, where=rated >= 0)
        variances = predicted(best.positions).variance  # apart: of what was rated, none is wanted
        return Lists(best.positions, best.scores, jnp.full(k, jnp.nan) if variances is None else variances, loss)

    def answers(
        meta_params: PyTree,
        representations: PyTree,
        starts: PyTree,
        packed: jax.Array,
        *,
        k: int,
        with_states: bool = True,
    ) -> tuple[PyTree, Lists]:
        positions, target, allowed = unpacked(packed, len(jax.tree.leaves(representations)[0]))
        adapted = adapt(meta_params, representations, starts, positions, target)
        states = jax.lax.optimization_barrier(adapted)
        each = jax.vmap(partial(rank, k=k), in_axes=(None, None, 0, 0, 0, 0))
        lists = each(meta_params, representations, states, positions, target, allowed)
        return states if with_states else (), lists

    return jax.jit(answers, static_argnames=("k", "with_states"))


def asking(learner: Learner) -> Wrapped:
    """Return `(meta_params, representations, user, positions, target) -> state`, with room for questions."""
    adapt = adapt_to(learner)

    def adapted(
        meta_params: PyTree, representations: PyTree, user: PyTree, positions: jax.Array, target: jax.Array
    ) -> PyTree:
        state = adapt(meta_params, representations, user, positions, target)
        return learner.compact(state, len(positions) + QUESTIONS) if learner.compact else state

    return jax.jit(adapted)


def informing(adapt: Wrapped, questioner: Questioner) -> Wrapped:
    """Return `(all that adapt takes, open now, n) -> Asked`: the n that would tell most."""

    def informative(
        meta_params: PyTree,
        representations: PyTree,
        user: PyTree,
        positions: jax.Array,
        target: jax.Array,
        open_now: OpenQuestions,
        n: jax.Array,
    ) -> Asked:
        state = adapt(meta_params, representations, user, positions, target)
        return questioner.informative(meta_params, representations, state, open_now, n, size=QUESTIONS)

    return jax.jit(informative)
