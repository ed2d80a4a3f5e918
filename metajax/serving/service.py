"""The service itself, without HTTP: recommendations, feedback and users, over a store and versions of the model."""

import asyncio
import math
import time
import uuid
from collections.abc import Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

from metajax.errors import StoreError
from metajax.serving import requests
from metajax.serving.batching import Answer, Batcher, Job
from metajax.serving.drift import Drift
from metajax.serving.metrics import Metrics
from metajax.serving.problems import Problem, invalid, not_ready, too_busy, too_late
from metajax.serving.requests import Rated
from metajax.serving.schemas import ErrorBody, FeedbackEvent, FeedbackResult, Item, Recommendations, Request
from metajax.serving.settings import Settings
from metajax.serving.states import state_from_bytes, state_to_bytes, unknown_to
from metajax.serving.store import Event, StoredState, UserRecord, UserStore
from metajax.serving.version import Leaves, Version
from metajax.serving.versions import Versions

FUTURE = 3600.0
"""Seconds by which a client's clock may be ahead."""
NOBODY = UserRecord((), None)


class Plan(NamedTuple):
    """How a user is adapted: from what, to which ratings, and what is known of them altogether."""

    start: Leaves
    news: Rated
    everything: Rated
    wants_state: bool
    record: UserRecord


class Service:
    """Answers requests. `start` it in an event loop, and `close` it."""

    def __init__(self, versions: Versions, store: UserStore, settings: Settings, metrics: Metrics) -> None:
        """Hold the parts; nothing is compiled yet."""
        self.versions = versions
        self.store = store
        self.settings = settings
        self.metrics = metrics
        self.drift = Drift(metrics)
        self.batcher = Batcher(settings.buckets, metrics)
        self.is_closing = False
        self._listing = _Admission(settings.max_waiting)
        self._storing = _Admission(settings.max_storing)
        self._later: set[asyncio.Task[Any]] = set()

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered."""
        return self.versions.is_ready and not self.is_closing

    def start(self) -> None:
        """Begin to answer, and compile the first version meanwhile."""
        self.batcher.start()
        self._do_later(self.versions.warm_up_first())

    async def close(self) -> None:
        """Finish what was begun, and close the store."""
        self.is_closing = True
        while self._later:
            await asyncio.gather(*self._later, return_exceptions=True)
        await self.batcher.close()
        await self.store.close()

    @asynccontextmanager
    async def within_limits(self, *, storing: bool = False):  # noqa: ANN201
        """Hold a place among the requests that are worked on at once, until the deadline.

        Raises:
            Problem: if there is no place, time is over, or nothing is ready.
        """
        if not self.versions.is_ready:
            raise not_ready()
        with self._storing if storing else self._listing:
            try:
                async with asyncio.timeout(self.settings.deadline):
                    yield
            except TimeoutError:
                raise too_late(self.settings.deadline) from None

    async def recommend(self, request: Request, request_id: str) -> Recommendations:
        """Adapt to one person and list what suits them."""
        if request.user is None and request.ratings is None:
            raise invalid("Give a user, or ratings: an object of item -> rating, which may be empty.")
        if request.user is not None and request.ratings is not None:
            raise invalid("Give a user or ratings, not both: ratings of a known user are sent to /v1/feedback.")
        version, arm = self.versions.of(request.user)
        plan = await self._plan(version, request)
        mask, strangers = requests.allowed(request, version.catalogue, plan.everything.positions)
        answer = await self._answer(version, plan, mask, request.n)
        if answer.state is not None and request.user is not None:
            self._keep(version, request.user, plan.record, answer.state)
        self._observe(version, plan, answer)
        if (shadow := self.versions.shadow) is not None:
            self._do_later(self._compare(shadow, request, version, answer))
        return Recommendations(
            request_id=request_id,
            model=version.name,
            arm=arm,
            user_known=bool(plan.record.events),
            items=listed(version, answer),
            unknown_items=list(dict.fromkeys([*plan.everything.unknown, *strangers])),
            ignored=plan.everything.ignored,
        )

    async def feedback(self, events: Sequence[FeedbackEvent]) -> list[FeedbackResult]:
        """Store events; those that make no sense are reported, each by itself."""
        now = time.time()
        problems = [self._objection(event, now) for event in events]
        named = [
            Event(one.id or uuid.uuid4().hex, one.user, one.item, one.rating, now if one.time is None else one.time)
            for one in events
        ]
        sound = [event for event, problem in zip(named, problems, strict=True) if problem is None]
        with reachable():
            new = dict(zip(sound, await self.store.append(sound), strict=True)) if sound else {}
        for event in sound:
            self.drift.rated(self.versions.active, event, new=new[event])
        return [
            FeedbackResult(event.id, problem is None, problem is None and not new[event], **_error(problem))
            for event, problem in zip(named, problems, strict=True)
        ]
