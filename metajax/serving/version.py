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
from metajax.serving.programs import Adapted, Lists, adapting, comparing, ranking
from metajax.serving.settings import Buckets
from metajax.types import PyTree

Leaves = list[np.ndarray]
"""A pytree without its structure, which the version knows."""


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
        self._compare = comparing(recommender.learner, artifact.scale)
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

    def similar(self, position: int, n: int, lists: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of up to n items like one, and how much."""
        k = Buckets.smallest(lists, n)
        user = self._encoded({})
        found = self._compare(self._meta_params, self._representations, user, np.int32(position), k=k)
        positions, scores = np.asarray(found.positions)[:n], np.asarray(found.scores)[:n]
        return positions[positions >= 0], scores[positions >= 0]

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
        for k in buckets.lists:
            self.similar(0, k, (k,))

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
