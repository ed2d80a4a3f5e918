"""What is kept about users: their events, and the state they were last adapted to.

Events are the truth and a state is a cache of them: it may be lost, and one that another model version made is made
anew. A user's ratings are, of each item, what the latest event says.
"""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple, Protocol, runtime_checkable

from metajax.errors import DataError

MAX_BYTES = 1000
"""Of a name in UTF-8: of an event, a user, an item or a model. More would not fit every store's index."""

STATES_PER_USER = 4
"""Of how many model versions a store keeps a user's state; the one written longest ago goes first."""


class Event(NamedTuple):
    """Something that a user did.

    Attributes:
        id: unique; an event whose id is stored already is not stored again.
        user: whose it is.
        item: the data's own id, as text.
        rating: in the target's units; None withdraws the user's rating of the item.
        time: seconds since 1970. Of two events about one item the later holds; of equally late ones, the one stored
            later.
    """

    id: str
    user: str
    item: str
    rating: float | None
    time: float


class StoredState(NamedTuple):
    """A user's adapted state.

    Attributes:
        model: the version that made it.
        revision: how many of the user's events it knows: the first so many.
        state: as bytes, opaque to the store.
        last: the id of the last event it knows. A state that names it is refused where that event is not the user's
            event number `revision`: so what was learned before an erasure does not come back when as many new events
            came since. None is not compared.
    """

    model: str
    revision: int
    state: bytes
    last: str | None = None


class UserRecord(NamedTuple):
    """All that is kept about one user; of a user who is not known: no events and no state.

    Attributes:
        events: in the order in which they were stored.
        state: of the model asked for, or None.
    """

    events: Sequence[Event]
    state: StoredState | None

    @property
    def revision(self) -> int:
        """How many events there are."""
        return len(self.events)

    def ratings(self, revision: int | None = None) -> dict[str, float]:
        """Return item -> rating after the first `revision` events, all by default; withdrawn ratings are left out.

        In the order in which the events that hold were stored: a rating that was corrected is as new as its correction.
        """
        latest: dict[str, Event] = {}
        for event in self.events[:revision]:
            if event.item not in latest or event.time >= latest[event.item].time:
                latest.pop(event.item, None)
                latest[event.item] = event
        return {item: event.rating for item, event in latest.items() if event.rating is not None}


@runtime_checkable
class UserStore(Protocol):
    """Where users are kept. Every method may raise `metajax.errors.StoreError`: then nothing of its call is stored.

    One exception: where the answer of a server is lost, all of a call may be stored, never a part; the same events may
    be sent again, for their ids are known. `metajax.errors.DataError` says that the call itself makes no sense.

    A call that has returned is durable: it survives the death of the process, and is seen by every later call, of any
    process that shares the store.
    """

    async def append(self, events: Sequence[Event]) -> list[bool]:
        """Store events, all or none; return for each whether its id was new.

        An id that is stored already, or twice among `events`, is not stored again and changes nothing, whatever else
        the event says: not even when it is of another user.
        """
        ...

    async def read(self, user: str, model: str) -> UserRecord:
        """Return a user's events and, if the store has it, the state that version `model` made.

        Events are never put before others: the first `n` stay the first `n` until the user is erased.
        """
        ...

    async def write_state(self, user: str, state: StoredState) -> None:
        """Keep a state, unless the store has one of the same version that knows more, or the user was erased.

        The user was erased if there are fewer than `state.revision` events, or if `state.last` is not the last of
        them; a state that knows no event is not kept.
        """
        ...

    async def erase(self, user: str) -> int:
        """Delete all that is kept about a user; return how many events that were.

        Event ids go too: they may name the user. An event that is sent again afterwards is therefore new.
        """
        ...

    async def ready(self) -> None:
        """Return if the store answers."""
        ...

    async def close(self) -> None:
        """Finish what was begun and release what is held; every later call raises `StoreError`."""
        ...


def check_events(events: Sequence[Event]) -> None:
    """Raise `DataError` for a name that not every store can keep, or a number that is not finite."""
    for event in events:
        check_names(event.id, event.user, event.item)
        if not isfinite(event.time) or not isfinite(event.rating or 0.0):
            raise DataError(f"Event {event.id!r} has {event.rating=} and {event.time=}: both must be finite numbers.")


def check_names(*names: str) -> None:
    """Raise `DataError` for a name that not every store can keep."""
    for name in names:
        try:
            fits = 0 < len(name.encode()) <= MAX_BYTES and "\0" not in name
        except UnicodeEncodeError:
            fits = False
        if not fits:
            raise DataError(
                f"{name[:40]!r} cannot name a user, an item, an event or a model: "
                f"a name is 1 to {MAX_BYTES} bytes of UTF-8, without NUL."
            )
