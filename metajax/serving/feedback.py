"""Events that clients send: what is wrong with one, and storing the others."""

import time
import uuid
from collections.abc import Callable, Sequence

from metajax.errors import StoreError
from metajax.serving.drift import Drift
from metajax.serving.problems import RequestError
from metajax.serving.schemas import FeedbackEvent, FeedbackProblem, FeedbackResult
from metajax.serving.store import Event, UserStore
from metajax.serving.version import Version

SEPARATOR = "\x1f"
"""Between user and event in a stored id; neither can hold it."""
FUTURE = 3600.0
"""Seconds by which a client's clock may be ahead: what is dated later would hold until then, whatever follows."""


async def store_feedback(
    events: Sequence[FeedbackEvent], *, store: UserStore, version_of: Callable[[str], Version], drift: Drift
) -> list[FeedbackResult]:
    """Store events, and report those that make no sense to who answers their user, each by itself.

    What is reported stored is durable.
    """
    now = time.time()
    results: list[FeedbackResult] = []
    sound: list[Event] = []
    for one in events:
        name = one.id or uuid.uuid4().hex
        event = Event(stored_id(one.user, name), one.user, one.item, one.rating, now if one.time is None else one.time)
        problem = objection(event, version_of(event.user), now)
        if problem is None:
            sound.append(event)
            results.append(FeedbackResult(name, stored=True))
        else:
            drift.refused(problem.code)
            results.append(FeedbackResult(name, stored=False, error=problem))
    is_new = iter(await append(store, sound))
    for result, event in zip((one for one in results if one.stored), sound, strict=True):
        result.duplicate = not next(is_new)
        if not result.duplicate:
            drift.rated(version_of(event.user), event)
    return results


def stored_id(user: str, event: str) -> str:
    """Return the id under which an event is stored: nobody can use up another user's ids."""
    return f"{user}{SEPARATOR}{event}"


async def append(store: UserStore, events: Sequence[Event]) -> list[bool]:
    """Store events, if there are any.

    Raises:
        RequestError: if the store is gone.
    """
    try:
        return await store.append(events) if events else []
    except StoreError as error:
        raise store_gone() from error


def store_gone() -> RequestError:
    """Return the answer while the store does not answer."""
    return RequestError(503, "store_gone", "The store of users cannot be reached, or is full. Nothing was stored.")


def objection(event: Event, version: Version, now: float) -> FeedbackProblem | None:
    """Say what is wrong with an event, if anything is. A rating may be withdrawn of an item that is gone."""
    low, high = version.artifact.scale
    if event.time > now + FUTURE:
        return FeedbackProblem("future", f"The time is {event.time - now:.0f} s ahead of the service's clock.")
    if event.rating is None:
        return None
    if version.catalogue.position(event.item) is None:
        return FeedbackProblem("unknown_item", "There is no such item in the catalogue.")
    if not version.artifact.takes(event.rating):
        return FeedbackProblem("off_scale", f"The rating is {event.rating:g}, but ratings go from {low:g} to {high:g}.")
    return None
