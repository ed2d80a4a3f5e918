"""Chooses the next questions for an adapted user by any of several strategies, among the items that most users know."""

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from metajax.errors import ConfigError
from metajax.ranking.neighbours import synthetic_predictions
from metajax.ranking.questions import Asked, met_items, most_informative, rating_entropy
from metajax.types import Learner, PyTree

STRATEGIES = ("information", "popularity", "entropy", "popularity_entropy", "random")
CANDIDATES = 256
"""The most rated items that may be asked: what fewer know is a wasted question."""
SAMPLE = 256
"""Draws of items, by how often they are rated, that a user's uncertainty is averaged over."""


class Questioner:
    """Chooses questions; strategies are

    - "information": the expected fall of the predictive variance, times how many know the item (`questions`);
    - "popularity": how many training users rated the item;
    - "entropy": of the user's predicted rating, rounded to the levels;
    - "popularity_entropy": the logarithm of the first times the second, which needs no adaptation to an answer;
    - "random": any of the candidates.

    A learner without variances has for the entropy that of its predictions for synthetic users.
    """  # noqa: D415

    def __init__(
        self,
        learner: Learner,
        meta_params: PyTree,
        representations: PyTree,
        *,
        user: PyTree,
        num_ratings: np.ndarray,
        levels: tuple[float, ...],
    ) -> None:
        """Keep the catalogue.

        Args:
            learner: any.
            meta_params: of the learner.
            representations: of the catalogue.
            user: features of somebody of whom nothing is known.
            num_ratings: `[items]`, of training.
            levels: distinct training targets, ascending.
        """
        self._learner, self._meta_params, self._representations = learner, meta_params, representations
        self._user, self._num_ratings, self._levels = user, num_ratings, levels
        self._by_popularity = np.argsort(-num_ratings.astype(np.int64), kind="stable")
        self._sample = self._rows(met_items(num_ratings, SAMPLE))
        self._predict = jax.jit(learner.predict)
        self._ask = jax.jit(self._informative, static_argnames="n")

    @property
    def default(self) -> str:
        """The strategy that suits the learner."""
        return "popularity_entropy" if self._learner.streaming == "anew" else "information"

    def ask(
        self, state: PyTree, n: int, *, strategy: str | None = None, excluded: np.ndarray, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return positions of up to n items and what each is worth by the strategy, the first question first.

        Args:
            state: an adapted user.
            n: most questions.
            strategy: one of STRATEGIES; by default `default`.
            excluded: positions that are not asked.
            seed: of "random".

        Raises:
            ConfigError: for another strategy, `n` less than 1, or "information" of a learner that must be adapted anew.
        """
        strategy = strategy or self.default
        if strategy not in STRATEGIES or n < 1:
            raise ConfigError(f"1 question or more is chosen by one of {STRATEGIES}, got {n=} and {strategy=}.")
        candidates = self._by_popularity[~np.isin(self._by_popularity, excluded)][:CANDIDATES]
        if strategy == "information":
            return self._by_information(state, candidates, n)
        worth = self._worth(state, candidates, strategy, seed)
        order = np.argsort(-worth, kind="stable")[:n]
        return candidates[order], worth[order]

    def _by_information(self, state: PyTree, candidates: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Choose by the compiled greedy rule; n is rounded up to a power of two, so that few programs compile."""
        size = min(CANDIDATES, len(self._num_ratings))
        filled = np.pad(candidates, (0, size - len(candidates)))
        known = (self._num_ratings[filled] / max(1, self._num_ratings.max())).astype(np.float32)
        allowed = np.arange(size) < len(candidates)
        found = self._ask(
            self._meta_params,
            state,
            self._rows(filled),
            known,
            allowed,
            self._sample,
            n=1 << (n - 1).bit_length(),
        )
        chosen, worth = np.asarray(found.positions)[:n], np.asarray(found.values)[:n]
        return filled[chosen[chosen >= 0]], worth[chosen >= 0]

    def _informative(
        self,
        meta_params: PyTree,
        state: PyTree,
        questions: PyTree,
        known: jax.Array,
        allowed: jax.Array,
        sample: PyTree,
        *,
        n: int,
    ) -> Asked:
        deviation = (self._levels[-1] - self._levels[0]) / 4
        ask = most_informative(self._learner, n, deviation=deviation)
        return ask(meta_params, state, questions, known, allowed, sample)

    def _worth(self, state: PyTree, candidates: np.ndarray, strategy: str, seed: int) -> np.ndarray:
        counts = self._num_ratings[candidates]
        if strategy == "random":
            return np.random.default_rng(seed).random(len(candidates))
        if strategy == "popularity":
            return counts.astype(np.float32)
        entropy = self._entropy(state, candidates)
        return entropy if strategy == "entropy" else np.log1p(counts) * entropy

    def _entropy(self, state: PyTree, candidates: np.ndarray) -> np.ndarray:
        found = self._predict(self._meta_params, state, self._representations)
        variance = self._variance_of_synthetic if found.variance is None else found.variance
        levels = jnp.asarray(self._levels, found.mean.dtype)
        return np.asarray(rating_entropy(found.mean, jnp.asarray(variance, found.mean.dtype), levels))[candidates]

    @cached_property
    def _variance_of_synthetic(self) -> np.ndarray:
        of = (self._learner, self._meta_params, self._representations)
        users = {"user": self._user, "num_ratings": self._num_ratings, "levels": self._levels}
        return np.var(synthetic_predictions(*of, **users), axis=0)

    def _rows(self, positions: np.ndarray) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[positions], self._representations)
