"""How many requests are worked on at once, and for how long."""

import asyncio
from types import TracebackType

from prometheus_client import Gauge

from metajax.serving.problems import too_busy, too_late


class Admission:
    """Places for requests: beyond them a request is refused at once, so that those inside are answered in time."""

    def __init__(self, places: int, deadline: float, gauge: Gauge) -> None:
        """Offer `places`, each for `deadline` seconds; the gauge shows how many are taken."""
        self._places = places
        self._deadline = deadline
        self._gauge = gauge
        self.taken = 0

    def is_full(self) -> bool:
        """Say whether every place is taken."""
        return self.taken >= self._places

    def place(self) -> "Place":
        """Return a place, which is held by `async with`.

        Raises:
            RequestError: there, if there is none, or time is over.
        """
        return Place(self, asyncio.timeout(self._deadline), self._deadline)

    def take(self, places: int) -> None:
        """Take so many places, or give them back."""
        self.taken += places
        self._gauge.set(self.taken)


class Place:
    """One place; written out, for a generator took twice as long to enter and to leave."""

    def __init__(self, admission: Admission, timeout: asyncio.Timeout, deadline: float) -> None:
        """Take nothing yet; time runs already."""
        self._admission = admission
        self._timeout = timeout
        self._deadline = deadline

    async def __aenter__(self) -> None:
        """Take the place."""
        if self._admission.is_full():
            raise too_busy()
        self._admission.take(1)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""
        self._admission.take(-1)
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise too_late(self._deadline) from None
        if kind is not None and issubclass(kind, TimeoutError):
            raise too_late(self._deadline) from None
