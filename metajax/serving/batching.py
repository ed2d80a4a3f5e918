"""Micro-batches: what waits is answered together, padded to sizes that are compiled, in one thread.

Whenever the thread is free it takes all that has come in the meantime, up to the largest batch, and waits a little for
those who are under way; who is alone waits for nobody. JAX releases the interpreter while it computes, so that requests
are read and answers written beside it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from metajax.serving.metrics import Metrics
from metajax.serving.packing import Packed
from metajax.serving.requests import Choice
from metajax.serving.settings import Buckets
from metajax.serving.version import Leaves, Version
from metajax.training.compilations import compilations_here
from metajax.types import PyTree

Result = TypeVar("Result")
PATIENCE, GLANCE = 0.003, 0.0005
"""Seconds that a batch waits for company at most, and after which it looks again whether there is any to come.

Without, the thread was back before the others: of four, eight and sixteen clients batches held 2.2, 3.6 and 5.7, and
hold 4.4, 7.7 and 7.9 so. They are answered 1.15, 1.2 and 1.14 times as often, in two thirds to four fifths of the
processor's time, and the slowest of a hundred sooner (two cores, MovieLens-1M's flagship, medians of seven rounds by
turns)."""


class Answer(NamedTuple):
    """What a job comes to.

    Attributes:
        positions: int32 `[found]`, the best first.
        scores: `[found]` predictive means, not clipped.
        variances: `[found]`; NaN where the method has none.
        state: the adapted state, in numpy, if the job wants it.
        loss: mean squared error of the adapted prediction on the ratings that were adapted to; NaN without any.
    """

    positions: np.ndarray
    scores: np.ndarray
    variances: np.ndarray
    state: PyTree | None
    loss: float


@dataclass(frozen=True, eq=False)
class Job:
    """One user to adapt and rank for.

    Attributes:
        version: that answers.
        start: what adapting starts from.
        positions: int32 `[rated]`, in the catalogue; of any length.
        target: float32 `[rated]`.
        choice: what may be listed.
        n: most items to list.
        wants_state: return the adapted state too.
        answer: where the answer goes.
    """

    version: Version
    start: Leaves
    positions: np.ndarray
    target: np.ndarray
    choice: Choice
    n: int
    wants_state: bool
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


def run(jobs: Sequence[Job], buckets: Buckets) -> list[Answer]:
    """Answer jobs of one version together; at most as many as the largest bucket holds."""
    version = jobs[0].version
    rows = Buckets.smallest(buckets.rows, max(len(job.positions) for job in jobs))
    k = Buckets.smallest(buckets.lists_for(rows), max(job.n for job in jobs))
    users = Buckets.smallest(buckets.tasks_for(rows, k), len(jobs))
    adapted = version.together([*(job.start for job in jobs), *[version.prior] * (users - len(jobs))])
    *earlier, latest = _rounds(jobs, users, rows)
    for batch in earlier:  # a list that nobody wants, so that long histories have no program of their own
        adapted, _ = version.answer(adapted, batch, k)
    adapted, lists = version.answer(adapted, latest, k)
    wants = any(job.wants_state for job in jobs)
    states = jax.tree.map(np.asarray, adapted) if wants else None
    positions, scores, variances, losses = map(np.asarray, lists)
    listed = (positions >= 0).sum(axis=1).tolist()
    found = [min(count, job.n) for count, job in zip(listed, jobs, strict=False)]
    return [
        Answer(
            positions[row, : found[row]],
            scores[row, : found[row]],
            variances[row, : found[row]],
            jax.tree.map(lambda leaf: leaf[row], states) if job.wants_state else None,  # noqa: B023
            float(losses[row]),
        )
        for row, job in enumerate(jobs)
    ]


def _rounds(jobs: Sequence[Job], users: int, rows: int) -> Iterator[Packed]:
    """Yield what users rated: of histories beyond the largest bucket, one part after another."""
    version, longest = jobs[0].version, max(len(job.positions) for job in jobs)
    for start in range(0, max(longest, 1), rows) if version.is_exact else [None]:
        batch = Packed(users, rows, len(version.catalogue))
        for row, job in enumerate(jobs):
            first = max(len(job.positions) - rows, 0) if start is None else start
            batch.rate(row, job.positions[first : first + rows], job.target[first : first + rows])
            batch.allow(row, job.choice.among, job.choice.without)
        yield batch


def _tell(jobs: Sequence[Job], found: Sequence[Answer | Exception]) -> None:
    """Give those who still wait what was found."""
    for job, one in zip(jobs, found, strict=True):
        if job.answer.done():
            continue
        if isinstance(one, Exception):
            job.answer.set_exception(one)
        else:
            job.answer.set_result(one)


class Batcher:
    """Gathers jobs and answers them in its thread; what is no batch is computed in another."""

    def __init__(self, buckets: Buckets, metrics: Metrics, under_way: Callable[[], int] = lambda: 0) -> None:
        """Begin with an empty queue; `start` begins to answer.

        Args:
            buckets: sizes of batches.
            metrics: where it is counted.
            under_way: tells how many requests are, with jobs, before them or just after: those whom a batch waits for.
        """
        self._buckets = buckets
        self._metrics = metrics
        self._under_way = under_way
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="metajax-beside")

    def start(self) -> None:
        """Answer from now on, in the running event loop."""
        loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._work, args=(loop,), name="metajax-batches", daemon=True)
        self._thread.start()

    async def answer(self, job: Job) -> Answer:
        """Wait for a job's answer. A caller that is cancelled takes its job along."""
        self._queue.put(job)
        self._metrics.waiting.set(self._queue.qsize())
        return await job.answer

    async def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call a function that computes beside the batches, which do not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._beside, self._counted, function, *arguments)

    async def close(self) -> None:
        """Answer what waits, and end."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.get_running_loop().run_in_executor(self._beside, self._thread.join)
        self._beside.shutdown()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer batch after batch until None comes.

        The thread takes what waits by itself: when the event loop handed it every batch, a quarter of the time went by
        until it had the interpreter.
        """
        taken: list[Job | None] = []
        while None not in taken:
            taken = self._gathered()
            self._metrics.waiting.set(self._queue.qsize())
            awaited = [job for job in taken if job is not None and not job.answer.done()]
            for version in dict.fromkeys(job.version for job in awaited):
                jobs = [job for job in awaited if job.version is version]
                loop.call_soon_threadsafe(_tell, jobs, self._answers(jobs))

    def _gathered(self) -> list[Job | None]:
        """Wait for a job, and a little for those who are under way; None is the last."""
        taken, until = [self._queue.get()], time.monotonic() + PATIENCE
        while len(taken) < self._buckets.tasks[-1] and taken[-1] is not None:
            comes = self._under_way() > len(taken) and time.monotonic() < until
            try:
                taken.append(self._queue.get(timeout=GLANCE if comes else 0))
            except Empty:
                if not comes:
                    break
        return taken

    def _answers(self, jobs: list[Job]) -> Sequence[Answer | Exception]:
        self._metrics.batch_sizes.observe(len(jobs))
        try:
            return self._counted(run, jobs, self._buckets)
        except Exception as error:
            return [error] * len(jobs)

    def _counted(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Count what compiles here: once the service is ready, nothing should."""
        before = compilations_here()
        try:
            return function(*arguments)
        finally:
            if compiled := compilations_here() - before:
                self._metrics.late_compilations.inc(compiled)
