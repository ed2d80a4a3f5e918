"""A trained run in use: adapt to one person's ratings and recommend, in the data's own ids."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from metajax.errors import ConfigError, DataError
from metajax.experiment.artifact import Artifact, read_artifact
from metajax.experiment.experiment import Experiment
from metajax.types import Examples, PyTree


class Recommendation(NamedTuple):
    """One recommended item.

    Attributes:
        item: the data's own id.
        title: or None where the data have none.
        score: predicted target, in its units.
    """

    item: Any
    title: str | None
    score: float


class Recommender:
    """Adapts to people it has never seen; holds no user and changes nothing when it adapts."""

    def __init__(self, artifact: Artifact) -> None:
        """Bring an artifact to life; items are represented once, on first use."""
        self.artifact = artifact
        self.learner = artifact.parts().learner
        self._adapt = jax.jit(self.learner.adapt)
        self._predict = jax.jit(self.learner.predict)
        self._positions = {str(one): position for position, one in enumerate(artifact.item_ids)}
        self._titles = {title: position for position, title in enumerate(artifact.titles or []) if title}

    @classmethod
    def load(cls, run: str | Path, *, experiment: Experiment | None = None) -> "Recommender":
        """Load a run's folder, one of its seeds, or an exported artifact.

        Args:
            run: the folder. Of a run with several seeds, the first is taken.
            experiment: for a run with parts of your own.

        Raises:
            StorageError: if there is no artifact, or it is not whole.
        """
        return cls(read_artifact(artifact_folder(Path(run)), experiment=experiment))

    @cached_property
    def representations(self) -> PyTree:
        """The catalogue's item representations."""
        items = jax.tree.map(jnp.asarray, self.artifact.items)
        return jax.jit(self.learner.represent)(self.artifact.meta_params, items)

    def adapt(self, ratings: Mapping[Any, float], *, user: Mapping[str, Any] | None = None) -> "AdaptedUser":
        """Adapt to one person.

        Args:
            ratings: item id or title -> rating; may be empty.
            user: what is known about the person, by feature name; unknown by default.

        Raises:
            DataError: for an item that is not in the catalogue (with near matches) or is rated twice (by id and by
                title), or a rating off the scale.
        """
        found = {item: self.position(item) for item in ratings}
        _refuse_twice(found)
        positions = np.array(list(found.values()), np.int32)
        target = np.array([self._checked(item, rating) for item, rating in ratings.items()], np.float32)
        known = pl.DataFrame({name: [value] for name, value in (user or {}).items()} or {"user": ["new"]})
        features = self.artifact.encoding.encode_users(known)
        features = {name: jnp.asarray(column[0]) for name, column in features.items()}
        rows = 1 << max(0, len(positions) - 1).bit_length()  # powers of two, so that few shapes compile
        padding = rows - len(positions)
        support = Examples(
            jax.tree.map(lambda leaf: leaf[np.pad(positions, (0, padding))], self.representations),
            jnp.asarray(np.pad(target, (0, padding))),
            jnp.asarray(np.pad(np.ones(len(positions), np.float32), (0, padding))),
        )
        meta_params = self.artifact.meta_params
        state = self._adapt(meta_params, self.learner.begin(meta_params, features), support)
        return AdaptedUser(self, state, positions)

    def position(self, item: Any) -> int:
        """Return the catalogue position of an item id or title.

        Raises:
            DataError: if there is none, with the titles that are nearest.
        """
        if (found := self._positions.get(str(item))) is not None:
            return found
        if (found := self._titles.get(str(item))) is not None:
            return found
        near = self._near(str(item))
        meant = f" Did you mean: {'; '.join(near)}?" if near else " Give an id or a title of the catalogue."
        raise DataError(f"There is no item {item!r} in the catalogue.{meant}")

    def scores(self, state: PyTree) -> np.ndarray:
        """Return `[num_items]` predicted targets, clipped to the scale."""
        mean = self._predict(self.artifact.meta_params, state, self.representations).mean
        return np.clip(np.asarray(mean), *self.artifact.scale)

    def raw_scores(self, state: PyTree) -> np.ndarray:
        """Return `[num_items]` predicted targets as the learner has them: what is ranked by."""
        return np.asarray(self._predict(self.artifact.meta_params, state, self.representations).mean)

    def _near(self, text: str) -> list[str]:
        lower = {title.lower(): title for title in self._titles}
        inside = [title for low, title in lower.items() if text.lower() in low][:3]
        close = [lower[low] for low in get_close_matches(text.lower(), lower, n=3, cutoff=0.6)]
        return list(dict.fromkeys([*inside, *close]))[:3]

    def _checked(self, item: Any, rating: float) -> float:
        low, high = self.artifact.scale
        if not low <= rating <= high:
            raise DataError(f"The rating of {item!r} is {rating:g}, but ratings go from {low:g} to {high:g}.")
        return rating


class AdaptedUser:
    """One person after adaptation."""

    def __init__(self, recommender: Recommender, state: PyTree, rated: np.ndarray) -> None:
        """Keep the state; `rated` are catalogue positions."""
        self.recommender = recommender
        self.state = state
        self.rated = rated

    def recommend(self, n: int = 10, *, exclude_seen: bool = True, min_ratings: int = 1) -> list[Recommendation]:
        """Rank the catalogue.

        Args:
            n: most items to return.
            exclude_seen: leave out what the person has rated.
            min_ratings: leave out items that fewer training users rated; 0 ranks also those that none has.

        Raises:
            ConfigError: if `n` is less than 1.
        """
        if n < 1:
            raise ConfigError(f"A list of recommendations has 1 item or more, got n = {n}.")
        artifact = self.recommender.artifact
        raw = self.recommender.raw_scores(self.state)
        allowed = artifact.num_ratings >= min_ratings
        if exclude_seen:
            allowed[self.rated] = False
        ranked = [position for position in np.argsort(-raw, kind="stable").tolist() if allowed[position]][:n]
        return [self._recommendation(position, raw) for position in ranked]

    def predict(self, item: Any) -> float:
        """Predict this person's rating of an item, by id or title; clipped to the scale."""
        return float(self.recommender.scores(self.state)[self.recommender.position(item)])

    def _recommendation(self, position: int, raw: np.ndarray) -> Recommendation:
        artifact = self.recommender.artifact
        title = artifact.titles[position] if artifact.titles else None
        return Recommendation(artifact.item_ids[position], title, float(np.clip(raw[position], *artifact.scale)))


def _refuse_twice(positions: Mapping[Any, int]) -> None:
    """Raise if two names are of one item: counted twice, its rating would weigh double."""
    named: dict[int, Any] = {}
    for item, position in positions.items():
        if position in named:
            raise DataError(f"{named[position]!r} and {item!r} are the same item, rated twice. Keep one of them.")
        named[position] = item


def artifact_folder(run: Path) -> Path:
    """Return where the artifact of a run, of one of its seeds, or an exported one lies."""
    seeds = sorted(run.glob("seed-*/artifact"), key=lambda path: int(path.parent.name.removeprefix("seed-")))
    for candidate in (run, run / "artifact", *seeds):
        if (candidate / "artifact.json").is_file():
            return candidate
    return run
