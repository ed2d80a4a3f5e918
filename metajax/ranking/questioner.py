"""Chooses the next questions for an adapted user by any of several strategies, among the items that most users know."""

from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.errors import ConfigError
from metajax.ranking.neighbours import synthetic_predictions
from metajax.ranking.questions import Asked, met_items, most_informative, rating_entropy
from metajax.types import Learner, PyTree

STRATEGIES = ("information", "popularity", "entropy", "popularity_entropy", "random")
WITHOUT_RATINGS = ("popularity", "random")
CANDIDATES = 256
"""The most rated items that may be asked: what fewer know is a wasted question."""
SAMPLE = 256
"""Draws of items, by how often they are rated, that a user's uncertainty is averaged over."""


class OpenQuestions(NamedTuple):
    """What may be asked, always as many rows.

    Attributes:
        positions: int32 `[rows]`, in the catalogue.
        known: float32 `[rows]` how likely users know the item, at most 1.
        is_open: bool `[rows]`; False only fills up.
        sample: int32 positions of items that uncertainty is averaged over.
    """

    positions: np.ndarray
    known: np.ndarray
    is_open: np.ndarray
    sample: np.ndarray


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
        predicts_ratings: bool = True,
    ) -> None:
        """Keep the catalogue.

        Args:
            learner: any.
            meta_params: of the learner.
            representations: of the catalogue.
            user: features of somebody of whom nothing is known.
            num_ratings: `[items]`, of training.
            levels: distinct training targets, ascending.
            predicts_ratings: whether predictions are on their scale; else no answer can be imagined.
        """
        self._predicts_ratings = predicts_ratings
        self._learner, self._meta_params, self._representations = learner, meta_params, representations
        self._user, self._num_ratings, self._levels = user, num_ratings, levels
        self._by_popularity = np.argsort(-num_ratings.astype(np.int64), kind="stable")
        self._sample = met_items(num_ratings, SAMPLE)
        self._predict = jax.jit(learner.predict)
        self._ask = jax.jit(self.informative, static_argnames="size")

    @property
    def default(self) -> str:
        """The strategy that suits the learner."""
        if not self._predicts_ratings:
            return "popularity"
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
            ConfigError: for another strategy, `n` less than 1, "information" of a learner that must be adapted anew, or
                what weighs possible ratings where predictions are none.
        """
        strategy = strategy or self.default
        if strategy not in STRATEGIES or n < 1:
            raise ConfigError(f"1 question or more is chosen by one of {STRATEGIES}, got {n=} and {strategy=}.")
        if not self._predicts_ratings and strategy not in WITHOUT_RATINGS:
            raise ConfigError(
                f"The predictions of this model are no ratings, whose possible values {strategy!r} weighs. "
                f"Choose one of {WITHOUT_RATINGS}."
            )
        if strategy == "information":
            open_now, size = self.open_questions(excluded), 1 << (n - 1).bit_length()  # so that few programs compile
            found = self._ask(self._meta_params, self._representations, state, open_now, n, size=size)
            return self.chosen(found, open_now, n)
        candidates = self._candidates(excluded)
        worth = self._worth(state, candidates, strategy, seed)
        order = np.argsort(-worth, kind="stable")[:n]
        return candidates[order], worth[order]

    def open_questions(self, excluded: np.ndarray) -> "OpenQuestions":
        """Return what may be asked, but for the positions in `excluded`."""
        candidates, size = self._candidates(excluded), min(CANDIDATES, len(self._num_ratings))
        filled = np.pad(candidates, (0, size - len(candidates))).astype(np.int32)
        known = (self._num_ratings[filled] / max(1, self._num_ratings.max())).astype(np.float32)
        return OpenQuestions(filled, known, np.arange(size) < len(candidates), self._sample)

    def informative(
        self,
        meta_params: PyTree,
        representations: PyTree,
        state: PyTree,
        of: "OpenQuestions",
        n: jax.Array | int,
        *,
        size: int,
    ) -> Asked:
        """Choose n questions for an adapted user by the greedy rule, of at most `size`; not compiled."""
        deviation = (self._levels[-1] - self._levels[0]) / 4
        ask = most_informative(self._learner, size, deviation=deviation)
        rows, sample = _rows(representations, of.positions), _rows(representations, of.sample)
        return ask(meta_params, state, rows, jnp.asarray(of.known), jnp.asarray(of.is_open), sample, n)

    @staticmethod
    def chosen(found: Asked, of: "OpenQuestions", n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the catalogue positions of up to n of the questions that `informative` chose, and their worth."""
        chosen, worth = np.asarray(found.positions)[:n], np.asarray(found.values)[:n]
        return of.positions[chosen[chosen >= 0]], worth[chosen >= 0]

    def _candidates(self, excluded: np.ndarray) -> np.ndarray:
        return self._by_popularity[~np.isin(self._by_popularity, excluded)][:CANDIDATES]

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


def _rows(representations: PyTree, positions: np.ndarray | jax.Array) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[positions], representations)
