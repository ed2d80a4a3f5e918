"""A store that is watched: how long its calls take, and how many fail."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from metajax.errors import StoreError
from metajax.serving.metrics import Metrics
from metajax.serving.store import Event, StoredState, UserRecord, UserStore


class WatchedStore:
    """Passes every call on to `store`."""

    def __init__(self, store: UserStore, metrics: Metrics) -> None:
        """Watch a store."""
        self._store = store
        self._metrics = metrics

    async def append(self, events: Sequence[Event]) -> list[bool]:
        with self._watched("append"):
            return await self._store.append(events)

    async def read(self, user: str, model: str) -> UserRecord:
        with self._watched("read"):
            return await self._store.read(user, model)

    async def write_state(self, user: str, state: StoredState) -> None:
        with self._watched("write_state"):
            await self._store.write_state(user, state)

    async def erase(self, user: str) -> int:
        with self._watched("erase"):
            return await self._store.erase(user)

    async def ready(self) -> None:
        with self._watched("ready"):
            await self._store.ready()

    async def close(self) -> None:
        await self._store.close()

    @contextmanager
    def _watched(self, call: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except StoreError:
            self._metrics.store_errors.labels(call).inc()
            raise
        finally:
            self._metrics.store_seconds.labels(call).observe(time.perf_counter() - began)
