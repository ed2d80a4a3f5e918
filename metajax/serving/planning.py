"""How a user is adapted: from a stored state to what it does not know, or anew from all that is known."""

from typing import NamedTuple

from metajax.errors import StoreError
from metajax.serving import requests
from metajax.serving.feedback import store_gone
from metajax.serving.requests import Rated
from metajax.serving.schemas import Request
from metajax.serving.states import state_from_bytes, unknown_to
from metajax.serving.store import UserRecord, UserStore
from metajax.serving.version import Leaves, Version

NOBODY = UserRecord((), None)


class Plan(NamedTuple):
    """What is to be done for a user.

    Attributes:
        start: what adapting starts from.
        news: the ratings to adapt to.
        everything: all ratings of the user.
        wants_state: the state that comes of it is worth storing.
        record: what the store has.
    """

    start: Leaves
    news: Rated
    everything: Rated
    wants_state: bool
    record: UserRecord


async def plan(version: Version, request: Request, store: UserStore, max_state: int) -> Plan:
    """Read what is known and choose the shorter way that comes to the same.

    Raises:
        RequestError: if the store is gone, or features cannot be read.
    """
    start = version.start(request.features) if request.features else version.prior
    if request.user is None:
        everything = requests.given(request.ratings or {}, version)
        return Plan(start, everything, everything, False, NOBODY)
    record = await read(store, request.user, version)
    everything = requests.stored(record.ratings(), version)
    may_store = version.stores_states and not request.features and sum(leaf.nbytes for leaf in start) <= max_state
    anew = Plan(start, everything, everything, may_store and bool(record.events), record)
    if record.state is None or not may_store:
        return anew
    news = unknown_to(record.state, record)
    state = state_from_bytes(record.state.state, version.prior)
    if news is None or state is None:
        return anew
    is_behind = record.state.revision < record.revision
    return Plan(state, requests.stored(news, version), everything, is_behind, record)


async def read(store: UserStore, user: str, version: Version) -> UserRecord:
    """Read a user; somebody whom nobody has seen has no events.

    Raises:
        RequestError: if the store is gone.
    """
    try:
        return await store.read(user, version.name)
    except StoreError as error:
        raise store_gone() from error
