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
    off = {item: rating for item, rating in ratings.items() if not low <= rating <= high}
    rated = stored({item: rating for item, rating in ratings.items() if item not in off}, version)
    message = off_scale(low, high)
    ignored = [Unknown(item, "off_scale", message.format(rating)) for item, rating in off.items()]
    return rated._replace(ignored=ignored)


def off_scale(low: float, high: float) -> str:
    """Return the message for a rating, to be put into it, that is not on the scale."""
    return f"The rating is {{:g}}, but ratings go from {low:g} to {high:g}."


def stored(ratings: Mapping[str, float], version: Version) -> Rated:
    """Read ratings of the store: another version may have had other items and another scale."""
    found = {item: version.catalogue.position(item) for item in ratings}
    known = [(position, ratings[item]) for item, position in found.items() if position is not None]
    target = np.array([rating for _, rating in known], np.float32).clip(*version.artifact.scale)
    unknown = [item for item, position in found.items() if position is None]
    return Rated(np.array([position for position, _ in known], np.int32), target, unknown, [])


def allowed(request: Request, catalogue: Catalogue, rated: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return which items may be listed, bool `[items]`, and the items of the request that nobody knows."""
    candidates, unknown = _positions(request.candidates or [], catalogue)
    excluded, not_excluded = _positions(request.exclude, catalogue)
    mask = catalogue.rated_often_enough(request.min_ratings).copy()
    if request.candidates is not None:
        among = np.zeros_like(mask)
        among[candidates] = True
        mask &= among
    mask[excluded] = False
    if request.exclude_seen:
        mask[rated] = False
    return mask, [*unknown, *not_excluded]


def _positions(items: Iterable[str], catalogue: Catalogue) -> tuple[list[int], list[str]]:
    found = {item: catalogue.position(item) for item in items}
    known = [position for position in found.values() if position is not None]
    return known, [item for item, position in found.items() if position is None]
