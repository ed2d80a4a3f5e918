"""Events that clients send: what is wrong with one, and storing the others."""

import time
import uuid
from collections.abc import Sequence

from metajax.errors import StoreError
from metajax.serving.drift import Drift
from metajax.serving.problems import Problem
from metajax.serving.schemas import FeedbackEvent, FeedbackProblem, FeedbackResult
from metajax.serving.store import Event, UserStore
from metajax.serving.version import Version

FUTURE = 3600.0
"""Seconds by which a client's clock may be ahead: what is dated later would hold until then, whatever follows."""


async def store_feedback(
    events: Sequence[FeedbackEvent], *, store: UserStore, version: Version, drift: Drift
) -> list[FeedbackResult]:
    """Store events, and report those that make no sense, each by itself. What is reported stored is durable."""
    now = time.time()
    results: list[FeedbackResult] = []
    sound: list[Event] = []
    for one in events:
        event = Event(one.id or uuid.uuid4().hex, one.user, one.item, one.rating, now if one.time is None else one.time)
        problem = objection(event, version, now)
        if problem is None:
            sound.append(event)
            results.append(FeedbackResult(event.id, stored=True))
        else:
            drift.refused(problem.code)
            results.append(FeedbackResult(event.id, stored=False, error=problem))
    is_new = iter(await append(store, sound))
    for result, event in zip((one for one in results if one.stored), sound, strict=True):
        result.duplicate = not next(is_new)
        if not result.duplicate:
            drift.rated(version, event)
    return results


async def append(store: UserStore, events: Sequence[Event]) -> list[bool]:
    """Store events, if there are any.

    Raises:
        Problem: if the store is gone.
    """
    try:
        return await store.append(events) if events else []
    except StoreError as error:
        raise store_gone() from error


def store_gone() -> Problem:
    """Return the answer while the store does not answer."""
    return Problem(503, "store_gone", "The store of users cannot be reached, or is full. Nothing was stored.")


def objection(event: Event, version: Version, now: float) -> FeedbackProblem | None:
    """Say what is wrong with an event, if anything is. A rating may be withdrawn of an item that is gone."""
    low, high = version.artifact.scale
    if event.time > now + FUTURE:
        return FeedbackProblem("future", f"The time is {event.time - now:.0f} s ahead of the service's clock.")
    if event.rating is None:
        return None
    if version.catalogue.position(event.item) is None:
        return FeedbackProblem("unknown_item", "There is no such item in the catalogue.")
    if not low <= event.rating <= high:
        return FeedbackProblem(
            "off_scale", f"The rating is {event.rating:g}, but ratings go from {low:g} to {high:g}."
        )
    return None
