"""Rates of requests: token buckets."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_BUCKETS = 10_000
"""Buckets that are kept: of more, the one unused for longest is forgotten."""


class Rates:
    """A bucket for each name, which holds one second's requests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with full buckets."""
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str, rate: float) -> int:
        """Take one request; return 0, or after how many whole seconds there is one again."""
        now, most = self._clock(), max(rate, 1.0)
        level, since = self._buckets.pop(name, (most, now))
        level = min(most, level + (now - since) * rate)
        is_open = level >= 1
        self._buckets[name] = (level - 1 if is_open else level, now)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return 0 if is_open else max(1, math.ceil((1 - level) / rate))

    def charge(self, name: str, count: int) -> None:
        """Take so many more for a request that was let in, for what it holds: what is missing is waited for later."""
        if name in self._buckets:
            level, since = self._buckets[name]
            self._buckets[name] = (level - count, since)
