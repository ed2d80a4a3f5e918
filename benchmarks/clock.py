"""Time calls in turns: what the machine does meanwhile falls on all of them alike, and ratios are taken in pairs."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Call = Callable[[], object]


class Spread(NamedTuple):
    """A median, and the quartiles around it."""

    median: float
    low: float
    high: float


def interleave(
    calls: Mapping[str, Call],
    rounds: int,
    *,
    at_least: float = 0.05,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, np.ndarray]:
    """Time every call once a round, in an order drawn anew; return `[rounds]` seconds of each.

    A call runs once before its clock starts: what is repeated by the thousand finds its own data in the caches, not
    those of the call before it, which cost a step of ten milliseconds another four.

    Args:
        calls: each waits for its own result. Called once before any clock, to compile.
        rounds: how many.
        at_least: seconds that a measurement lasts: a shorter call is repeated, and the mean kept.
        tell: gets a line about every round.
    """
    for call in calls.values():
        call()
    names, random = list(calls), np.random.default_rng(0)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in random.permutation(names).tolist():
            calls[name]()
            taken[name].append(seconds(calls[name], at_least))
        slowest = max(names, key=lambda name: taken[name][-1])
        tell(f"round {number + 1} of {rounds}; slowest: {slowest}, {taken[slowest][-1]:.2f} s")
    return {name: np.array(each) for name, each in taken.items()}


def seconds(call: Call, at_least: float = 0.0) -> float:
    """Return the mean seconds of a call, repeated until `at_least` seconds are over.

    The number of repeats is not fixed beforehand: a call of a tenth of a millisecond that other work slows down a
    hundredfold would then take minutes.
    """
    started = time.perf_counter()
    repeats = 0
    while (taken := time.perf_counter() - started) < at_least or not repeats:
        call()
        repeats += 1
    return taken / repeats


def spread(values: np.ndarray) -> Spread:
    """Return median and quartiles of `[rounds]` values."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return Spread(float(median), float(low), float(high))


def ratio(slow: np.ndarray, fast: np.ndarray) -> Spread:
    """Return median and quartiles of `[rounds]` ratios, each of two measurements of one round."""
    return spread(slow / fast)
