"""One version of the model, compiled: what it makes of users, and nothing that a user changes."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from metajax import files
from metajax.errors import DataError, StorageError
from metajax.ranking import BLOCK, is_linear
from metajax.recommender import Recommender, artifact_folder
from metajax.serving.catalogue import Catalogue
from metajax.serving.problems import invalid
from metajax.serving.programs import Adapted, Lists, adapting, ranking
from metajax.serving.settings import Buckets
from metajax.types import PyTree

Leaves = list[np.ndarray]
"""A pytree without its structure, which the version knows."""


EXPLAINED_ROWS = 64
"""Ratings that a list is explained by: the latest, if there are more. Each is left out once, so that twice as many take
four times as long."""
EXPLAINED = 16
"""Items that are explained at once."""
QUESTIONS = 8
"""Most questions that are chosen at once."""


class Version:
    """A recommender and its programs. Adapting reads its parameters and writes none."""

    def __init__(self, recommender: Recommender, name: str, *, folder: Path | None = None) -> None:
        """Prepare the programs; `warm_up` compiles them.

        Args:
            recommender: a loaded artifact.
            name: of the version; two artifacts that differ have different ones.
            folder: where it was loaded from.
        """
        self.name = name
        self.folder = folder
        self.artifact = artifact = recommender.artifact
        self.recommender = recommender
        self.catalogue = Catalogue(artifact.item_ids, artifact.titles, artifact.num_ratings)
        self.is_exact = recommender.learner.streaming == "exact"
        self._meta_params = jax.tree.map(jnp.asarray, artifact.meta_params)
        self._representations = recommender.representations
        self._adapt = adapting(recommender.learner)
        self._rank = ranking(recommender.learner, linear=self._is_linear())
        self._compiled: dict[tuple[int, ...], Callable[..., Any]] = {}
        self._structure = jax.tree.structure(self._start({}))
        self.prior = self.start({})

    @classmethod
    def load(cls, run: Path, *, experiment: Any = None, public_key: Path | None = None) -> "Version":
        """Check, read and represent an artifact, or that of a run.

        Args:
            run: the folder.
            experiment: for a run with parts of your own.
            public_key: file of the key that must have signed it.

        Raises:
            StorageError: if there is none, it is not whole, or not signed as wanted.
        """
        folder = artifact_folder(run)
        recommender = Recommender.load(folder, experiment=experiment, public_key=public_key)
        return cls(recommender, manifest_hash(folder), folder=folder)

    def start(self, features: Mapping[str, Any]) -> Leaves:
        """Return what adapting starts from: a state where streaming is exact, else the encoded user.

        Raises:
            RequestError: if a feature is of a kind that the encoding cannot read.
        """
        try:
            return [np.asarray(leaf) for leaf in jax.tree.leaves(self._start(features))]
        except (DataError, pl.exceptions.PolarsError, TypeError, ValueError) as error:
            raise invalid(f"The features cannot be read: {str(error).splitlines()[0]}") from error

    def adapt(self, starts: Leaves, positions: np.ndarray, target: np.ndarray) -> Adapted:
        """Adapt users to their ratings, `[users, rows]`; `starts` have leaves `[users, ...]`."""
        return self._adapted(jax.tree.unflatten(self._structure, starts), positions, target)

    def adapt_more(self, adapted: Adapted, positions: np.ndarray, target: np.ndarray) -> Adapted:
        """Adapt users further; only where streaming is exact."""
        return self._adapted(adapted.states, positions, target)

    def rank(self, states: PyTree, allowed: np.ndarray, k: int) -> Lists:
        """Rank the `allowed` items, bool `[users, items]`, for each user."""
        arguments = (self._meta_params, self._representations, states, allowed)
        compiled = self._compiled.get((len(allowed), 0, k))
        return compiled(*arguments) if compiled else self._rank(*arguments, k=k)

    def effects(
        self, features: Mapping[str, Any], positions: np.ndarray, target: np.ndarray, explained: np.ndarray
    ) -> np.ndarray:
        """Return `[explained, rated]` how much each of a user's latest ratings moved each of some predictions."""
        positions, target = positions[-EXPLAINED_ROWS:], target[-EXPLAINED_ROWS:]
        missing = (0, EXPLAINED_ROWS - len(positions))
        rated, ratings = np.pad(positions, missing, constant_values=-1), np.pad(target, missing)
        user = self._encoded(features)
        parts = [explained[start : start + EXPLAINED] for start in range(0, len(explained), EXPLAINED)]
        padded = [np.pad(part, (0, EXPLAINED - len(part))) for part in parts]
        found = [self.recommender.explainer.effects(user, rated, ratings, part) for part in padded]
        return np.concatenate(found)[: len(explained), : len(positions)]

    def questions(self, state: PyTree, n: int, excluded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of up to n items to ask about next, and what each is worth.

        Where adapting is a descent, trying every answer would take a second: there, popular items of which the
        prediction is least sure are asked.
        """
        strategy = None if self.is_exact else "popularity_entropy"
        positions, worth = self.recommender.questioner.ask(state, QUESTIONS, strategy=strategy, excluded=excluded)
        return positions[:n], worth[:n]

    def warm_up(self, buckets: Buckets, *, forget: bool = False) -> None:
        """Compile every program that a request may need.

        Args:
            buckets: the sizes.
            forget: drop what JAX keeps of tracing, of the whole process: of one that only serves, 70 MB.
        """
        for users in buckets.tasks:
            starts = jax.tree.unflatten(self._structure, [np.stack([leaf] * users) for leaf in self.prior])
            for rows in buckets.rows:
                none, target = np.full((users, rows), -1, np.int32), np.zeros((users, rows), np.float32)
                arguments = (self._meta_params, self._representations, starts, none, target)
                program = self._compiled.setdefault((users, rows), self._adapt.lower(*arguments).compile())
                states = program(*arguments).states
            for k in buckets.lists:
                arguments = (self._meta_params, self._representations, states, self._nothing(users))
                program = self._compiled.setdefault((users, 0, k), self._rank.lower(*arguments, k=k).compile())
                jax.block_until_ready(program(*arguments))
        if forget:
            jax.clear_caches()
        self.start({})
        self.effects({}, np.zeros(1, np.int32), np.zeros(1, np.float32), np.zeros(1, np.int32))
        self.questions(jax.tree.map(lambda leaf: np.asarray(leaf)[0], states), 1, np.zeros(0, np.int32))
        self.recommender.similar(self.artifact.item_ids[0])
        self.recommender.search("")

    def _adapted(self, starts: PyTree, positions: np.ndarray, target: np.ndarray) -> Adapted:
        arguments = (self._meta_params, self._representations, starts, positions, target)
        return self._compiled.get(positions.shape, self._adapt)(*arguments)

    def _nothing(self, users: int) -> np.ndarray:
        return np.zeros((users, len(self.catalogue)), bool)

    def _start(self, features: Mapping[str, Any]) -> PyTree:
        return self.recommender.adapt({}, user=features).state if self.is_exact else self._encoded(features)

    def _encoded(self, features: Mapping[str, Any]) -> dict[str, np.ndarray]:
        known = pl.DataFrame({name: [value] for name, value in ({"user": "new"} | dict(features)).items()})
        return {name: column[0] for name, column in self.artifact.encoding.encode_users(known).items()}

    def _is_linear(self) -> bool:
        if len(self.catalogue) <= BLOCK:
            return False  # nothing to gain
        spread = np.linspace(0, len(self.catalogue) - 1, 8).astype(int)
        ratings = dict(zip(spread, np.resize(self.artifact.scale, 8), strict=True))
        person = self.recommender.adapt({self.artifact.item_ids[one]: float(rating) for one, rating in ratings.items()})
        return is_linear(self.recommender.learner, self._meta_params, person.state, self._representations)


def manifest_hash(folder: Path) -> str:
    """Return the name of the version in a folder, which says what every file of it holds.

    Raises:
        StorageError: if there is no manifest.
    """
    if not (folder / files.MANIFEST).is_file():
        raise StorageError(f"{folder} holds no artifact ({files.MANIFEST} is missing). Finish `metajax train` first.")
    return hashlib.sha256((folder / files.MANIFEST).read_bytes()).hexdigest()[:12]
