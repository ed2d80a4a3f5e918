"""Rows of the report: a measured number beside the number wanted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.clock import Call, Spread, ratio

Timings = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    name: str
    """What is compared."""
    unit: str
    """x, %, ms or s."""
    wanted: float
    """The number to reach."""
    value: Spread
    """Median and quartiles."""
    ours: str
    """Which measurement is ours."""
    against: str
    """What it is held against: of several peers the fastest on this workload."""
    at_most: bool = False
    """Whether less is better."""
    fraction: float | None = None
    """Of the limit: arithmetic, or bytes, of our side a second over the peak of the same run."""

    @property
    def passed(self) -> bool:
        """Tell whether the median reaches what is wanted."""
        return self.value.median <= self.wanted if self.at_most else self.value.median >= self.wanted

    def document(self) -> dict:
        """Return what speed.json keeps."""
        return asdict(self) | {"value": self.value._asdict(), "passed": self.passed}


class Group(NamedTuple):
    """Measurements that belong together.

    Attributes:
        calls: name -> call, timed in turns with those of all groups.
        rows: timings -> rows; a group may measure more by itself, such as in another process.
        skipped: what could not be measured -> why.
        operations: name of a call -> its floating-point operations.
    """

    calls: dict[str, Call]
    rows: Callable[[Timings], Sequence[Row]]
    skipped: dict[str, str]
    operations: dict[str, float]


def fastest(timings: Timings, names: Sequence[str]) -> str | None:
    """Return the name with the lowest median among those that were timed."""
    there = [name for name in names if name in timings]
    return min(there, key=lambda name: float(np.median(timings[name]))) if there else None


def against_fastest(timings: Timings, name: str, wanted: float, ours: str, peers: Sequence[str]) -> list[Row]:
    """Hold our time against the fastest of some peers; no row if none was timed."""
    best = fastest(timings, peers)
    if best is None:
        return []
    return [Row(name, "x", wanted, ratio(timings[best], timings[ours]), ours, best)]
