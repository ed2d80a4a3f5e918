"""What to ask next: the items whose rating would tell most about a user, for what it costs to ask.

A question is worth the expected fall of the predictive variance over the catalogue if it is answered, times the chance
that the user knows the item. Everything is for ONE user, as learners are, and none of it is compiled.

References:
    Rashid et al., 2002, "Getting to know you: learning new user preferences in recommender systems" (popularity,
    entropy, and their product). https://doi.org/10.1145/502716.502737
    MacKay, 1992, "Information-based objective functions for active data selection", section 4 (the variance at points
    that matter). https://doi.org/10.1162/neco.1992.4.4.590
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, Int

from metajax.errors import ConfigError
from metajax.types import Examples, Learner, PyTree


class Asked(NamedTuple):
    """Questions, the first first; -1 and -inf where fewer than n are left.

    Attributes:
        positions: int32 `[n]`, among the candidates.
        values: `[n]` what each was worth when it was chosen.
    """

    positions: Int[Array, "*users n"]
    values: Float[Array, "*users n"]


@runtime_checkable
class ValueQuestions(Protocol):
    """`(meta_params, state, questions, sample) -> values [questions]`; both items are representations."""

    def __call__(self, meta_params: PyTree, state: PyTree, questions: PyTree, sample: PyTree) -> jax.Array: ...


@runtime_checkable
class Ask(Protocol):
    """`(meta_params, state, questions, known, allowed, sample, wanted) -> Asked`.

    `known`, `[questions]`, is the chance, up to a factor, that a user knows the item; `allowed`, bool, says which may
    be asked. `wanted` of them are chosen, each at the same cost; by default as many as there is room for. The other
    arguments are those of `ValueQuestions`.
    """

    def __call__(
        self,
        meta_params: PyTree,
        state: PyTree,
        questions: PyTree,
        known: Float[Array, " questions"],
        allowed: Bool[Array, " questions"],
        sample: PyTree,
        wanted: jax.Array | int = ...,
    ) -> Asked: ...


def variance_reduction(learner: Learner, *, deviation: float = 1.0) -> ValueQuestions:
    """Return what computes by how much a question's answer is expected to lower the mean variance over `sample`.

    By the law of total variance that is the variance, over the answers, of the predicted means after them. The state
    is adapted to two answers, the predicted rating plus and minus its deviation: half the difference of the means,
    squared, is exact where the mean is affine in the ratings: c(x, q)^2 / (c(q, q) + noise) of a Gaussian. It asks for
    no variance of the sample, so that learners without are served too, and it leaves out beliefs about the noise level.

    Args:
        learner: adapts to one rating after another (`streaming` is not "anew").
        deviation: of an answer from the predicted rating, for learners without variances. If it is wrong by a factor,
            values are by the square of it.

    Raises:
        ConfigError: if the learner must be adapted anew.
    """
    if learner.streaming == "anew":
        raise ConfigError(
            "This learner does not adapt to one rating after another, so what an answer would tell is not known. "
            'Choose questions by strategy="popularity_entropy".'
        )

    def values(meta_params: PyTree, state: PyTree, questions: PyTree, sample: PyTree) -> jax.Array:
        def of_one(question: PyTree) -> jax.Array:
            row = jax.tree.map(lambda leaf: leaf[None], question)
            predicted = learner.predict(meta_params, state, row)
            spread = jnp.full_like(predicted.mean, deviation)
            spread = spread if predicted.variance is None else jnp.sqrt(predicted.variance)

            def after(answer: jax.Array) -> jax.Array:
                told = learner.adapt(meta_params, state, Examples(row, answer, jnp.ones_like(answer)))
                return learner.predict(meta_params, told, sample).mean

            low, high = jax.vmap(after)(predicted.mean[None] + jnp.stack([-spread, spread]))
            return jnp.mean(((high - low) / 2) ** 2)

        return jax.vmap(of_one)(questions)

    return values


def most_informative(learner: Learner, n: int, *, deviation: float = 1.0) -> Ask:
    """Return what chooses n questions, one after another: each as if those before it had been answered as predicted.

    The learner and `deviation` are as for `variance_reduction`.

    Raises:
        ConfigError: if `n` is less than 1, or the learner must be adapted anew.
    """
    if n < 1:
        raise ConfigError(f"A list of questions has 1 item or more, got {n=}.")
    value = variance_reduction(learner, deviation=deviation)

    def ask(
        meta_params: PyTree,
        state: PyTree,
        questions: PyTree,
        known: Float[Array, " questions"],
        allowed: Bool[Array, " questions"],
        sample: PyTree,
        wanted: jax.Array | int = n,
    ) -> Asked:
        def one(number: jax.Array, carry: tuple[PyTree, jax.Array, Asked]) -> tuple[PyTree, jax.Array, Asked]:
            state, is_open, asked = carry
            worth = jnp.where(is_open, known * value(meta_params, state, questions, sample), -jnp.inf)
            best = jnp.argmax(worth)
            row = jax.tree.map(lambda leaf: leaf[best][None], questions)
            answer = learner.predict(meta_params, state, row).mean
            state = learner.adapt(meta_params, state, Examples(row, answer, jnp.ones_like(answer)))
            position = jnp.where(is_open[best], best, -1).astype(jnp.int32)
            asked = Asked(asked.positions.at[number].set(position), asked.values.at[number].set(worth[best]))
            return state, is_open.at[best].set(False), asked

        nothing = Asked(jnp.full(n, -1, jnp.int32), jnp.full(n, -jnp.inf, known.dtype))
        return jax.lax.fori_loop(0, wanted, one, (state, allowed, nothing))[-1]

    return ask


def rating_entropy(
    mean: Float[Array, " items"], variance: Float[Array, " items"], levels: Float[Array, " levels"]
) -> Float[Array, " items"]:
    """Return the entropy, in nats, of a Gaussian prediction that is rounded to the nearest of the ascending levels."""
    edges = (levels[1:] + levels[:-1]) / 2
    below = norm.cdf((edges[None] - mean[:, None]) / jnp.sqrt(variance)[:, None])
    shares = jnp.diff(below, axis=1, prepend=0.0, append=1.0)
    return jnp.sum(jax.scipy.special.entr(jnp.maximum(shares, 0)), axis=1)


def met_items(num_ratings: np.ndarray, size: int) -> np.ndarray:
    """Return `[size]` catalogue positions that stand for what users meet: as often as an item is rated, evenly drawn.

    Their plain mean is a mean over the catalogue weighted by `num_ratings`, plus 1 so that something is met anyway.
    """
    cumulative = np.cumsum(num_ratings.astype(np.float64) + 1)
    return np.searchsorted(cumulative, (np.arange(size) + 0.5) / size * cumulative[-1]).astype(np.int32)
