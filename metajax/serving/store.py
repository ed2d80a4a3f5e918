"""What is kept about users: their events, and the state they were last adapted to.

Events are the truth and a state is a cache of them: it may be lost, and one that another model version made is made
anew. A user's ratings are, of each item, what the latest event says.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable


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
        revision: how many of the user's events it knows.
        state: as bytes, opaque to the store.
    """

    model: str
    revision: int
    state: bytes


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
        """Return item -> rating after the first `revision` events, all by default; withdrawn ratings are left out."""
        latest: dict[str, Event] = {}
        for event in self.events[:revision]:
            if event.item not in latest or event.time >= latest[event.item].time:
                latest[event.item] = event
        return {item: event.rating for item, event in latest.items() if event.rating is not None}


@runtime_checkable
class UserStore(Protocol):
    """Where users are kept. Every method may raise `metajax.errors.StoreError`: then nothing of its call is stored.

    A call that has returned is durable: it survives the death of the process, and is seen by every later call, of any
    process that shares the store.
    """

    async def append(self, events: Sequence[Event]) -> list[bool]:
        """Store events, all or none; return for each whether its id was new."""
        ...

    async def read(self, user: str, model: str) -> UserRecord:
        """Return a user's events and, if the store has it, the state that version `model` made."""
        ...

    async def write_state(self, user: str, state: StoredState) -> None:
        """Keep a state, unless the store has one of the same version that knows more, or the user was erased."""
        ...

    async def erase(self, user: str) -> int:
        """Delete all that is kept about a user; return how many events that were.

        Event ids go too: they may name the user.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun and release what is held."""
        ...
