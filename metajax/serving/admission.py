"""How many requests are worked on at once, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place.

        Raises:
            RequestError: if there is none, or time is over.
        """
        if self.is_full():
            raise too_busy()
        self.taken += 1
        self._gauge.set(self.taken)
        try:
            async with asyncio.timeout(self._deadline):
                yield
        except TimeoutError:
            raise too_late(self._deadline) from None
        finally:
            self.taken -= 1
            self._gauge.set(self.taken)
