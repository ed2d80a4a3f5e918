"""One version of the model, compiled: what it makes of users, and nothing that a user changes."""

import hashlib
from collections.abc import Mapping
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


EXPLAINED_ROWS = (8, 32, 128)
"""Ratings that a list is explained by: the latest, if there are more."""
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
        self._structure = jax.tree.structure(self._start({}))
        self.prior = self.start({})

    @classmethod
    def load(cls, run: Path, *, experiment: Any = None) -> "Version":
        """Check, read and represent an artifact, or that of a run.

        Args:
            run: the folder.
            experiment: for a run with parts of your own.

        Raises:
            StorageError: if there is none, or it is not whole.
        """
        folder = artifact_folder(run)
        recommender = Recommender.load(folder, experiment=experiment)
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
        start = jax.tree.unflatten(self._structure, starts)
        return self._adapt(self._meta_params, self._representations, start, positions, target)

    def adapt_more(self, adapted: Adapted, positions: np.ndarray, target: np.ndarray) -> Adapted:
        """Adapt users further; only where streaming is exact."""
        return self._adapt(self._meta_params, self._representations, adapted.states, positions, target)

    def rank(self, states: PyTree, allowed: np.ndarray, k: int) -> Lists:
        """Rank the `allowed` items, bool `[users, items]`, for each user."""
        return self._rank(self._meta_params, self._representations, states, allowed, k=k)

    def effects(
        self, features: Mapping[str, Any], positions: np.ndarray, target: np.ndarray, explained: np.ndarray
    ) -> np.ndarray:
        """Return `[explained, rated]` how much each of a user's latest ratings moved each of some predictions."""
        positions, target = positions[-EXPLAINED_ROWS[-1] :], target[-EXPLAINED_ROWS[-1] :]
        missing = (0, Buckets.smallest(EXPLAINED_ROWS, len(positions)) - len(positions))
        rated, ratings = np.pad(positions, missing, constant_values=-1), np.pad(target, missing)
        user = self._encoded(features)
        parts = [explained[start : start + EXPLAINED] for start in range(0, len(explained), EXPLAINED)]
        padded = [np.pad(part, (0, EXPLAINED - len(part))) for part in parts]
        found = [self.recommender.explainer.effects(user, rated, ratings, part) for part in padded]
        return np.concatenate(found)[: len(explained), : len(positions)]

    def questions(self, state: PyTree, n: int, excluded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of up to n items to ask about next, and what each is worth."""
        positions, worth = self.recommender.questioner.ask(state, QUESTIONS, excluded=excluded)
        return positions[:n], worth[:n]

    def warm_up(self, buckets: Buckets) -> None:
        """Compile every program that a request may need."""
        nobody = np.zeros((len(self.catalogue),), bool)
        for users in buckets.tasks:
            starts = [np.stack([leaf] * users) for leaf in self.prior]
            for rows in buckets.rows:
                none = np.full((users, rows), -1, np.int32)
                adapted = self.adapt(starts, none, np.zeros((users, rows), np.float32))
                if self.is_exact:
                    adapted = self.adapt_more(adapted, none, np.zeros((users, rows), np.float32))
            for k in buckets.lists:
                jax.block_until_ready(self.rank(adapted.states, np.stack([nobody] * users), k))
        for rows in EXPLAINED_ROWS:
            self.effects({}, np.zeros(rows, np.int32), np.zeros(rows, np.float32), np.zeros(1, np.int32))
        self.questions(jax.tree.map(lambda leaf: np.asarray(leaf)[0], adapted.states), 1, np.zeros(0, np.int32))
        self.recommender.similar(self.artifact.item_ids[0])
        self.recommender.search("")

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
