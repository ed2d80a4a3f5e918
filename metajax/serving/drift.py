"""How what users do and get departs from training: levels of ratings, items that training never saw, coverage."""

from collections import deque

import numpy as np

from metajax.serving.metrics import Metrics
from metajax.serving.store import Event
from metajax.serving.version import Version

WINDOW = 1000
"""Ratings, and lists, over which the gauges are means."""
MOST_LEVELS = 20
"""More levels of ratings than that are not counted one by one."""


class Drift:
    """Watches feedback and lists; cheap, and keeps no user."""

    def __init__(self, metrics: Metrics) -> None:
        """Begin with nothing seen."""
        self._metrics = metrics
        self._ratings: deque[float] = deque(maxlen=WINDOW)
        self._lists: deque[np.ndarray] = deque(maxlen=WINDOW)

    def rated(self, version: Version, event: Event) -> None:
        """Take in a new event."""
        rating = event.rating
        if rating is None:
            self._metrics.feedback.labels("withdrawn").inc()
            return
        self._metrics.feedback.labels("rated").inc()
        levels = version.artifact.levels
        if len(levels) <= MOST_LEVELS:
            self._metrics.levels.labels(f"{min(levels, key=lambda level: abs(level - rating)):g}").inc()
        self._ratings.append(rating - version.artifact.offset)
        position = version.catalogue.position(event.item)
        if position is not None and not version.catalogue.num_ratings[position]:
            self._metrics.untrained.inc()

    def refused(self, code: str) -> None:
        """Count an event that made no sense."""
        self._metrics.feedback.labels(code).inc()

    def listed(self, positions: np.ndarray) -> None:
        """Take in a list that was answered."""
        self._lists.append(positions)

    def publish(self, version: Version) -> None:
        """Bring the gauges up to date; when they are read, not before."""
        if self._ratings:
            self._metrics.rating_shift.set(float(np.mean(self._ratings)))
        size = len(version.catalogue)
        seen = np.unique(np.concatenate(self._lists)) if self._lists else np.zeros(0, int)
        self._metrics.coverage.labels("recommended").set(int((seen < size).sum()) / size)
        self._metrics.coverage.labels("trained").set(float(np.mean(version.catalogue.num_ratings > 0)))
