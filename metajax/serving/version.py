"""One version of the model, compiled: what it makes of users, and nothing that a user changes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jax.tree_util import treedef_tuple

from metajax import files
from metajax.errors import DataError, StorageError
from metajax.ranking import BLOCK, is_linear
from metajax.ranking.explainer import explanation
from metajax.ranking.neighbours import item_directions, predicting_each, prediction_directions, synthetic_ratings
from metajax.ranking.questions import Asked
from metajax.recommender import Recommender, artifact_folder
from metajax.serving.catalogue import Catalogue
from metajax.serving.packing import Packed
from metajax.serving.problems import invalid
from metajax.serving.programs import Lists, answering, asking, informing
from metajax.serving.settings import Buckets
from metajax.training import kept
from metajax.types import PyTree

Leaves = list[np.ndarray]
"""A pytree without its structure, which the version knows."""


EXPLAINED_ROWS = 64
"""Ratings that a list is explained by: the latest, if there are more. Each is left out once, so that twice as many take
four times as long."""
EXPLAINED = 16
"""Items that are explained at once."""
ASKED_ROWS = 24
"""Ratings that questions are chosen by of a learner whose predictions cost by the room for ratings: the latest."""

NOTHING = jax.tree.structure(())
OF_ASKED = jax.tree.structure(Asked(*[jax.ShapeDtypeStruct((), np.float32)] * 2))  # pyright: ignore[reportArgumentType]
OF_LISTS = jax.tree.structure(Lists(*[jax.ShapeDtypeStruct((), np.float32)] * 4))  # pyright: ignore[reportArgumentType]


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
        self.bounds = artifact.bounds
        self.recommender = recommender
        self.catalogue = Catalogue(artifact.item_ids, artifact.titles, artifact.num_ratings)
        self.is_exact = recommender.learner.streaming == "exact"
        self._meta_params = jax.tree.map(jnp.asarray, artifact.meta_params)
        self._representations = recommender.representations
        self.grows = recommender.learner.compact is not None
        self.stores_states = self.is_exact and not self.grows  # else adapting to all is as cheap as reading a state
        self._linear = self._is_linear()
        self._answer = answering(recommender.learner, linear=self._linear)
        self._explain = jax.jit(explanation(recommender.learner))
        self._questioner = recommender.questioner
        self._adapt_to_ask = asking(recommender.learner)
        self._asked = informing(self._adapt_to_ask, recommender.questioner)
        self._asked_rows = ASKED_ROWS if self.grows else EXPLAINED_ROWS
        self._compiled: dict[tuple[int, ...] | str, Callable[..., Any]] = {}
        self._begin = jax.jit(recommender.learner.begin)
        self._nobody = self.recommender.encoded({})
        self._priors: dict[int, PyTree] = {}
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
        except (DataError, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
            raise invalid(f"The features cannot be read: {str(error).splitlines()[0]}") from error

    def together(self, starts: Sequence[Leaves]) -> PyTree:
        """Return what several users start from as one tree, leaves `[users, ...]`.

        Priors are kept on the device: else their room for ratings would be copied there for every batch.
        """
        if any(start is not self.prior for start in starts):
            return self._stacked(starts)
        if len(starts) not in self._priors:
            self._priors[len(starts)] = jax.tree.map(jnp.asarray, self._stacked(starts))
        return self._priors[len(starts)]

    def answer(self, starts: PyTree, batch: Packed, k: int) -> tuple[PyTree, Lists]:
        """Adapt users to their ratings, from `starts` on, and rank what they may be shown.

        Returns:
            The states, where they may be stored or gone on from, and lists of up to k items.
        """
        arguments = (self._meta_params, self._representations, starts, batch.bytes)
        compiled = self._compiled.get((*batch.positions.shape, k))
        return compiled(*arguments) if compiled else self._answer(*arguments, k=k)

    def effects(
        self, features: Mapping[str, Any], positions: np.ndarray, target: np.ndarray, explained: np.ndarray
    ) -> np.ndarray:
        """Return `[explained, rated]` how much each of a user's latest ratings moved each of some predictions."""
        rated, ratings = _latest(positions, target, EXPLAINED_ROWS)
        count, user = min(len(positions), EXPLAINED_ROWS), self.recommender.encoded(features)
        parts = [explained[start : start + EXPLAINED] for start in range(0, len(explained), EXPLAINED)]
        padded = [np.pad(part, (0, EXPLAINED - len(part))) for part in parts]
        of = (self._meta_params, self._representations, user, rated, ratings)
        explain = self._compiled.get("effects", self._explain)
        found = [np.asarray(explain(*of, part)) for part in padded]
        return np.concatenate(found)[: len(explained), :count]

    def questions(
        self, positions: np.ndarray, target: np.ndarray, n: int, excluded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of up to n items to ask about next, and what each is worth.

        Only the latest ratings are looked at. Where adapting is a descent, trying every answer would take a second:
        there, popular items of which the prediction is least sure are asked. Of what predicts no ratings no answer can
        be imagined: there, the most popular.
        """
        rated, ratings = _latest(positions, target, self._asked_rows)
        of, questioner = (self._meta_params, self._representations, self._nobody, rated, ratings), self._questioner
        if self._asks_by_answers:
            open_now = questioner.open_questions(excluded)
            found = self._compiled.get("asked", self._asked)(*of, open_now, np.int32(n))
            return questioner.chosen(found, open_now, n)
        strategy = "popularity_entropy" if self.recommender.predicts_ratings else "popularity"
        return questioner.ask(self._adapt_to_ask(*of), n, strategy=strategy, excluded=excluded)

    @property
    def _asks_by_answers(self) -> bool:
        return self.is_exact and self.recommender.predicts_ratings

    def warm_up(self, buckets: Buckets, *, forget: bool = False, traces: Path | None = None) -> None:
        """Compile every program that a request may need.

        Args:
            buckets: the sizes.
            forget: drop what JAX keeps of tracing, of the whole process, program by program: 100 MB of the flagship's.
            traces: folder where traced programs are kept for the next process.
        """
        for rows in buckets.rows:
            for k in buckets.lists_for(rows):
                for users in buckets.tasks_for(rows, k):
                    goes_on = self.stores_states or (self.is_exact and rows == buckets.rows[-1])
                    self._warm_up_for(users, rows, k, traces, with_states=goes_on)
                    if forget:
                        jax.clear_caches()
        if "effects" not in self._compiled:
            rated = np.full(EXPLAINED_ROWS, -1, np.int32), np.zeros(EXPLAINED_ROWS, np.float32)
            of = (self._nobody, *rated, np.zeros(EXPLAINED, np.int32))
            self._compiled["effects"] = self._program(traces, self._explain, of, jax.tree.structure(0), "effects")
        if self._asks_by_answers and "asked" not in self._compiled:
            rated = np.full(self._asked_rows, -1, np.int32), np.zeros(self._asked_rows, np.float32)
            of = (self._nobody, *rated, self._questioner.open_questions(rated[0]), np.int32(1))
            self._compiled["asked"] = self._program(traces, self._asked, of, OF_ASKED, "asked")
        self._find_alike(traces)
        if forget:
            jax.clear_caches()
        self.start({})
        position, rating = np.zeros(1, np.int32), np.zeros(1, np.float32)
        self.effects({}, position, rating, position)
        self.questions(position, rating, 1, position)
        self.recommender.similar(self.artifact.item_ids[0])
        self.recommender.search("")

    def _warm_up_for(self, users: int, rows: int, k: int, traces: Path | None, *, with_states: bool) -> None:
        """Compile what a batch of so many users and rows needs for lists of k, unless that is done."""
        if (users, rows, k) in self._compiled:
            return
        nobody = Packed(users, rows, len(self.catalogue))
        starts, of_states = self.together([self.prior] * users), self._structure if with_states else NOTHING
        answer, of_both = partial(self._answer, k=k, with_states=with_states), treedef_tuple((of_states, OF_LISTS))
        name = f"answer {users} {rows} {k} {with_states}"
        self._compiled[users, rows, k] = self._program(traces, answer, (starts, nobody.bytes), of_both, name)
        jax.block_until_ready(self.answer(starts, nobody, k))

    def _find_alike(self, traces: Path | None) -> None:
        """Find what makes items alike, as the recommender would, by a program that is kept."""
        if "directions" in vars(self.recommender) or item_directions(self._representations) is not None:
            return
        given = synthetic_ratings(self.artifact.num_ratings, self.artifact.levels)
        of, predict = (self._nobody, *given), predicting_each(self.recommender.learner)
        program = self._program(traces, predict, of, jax.tree.structure(0), "predictions for synthetic users")
        predictions = np.asarray(program(self._meta_params, self._representations, *of))
        self.recommender.directions = prediction_directions(predictions)

    def _program(
        self, folder: Path | None, function: Callable[..., Any], arguments: Sequence[Any], result: Any, name: str
    ) -> Callable[..., Any]:
        """Compile a function of the parameters, the catalogue and `arguments`."""
        arguments = (self._meta_params, self._representations, *arguments)
        place = self.artifact.trace_places(folder)
        shapes = [(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(arguments)]
        path = place and place(f"{name} {self._linear} {jax.tree.structure(arguments)} {shapes}")
        return kept.compiled(function, arguments, result=result, path=path)

    def _stacked(self, starts: Sequence[Leaves]) -> PyTree:
        return jax.tree.unflatten(self._structure, [np.stack(leaves) for leaves in zip(*starts, strict=True)])

    def _start(self, features: Mapping[str, Any]) -> PyTree:
        user = self.recommender.encoded(features)
        return self._begin(self._meta_params, user) if self.is_exact else user

    def _is_linear(self) -> bool:
        if len(self.catalogue) <= BLOCK:
            return False  # nothing to gain
        spread = np.linspace(0, len(self.catalogue) - 1, 8).astype(int)
        ratings = dict(zip(spread, np.resize(self.artifact.scale, 8), strict=True))
        person = self.recommender.adapt({self.artifact.item_ids[one]: float(rating) for one, rating in ratings.items()})
        return is_linear(self.recommender.learner, self._meta_params, person.state, self._representations)


def _latest(positions: np.ndarray, target: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the latest ratings, padded to `rows`."""
    missing = (0, rows - min(len(positions), rows))
    return np.pad(positions[-rows:], missing, constant_values=-1), np.pad(target[-rows:], missing)


def manifest_hash(folder: Path) -> str:
    """Return the name of the version in a folder, which says what every file of it holds.

    Raises:
        StorageError: if there is no manifest.
    """
    if not (folder / files.MANIFEST).is_file():
        raise StorageError(f"{folder} holds no artifact ({files.MANIFEST} is missing). Finish `metajax train` first.")
    return hashlib.sha256((folder / files.MANIFEST).read_bytes()).hexdigest()[:12]
