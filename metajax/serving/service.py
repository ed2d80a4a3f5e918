"""The service itself, without HTTP: recommendations, feedback and users, over a store and versions of the model."""

import asyncio
import logging
import math
from collections.abc import Coroutine, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np

from metajax.errors import StoreError
from metajax.serving import requests
from metajax.serving.admission import Admission
from metajax.serving.batching import Answer, Batcher, Job
from metajax.serving.drift import Drift
from metajax.serving.feedback import store_feedback, store_gone
from metajax.serving.metrics import Metrics
from metajax.serving.planning import Plan, plan, read
from metajax.serving.problems import invalid, not_ready
from metajax.serving.schemas import FeedbackEvent, FeedbackResult, Item, Reason, Recommendations, Request
from metajax.serving.settings import Settings
from metajax.serving.states import state_to_bytes
from metajax.serving.store import StoredState, UserRecord, UserStore
from metajax.serving.version import Version
from metajax.serving.versions import Versions
from metajax.serving.watched import WatchedStore
from metajax.types import PyTree

log = logging.getLogger("metajax.serving")
MOST_LATER = 1000
"""States to be written, and comparisons with a shadow, that may wait: beyond them, new ones are let go."""


MOST_REASONS = 5
"""Ratings that an item is explained by."""
FLUSH_SECONDS = 1.0
"""Time in which states are stored at the end; one that is not is made anew later."""


class Service:
    """Answers requests. `start` it in an event loop, and `close` it.

    Attributes:
        failure: why the first version cannot answer, and never will: the process is to end.
    """

    def __init__(self, versions: Versions, store: UserStore, settings: Settings, metrics: Metrics) -> None:
        """Hold the parts; nothing is compiled yet."""
        self.versions = versions
        self.store = WatchedStore(store, metrics)
        self.settings = settings
        self.metrics = metrics
        self.drift = Drift(metrics)
        self.listing = Admission(settings.max_waiting, settings.deadline, metrics.admitted)
        self.batcher = Batcher(settings.buckets, metrics, lambda: self._under_way)
        self.storing = Admission(settings.max_storing, settings.deadline, metrics.storing)
        self.erasing = Admission(settings.max_erasing, settings.erase_deadline, metrics.erasing)
        self.is_closing = False
        self.failure: BaseException | None = None
        self._under_way = 0
        self._later: set[asyncio.Task[None]] = set()
        self._warming: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether new requests are welcome."""
        return self.versions.is_ready and not self.is_closing

    def start(self) -> None:
        """Begin to answer, and compile the first version meanwhile."""
        self.batcher.start()
        self._warming = asyncio.get_running_loop().create_task(self.versions.warm_up_first())
        self._warming.add_done_callback(self._warmed)

    async def close(self) -> None:
        """Finish what was begun, and close the store."""
        self.is_closing = True
        if self._later:
            await asyncio.wait(self._later, timeout=FLUSH_SECONDS)
        if self._warming is not None:
            self._warming.cancel()
        self.versions.close()
        await self.batcher.close()
        await self.store.close()

    async def recommend(self, request: Request, request_id: str) -> Recommendations:
        """Adapt to one person and list what suits them.

        Raises:
            RequestError: if the request makes no sense, or cannot be answered now.
        """
        self._must_be_ready()
        if (request.user is None) == (request.ratings is None):
            raise invalid(
                "Give either a user or ratings (an object of item -> rating, which may be empty). "
                "Ratings of a known user are sent to /v1/feedback."
            )
        version, arm = self.versions.of(request.user)
        planned, answer, strangers = await self._answer(version, request, self.settings.max_state)
        if planned.wants_state and request.user is not None:
            self._do_later(self._keep(request.user, version, planned.record, answer.state))
        explain = request.explain and len(answer.positions) > 0
        items = await self._explained(version, request, planned, answer) if explain else listed(version, answer)
        self._observe(version, arm, planned, strangers, answer)
        if (shadow := self.versions.shadow) is not None and shadow is not version:
            self._do_later(self._compare(shadow, version, request, answer))
        return Recommendations(
            request_id=request_id,
            model=version.name,
            arm=arm,
            user_known=bool(planned.record.events),
            items=items,
            unknown_items=list(dict.fromkeys([*planned.everything.unknown, *strangers])),
            ignored=planned.everything.ignored,
        )

    async def feedback(self, events: Sequence[FeedbackEvent]) -> list[FeedbackResult]:
        """Store events; those that make no sense are reported, each by itself.

        Raises:
            RequestError: if the store is gone.
        """
        self._must_be_ready()
        version_of = cache(lambda user: self.versions.of(user)[0])  # throughout, whatever is promoted meanwhile
        return await store_feedback(events, store=self.store, version_of=version_of, drift=self.drift)

    async def user(self, user: str) -> tuple[UserRecord, Version]:
        """Return all that is kept about a user, and the version whose state that is."""
        version, _ = self.versions.of(user)
        return await read(self.store, user, version), version

    async def erase(self, user: str) -> int:
        """Delete all that is kept about a user; return how many events that were.

        Raises:
            RequestError: if the store is gone.
        """
        try:
            return await self.store.erase(user)
        except StoreError as error:
            raise store_gone() from error

    async def questions(self, user: str, n: int, exclude: Sequence[str]) -> tuple[Version, np.ndarray, np.ndarray]:
        """Choose what to ask a user next: the version that chose, positions, and what each is worth."""
        self._must_be_ready()
        version, _ = self.versions.of(user)
        rated = requests.stored((await read(self.store, user, version)).ratings(), version)
        refused = [one for item in exclude if (one := version.catalogue.position(item)) is not None]
        excluded = np.concatenate([rated.positions, np.array(refused, np.int32)])
        return version, *await self.batcher.call(version.questions, rated.positions, rated.target, n, excluded)

    def _must_be_ready(self) -> None:
        if not self.versions.is_ready:
            raise not_ready()

    async def _answer(self, version: Version, request: Request, max_state: int) -> tuple[Plan, Answer, list[str]]:
        """Adapt and rank; also return what was planned, and what of the request is not in the catalogue."""
        self._under_way += 1
        try:
            planned = await plan(version, request, self.store, max_state)
            choice, news = requests.choice(request, version.catalogue, planned.everything.positions), planned.news
            job = Job(version, planned.start, news.positions, news.target, choice, request.n, planned.wants_state)
            return planned, await self.batcher.answer(job), choice.unknown
        finally:
            self._under_way -= 1

    async def _explained(self, version: Version, request: Request, planned: Plan, answer: Answer) -> list[Item]:
        """Return the items of an answer, each with the ratings that moved it most."""
        rated, items = planned.everything, listed(version, answer)
        of = (request.features or {}, rated.positions, rated.target, answer.positions)
        effects = await self.batcher.call(version.effects, *of)
        latest = len(rated.positions) - effects.shape[1]
        for item, moved in zip(items, effects, strict=True):
            order = np.argsort(-np.abs(moved), kind="stable")[:MOST_REASONS]
            item.why = [
                Reason(
                    version.catalogue.ids[position := int(rated.positions[latest + row])],
                    version.catalogue.titles[position],
                    float(rated.target[latest + row]),
                    float(moved[row]),
                )
                for row in order
            ]
        return items

    async def _keep(self, user: str, version: Version, record: UserRecord, state: PyTree) -> None:
        """Store a state: a cache, whose loss costs an adaptation."""
        last = record.events[-1].id
        try:
            await self.store.write_state(
                user, StoredState(version.name, record.revision, state_to_bytes(jax.tree.leaves(state)), last)
            )
        except StoreError as error:
            log.warning("a state was not stored", extra={"reason": str(error)})

    async def _compare(self, shadow: Version, active: Version, request: Request, answer: Answer) -> None:
        """Answer with the shadow too, and count what both list."""
        _, other, _ = await self._answer(shadow, request, 0)
        ours = {active.catalogue.ids[one] for one in answer.positions}
        theirs = {shadow.catalogue.ids[one] for one in other.positions}
        self.metrics.shadow_overlap.labels(shadow.name).observe(len(ours & theirs) / max(len(ours), 1))

    def _observe(self, version: Version, arm: str, planned: Plan, strangers: list[str], answer: Answer) -> None:
        self.metrics.arms.labels(version.name, arm).inc()
        self.metrics.unknown_items.inc(len(planned.everything.unknown) + len(strangers))
        self.metrics.known_items.inc(len(planned.everything.positions))
        self.drift.listed(answer.positions)
        if not math.isnan(answer.loss):
            self.metrics.adaptation_loss.labels(version.name).observe(answer.loss)

    def _do_later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what no answer waits for."""
        if len(self._later) >= MOST_LATER:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._done)

    def _warmed(self, task: asyncio.Task[None]) -> None:
        self._done(task)
        self.failure = None if task.cancelled() else task.exception()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._later.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work beside the requests failed", exc_info=error)


def listed(version: Version, answer: Answer) -> list[Item]:
    """Return the items of an answer: scores on the scale, uncertainties as standard deviations."""
    ids, titles = version.catalogue.ids, version.catalogue.titles
    low, high = version.bounds
    scores = np.minimum(np.maximum(answer.scores, low), high).tolist()
    deviations = np.sqrt(answer.variances).tolist()
    return [
        Item(ids[position], titles[position], score, None if math.isnan(deviation) else deviation)
        for position, score, deviation in zip(answer.positions.tolist(), scores, deviations, strict=True)
    ]
