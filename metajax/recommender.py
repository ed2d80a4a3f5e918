"""A trained run in use: adapt to one person's ratings and recommend, in the data's own ids."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from metajax.errors import ConfigError, DataError
from metajax.experiment.artifact import Artifact, read_artifact
from metajax.experiment.experiment import Experiment
from metajax.ranking import (
    BLOCK,
    TopItems,
    adapt_to,
    is_linear,
    linear_score,
    predicted_score,
    ranker,
)
from metajax.ranking.explainer import Explainer
from metajax.ranking.neighbours import item_directions, nearest, prediction_directions, synthetic_predictions
from metajax.ranking.padding import SMALLEST, padded, sizes
from metajax.ranking.questioner import Questioner
from metajax.ranking.recommendation import Match, Reason, Recommendation
from metajax.ranking.titles import TitleSearch
from metajax.training.compiling import compiler_options
from metajax.types import Learner, PyTree


class Recommender:
    """Adapts to people it has never seen; holds no user and changes nothing when it adapts."""

    def __init__(self, artifact: Artifact) -> None:
        """Bring an artifact to life; items are represented once, on first use."""
        self.artifact = artifact
        self.learner = artifact.parts().learner
        self.bounds = artifact.bounds
        self._adapt = jax.jit(adapt_to(self.learner), compiler_options=compiler_options())
        self._predict = jax.jit(self.learner.predict)
        self._top = _ranking(self.learner)
        self._positions = {str(one): position for position, one in enumerate(artifact.item_ids)}
        titles = artifact.titles or [None] * len(artifact.item_ids)
        by_ratings = np.argsort(artifact.num_ratings, kind="stable").tolist()  # of one title the most rated comes last
        self._titles = {title: position for position in by_ratings if (title := titles[position])}

    @classmethod
    def load(
        cls, run: str | Path, *, experiment: Experiment | None = None, public_key: str | Path | None = None
    ) -> "Recommender":
        """Load a run's folder, one of its seeds, or an exported artifact.

        Args:
            run: the folder. Of a run with several seeds, the first is taken.
            experiment: for a run with parts of your own.
            public_key: file of the key that must have signed the artifact.

        Raises:
            StorageError: if there is no artifact, it is not whole, or not signed as wanted.
        """
        key = Path(public_key) if public_key else None
        return cls(read_artifact(artifact_folder(Path(run)), experiment=experiment, public_key=key))

    @cached_property
    def representations(self) -> PyTree:
        """The catalogue's item representations."""
        items = jax.device_put(self.artifact.items)
        return jax.jit(self.learner.represent)(self.artifact.meta_params, items)

    def adapt(self, ratings: Mapping[Any, float], *, user: Mapping[str, Any] | None = None) -> "AdaptedUser":
        """Adapt to one person.

        Args:
            ratings: item id or title -> rating; may be empty.
            user: what is known about the person, by feature name; unknown by default.

        Raises:
            DataError: for an item that is not in the catalogue (with near matches) or is rated twice (by id and by
                title), a rating that is no number or off the scale, or a feature that the model does not know.
        """
        found = {item: self.position(item) for item in ratings}
        _refuse_twice(found)
        positions = np.array(list(found.values()), np.int32)
        target = np.array([self._checked(item, rating) for item, rating in ratings.items()], np.float32)
        return self._adapted(positions, target, self.encoded(user))

    def encoded(self, user: Mapping[str, Any] | None) -> PyTree:
        """Encode what is known about a person.

        Raises:
            DataError: for a feature that the model does not know.
        """
        if not user:
            return self._unknown_user
        names = self.artifact.user_features
        if strangers := [name for name in user if name not in names]:
            close = get_close_matches(str(strangers[0]), names, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise DataError(f"The model knows no feature {strangers[0]!r} of users; it knows {sorted(names)}.{meant}")
        known = pl.DataFrame({name: [value] for name, value in user.items()})
        features = self.artifact.encoding.encode_users(known)
        return {name: jax.device_put(column[0]) for name, column in features.items()}

    def warm_up(self, *, max_ratings: int = 128, n: int = 10) -> None:
        """Compile all that up to `max_ratings` ratings and lists of up to `n` items need: later nothing compiles."""
        for rows, length in product(sizes(max_ratings), sizes(n)):
            self._of_positions(np.arange(rows, dtype=np.int32) % len(self.artifact.item_ids)).recommend(length)

    def position(self, item: Any) -> int:
        """Return the catalogue position of an item id or title.

        Raises:
            DataError: if there is none, with the titles that are nearest.
        """
        if isinstance(item, float) and item.is_integer():
            item = int(item)  # as a frame with gaps has integers
        if (found := self._positions.get(str(item))) is not None:
            return found
        if (found := self._titles.get(str(item))) is not None:
            return found
        near = self._near(str(item))
        meant = f" Did you mean: {'; '.join(near)}?" if near else " Give an id or a title of the catalogue."
        raise DataError(f"There is no item {item!r} in the catalogue.{meant}")

    def similar(self, item: Any, n: int = 10, *, min_ratings: int = 1) -> list[Match]:
        """Return the items most like one, itself left out; alike are those that the learner represents alike.

        Where a representation is not all floats, alike are those whose predictions for a fixed set of synthetic users
        are correlated.

        Args:
            item: id or title.
            n: most items to return.
            min_ratings: leave out items that fewer training users rated.

        Raises:
            ConfigError: if `n` is not an integer of 1 or more.
            DataError: if the item is not in the catalogue.
        """
        _check_length(n)
        allowed = self.artifact.num_ratings >= min_ratings
        return self.matches(*nearest(self.directions, self.position(item), n, allowed))

    def search(self, text: str, n: int = 10) -> list[Match]:
        """Return the items whose titles (or ids, where there are none) match a text best; see `TitleSearch`."""
        found = self._title_search.search(text, n)
        return [Match(*self.named(position), worth) for position, worth in found]

    def matches(self, positions: np.ndarray, scores: np.ndarray) -> list[Match]:
        """Name what was found, by catalogue positions."""
        return [Match(*self.named(int(one)), float(score)) for one, score in zip(positions, scores, strict=True)]

    def named(self, position: int) -> tuple[Any, str | None]:
        """Return the id and the title of a catalogue position."""
        return self.artifact.item_ids[position], self.artifact.titles[position] if self.artifact.titles else None

    def scores(self, state: PyTree) -> np.ndarray:
        """Return `[num_items]` predicted targets, clipped to the scale; scores as they are of what only ranks."""
        mean = self._predict(self.artifact.meta_params, state, self.representations).mean
        return np.clip(np.asarray(mean), *self.bounds)

    def top(self, state: PyTree, n: int, *, excluded: np.ndarray, min_ratings: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of up to n items and their scores, not clipped: the best first, then in catalogue order.

        Args:
            state: an adapted user.
            n: most items to return.
            excluded: positions that are left out.
            min_ratings: items that fewer training users rated are left out.
        """
        artifact = self.artifact
        top = self._top(
            artifact.meta_params,
            state,
            self.representations,
            self._num_ratings,
            padded(excluded.astype(np.int32), -1),
            min_ratings,
            k=sizes(n)[-1],
            linear=self._is_linear,
        )
        positions, scores = np.asarray(top.positions)[:n], np.asarray(top.scores)[:n]
        return positions[positions >= 0], scores[positions >= 0]

    @cached_property
    def explainer(self) -> Explainer:
        """What explains predictions by catalogue positions."""
        of = (self.learner, self.artifact.meta_params, self.representations)
        return Explainer(*of, user=self._unknown_user, scale=self.artifact.scale)

    @cached_property
    def questioner(self) -> Questioner:
        """What chooses questions by catalogue positions."""
        of = (self.learner, self.artifact.meta_params, self.representations)
        return Questioner(*of, **self._of_catalogue, predicts_ratings=self.predicts_ratings)

    @property
    def _of_catalogue(self) -> dict[str, Any]:
        artifact = self.artifact
        return {"user": self._unknown_user, "num_ratings": artifact.num_ratings, "levels": artifact.levels}

    @property
    def predicts_ratings(self) -> bool:
        """Whether predictions are ratings, of several levels: not of what only ranks, and not where all were alike."""
        return bool(np.isfinite(self.bounds).all()) and len(self.artifact.levels) > 1

    @cached_property
    def directions(self) -> np.ndarray:
        """Of each item, what is alike of items that are alike, `[items, d]`: unit vectors."""
        by_representation = item_directions(self.representations)
        if by_representation is not None:
            return by_representation
        of = (self.learner, self.artifact.meta_params, self.representations)
        return prediction_directions(synthetic_predictions(*of, **self._of_catalogue))

    @cached_property
    def _title_search(self) -> TitleSearch:
        return TitleSearch(
            self.artifact.titles or [str(one) for one in self.artifact.item_ids], self.artifact.num_ratings
        )

    @cached_property
    def _is_linear(self) -> bool:
        if len(self.artifact.item_ids) <= BLOCK:
            return False  # nothing to gain
        person = self._of_positions(np.linspace(0, len(self.artifact.item_ids) - 1, SMALLEST).astype(np.int32))
        return is_linear(self.learner, self.artifact.meta_params, person.state, self.representations)

    def _of_positions(self, positions: np.ndarray) -> "AdaptedUser":
        """Adapt to somebody of whom nothing is known, who rates by turns the lowest and the highest."""
        target = np.resize(np.array(self.artifact.scale, np.float32), len(positions))
        return self._adapted(positions, target, self._unknown_user)

    def _adapted(self, positions: np.ndarray, target: np.ndarray, features: PyTree) -> "AdaptedUser":
        rated, meta_params = padded(positions, -1), self.artifact.meta_params
        state = self._adapt(meta_params, self.representations, features, rated, padded(target, 0))
        return AdaptedUser(self, state, positions, target, features)

    @cached_property
    def _num_ratings(self) -> jax.Array:
        return jax.device_put(self.artifact.num_ratings)

    @cached_property
    def _unknown_user(self) -> PyTree:
        return self.artifact.new_user()

    def _near(self, text: str) -> list[str]:
        lower = {title.lower(): title for title in self._titles}
        inside = [title for low, title in lower.items() if text.lower() in low][:3]
        close = [lower[low] for low in get_close_matches(text.lower(), lower, n=3, cutoff=0.6)]
        return list(dict.fromkeys([*inside, *close]))[:3]

    def _checked(self, item: Any, rating: Any) -> float:
        if isinstance(rating, bool) or not isinstance(rating, int | float | np.integer | np.floating):
            raise DataError(f"The rating of {item!r} is {rating!r}, wanted a number.")
        value = float(rating)
        if not self.artifact.takes(value):
            low, high = self.artifact.scale
            raise DataError(f"The rating of {item!r} is {value:g}, but ratings go from {low:g} to {high:g}.")
        return value


class AdaptedUser:
    """One person after adaptation."""

    def __init__(
        self, recommender: Recommender, state: PyTree, rated: np.ndarray, target: np.ndarray, features: PyTree
    ) -> None:
        """Keep the state and what it was made of: `rated` are catalogue positions, `target` their ratings."""
        self.recommender = recommender
        self.state = state
        self.rated = rated
        self.target = target
        self.features = features

    def recommend(self, n: int = 10, *, exclude_seen: bool = True, min_ratings: int = 1) -> list[Recommendation]:
        """Rank the catalogue.

        Args:
            n: most items to return.
            exclude_seen: leave out what the person has rated.
            min_ratings: leave out items that fewer training users rated; 0 ranks also those that none has.

        Raises:
            ConfigError: if `n` is not an integer of 1 or more.
        """
        _check_length(n)
        excluded = self.rated if exclude_seen else self.rated[:0]
        found = self.recommender.top(self.state, n, excluded=excluded, min_ratings=min_ratings)
        return [self._recommendation(int(position), float(score)) for position, score in zip(*found, strict=True)]

    def predict(self, item: Any) -> float:
        """Predict this person's rating of an item, by id or title; clipped to the scale, where there is one."""
        return float(self.recommender.scores(self.state)[self.recommender.position(item)])

    def explain(self, item: Any, n: int = 5, *, method: str = "leave_one_out") -> list[Reason]:
        """Say which of the person's ratings moved the prediction of an item most, up or down.

        Args:
            item: id or title.
            n: most ratings to return.
            method: "leave_one_out", the prediction with all ratings minus that without one; or "additive", which sums
                to the prediction minus that before any rating (see `metajax.ranking.explain`).

        Raises:
            ConfigError: if the method does not suit the learner.
            DataError: if the item is not in the catalogue.
        """
        recommender = self.recommender
        explained = np.array([recommender.position(item)], np.int32)
        effects = recommender.explainer.effects(self.features, self.rated, self.target, explained, method=method)[0]
        order = np.argsort(-np.abs(effects), kind="stable")[:n]
        return [
            Reason(*recommender.named(int(self.rated[row])), float(self.target[row]), float(effects[row]))
            for row in order
        ]

    def questions(
        self, n: int = 5, *, strategy: str | None = None, exclude: Sequence[Any] = (), seed: int = 0
    ) -> list[Match]:
        """Choose the next items to ask the person about, of those most rated in training.

        Args:
            n: most questions; each is chosen as if those before it were answered.
            strategy: "information" (by default, where the learner adapts to one rating after another), "popularity" (by
                default, and with "random" all there is, where predictions are no ratings), "entropy",
                "popularity_entropy" or "random": see `metajax.ranking.questioner.Questioner`.
            exclude: ids or titles that are not asked, such as what the person did not know.
            seed: of "random".

        Raises:
            ConfigError: for another strategy, one that does not suit the learner, or `n` less than 1.
        """
        recommender = self.recommender
        refused = np.array([recommender.position(item) for item in exclude], np.int32)
        excluded = np.concatenate([self.rated, refused])
        found = recommender.questioner.ask(self.state, n, strategy=strategy, excluded=excluded, seed=seed)
        return recommender.matches(*found)

    def _recommendation(self, position: int, score: float) -> Recommendation:
        clipped = float(np.clip(score, *self.recommender.bounds))
        return Recommendation(*self.recommender.named(position), clipped)


def _ranking(learner: Learner) -> Callable[..., TopItems]:
    """Compile the ranking of the items that enough training users rated: by a linear form, or in blocks."""

    def top(
        meta_params: PyTree,
        state: PyTree,
        representations: PyTree,
        num_ratings: jax.Array,
        excluded: jax.Array,
        min_ratings: jax.Array,
        k: int,
        linear: bool,
    ) -> TopItems:
        score = linear_score(learner) if linear else predicted_score(learner)
        rank = ranker(score, k=k, block=None if linear else BLOCK)
        return rank(meta_params, state, representations, excluded, num_ratings >= min_ratings)

    return jax.jit(top, static_argnames=("k", "linear"), compiler_options=compiler_options())


def _check_length(n: Any) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ConfigError(f"A list has 1 item or more, got n = {n!r}.")


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
