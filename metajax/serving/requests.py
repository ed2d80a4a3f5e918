"""From what a client asks to a job: ids to positions, ratings that are not on the scale set apart."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from metajax.serving.catalogue import Catalogue
from metajax.serving.schemas import Request, Unknown
from metajax.serving.version import Version


class Rated(NamedTuple):
    """Ratings in the terms of a version.

    Attributes:
        positions: int32 `[rated]`.
        target: float32 `[rated]`.
        unknown: items that are not in the catalogue.
        ignored: ratings that were left out, and why.
    """

    positions: np.ndarray
    target: np.ndarray
    unknown: list[str]
    ignored: list[Unknown]


def given(ratings: Mapping[str, float], version: Version) -> Rated:
    """Read ratings of a request: those off the scale are left out."""
    low, high = version.artifact.scale
    if not ratings or low <= min(ratings.values()) <= max(ratings.values()) <= high:
        return stored(ratings, version)
    is_on = version.artifact.takes_each(np.fromiter(ratings.values(), np.float32, len(ratings)))
    off = {item: rating for (item, rating), one in zip(ratings.items(), is_on, strict=True) if not one}
    rated = stored({item: rating for item, rating in ratings.items() if item not in off}, version)
    message = off_scale(low, high)
    ignored = [Unknown(item, "off_scale", message.format(rating)) for item, rating in off.items()]
    return rated._replace(ignored=ignored)


def off_scale(low: float, high: float) -> str:
    """Return the message for a rating, to be put into it, that is not on the scale."""
    return f"The rating is {{:g}}, but ratings go from {low:g} to {high:g}."


def stored(ratings: Mapping[str, float], version: Version) -> Rated:
    """Read ratings of the store: another version may have had other items and another scale."""
    positions = version.catalogue.positions(ratings)
    unknown = []
    if None in positions:
        unknown = [item for item, position in zip(ratings, positions, strict=True) if position is None]
        known = zip(ratings.items(), positions, strict=True)
        ratings = {item: rating for (item, rating), position in known if position is not None}
        positions = version.catalogue.positions(ratings)
    target, (low, high) = np.fromiter(ratings.values(), np.float32, len(ratings)), version.artifact.scale
    return Rated(np.array(positions, np.int32), np.minimum(np.maximum(target, low), high), unknown, [])


class Choice(NamedTuple):
    """What may be listed.

    Attributes:
        among: bool `[items]`; read it only, for requests share it.
        without: int32 `[closed]`, positions that may not be listed all the same.
        unknown: items of the request that are not in the catalogue.
    """

    among: np.ndarray
    without: np.ndarray
    unknown: list[str]


def choice(request: Request, catalogue: Catalogue, rated: np.ndarray) -> Choice:
    """Return which items may be listed. The mask itself is made in the batch's thread: see `batching.run`."""
    candidates, unknown = _positions(request.candidates or [], catalogue)
    excluded, not_excluded = _positions(request.exclude, catalogue)
    among = catalogue.rated_often_enough(request.min_ratings)
    if request.candidates is not None:
        chosen = np.zeros_like(among)
        chosen[candidates] = among[candidates]
        among = chosen
    without = rated if request.exclude_seen else rated[:0]
    if excluded:
        without = np.concatenate([without, np.array(excluded, np.int32)])
    return Choice(among, without, [*unknown, *not_excluded])


def _positions(items: Iterable[str], catalogue: Catalogue) -> tuple[list[int], list[str]]:
    found = {item: catalogue.position(item) for item in items}
    known = [position for position in found.values() if position is not None]
    return known, [item for item, position in found.items() if position is None]
