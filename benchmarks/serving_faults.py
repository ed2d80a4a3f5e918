"""What must not go wrong under load: reloads that fail a request, and deaths that lose or double an event."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.serving_load import Connection, Door, Load, connect, load
from benchmarks.serving_process import Served

BATCH = 25
"""Events of a request in which they are counted."""
SENDERS = 4
USERS = 8
"""Users that those events are of."""


class Reloads(NamedTuple):
    """What came of reloads under load.

    Attributes:
        load: answers meanwhile; `wrong` are those that no single version gives.
        seconds: each took, from the order to the promotion.
        models: names of the versions that answered.
    """

    load: Load
    seconds: list[float]
    models: set[str]


def reload_under_load(served: Served, versions: list[Path], bodies: list[dict[str, Any]], *, clients: int) -> Reloads:
    """Load and promote one version after another while clients ask with ratings of their own.

    The first two versions are asked alone for what they answer; the others answer as they do, by turns.
    """
    door, requests = served.door, [served.door.request("/v1/recommend", body) for body in bodies]
    expected: list[list[np.ndarray]] = []
    parity: dict[str, int] = {}
    for path in versions[:2]:
        parity[_promote(door, path)] = len(expected)
        expected.append([_scores(door.call("/v1/recommend", body)) for body in bodies])
    models: set[str] = set()

    def check(number: int, body: bytes) -> str | None:
        answer = json.loads(body)
        models.add(answer["model"])
        if answer["model"] not in parity:
            return f"{answer['model']} was not loaded"
        wanted, found = expected[parity[answer["model"]]][number], _scores(answer)
        is_right = wanted.shape == found.shape and np.allclose(wanted, found, rtol=0, atol=1e-4)
        return None if is_right else f"{answer['model']}: {found} instead of {wanted}"

    async def both() -> tuple[Load, list[float]]:
        is_over, seconds = False, []

        async def reload() -> None:
            nonlocal is_over
            try:
                for number, path in enumerate(versions[2:]):
                    began = time.perf_counter()
                    name = await _loaded(door, path)
                    parity[name] = number % 2
                    await _asked(door, "/v1/admin/models:promote", {"version": name})
                    seconds.append(time.perf_counter() - began)
            finally:
                is_over = True

        asked = load(door.port, requests, clients=clients, until=lambda _: is_over, check=check)
        found, _ = await asyncio.gather(asked, reload())
        return found, seconds

    return Reloads(*asyncio.run(both()), models)


def _promote(door: Door, path: Path) -> str:
    async def run() -> str:
        name = await _loaded(door, path)
        await _asked(door, "/v1/admin/models:promote", {"version": name})
        return name

    return asyncio.run(run())


async def _loaded(door: Door, path: Path) -> str:
    found = await _asked(door, "/v1/admin/models:load", {"path": str(path)})
    [name] = [one["version"] for one in found["models"] if one["path"] and Path(one["path"]) == path.resolve()]
    return name


async def _asked(door: Door, path: str, body: Any) -> Any:
    connection = await connect(door.port)
    status, content = await connection.ask(door.request(path, body))
    connection.close()
    if status != 200:
        raise RuntimeError(f"{path} answered {status}: {content[:300]!r}")
    return json.loads(content)


def _scores(answer: dict[str, Any]) -> np.ndarray:
    return np.array([one["score"] for one in answer["items"]])


class Events:
    """Batches of events that were sent, and those that were acknowledged as stored."""

    def __init__(self, items: list[str], rating: float) -> None:
        """Send ratings of these items."""
        self._items, self._rating = items, rating
        self._next = 0
        self.unanswered: list[int] = []
        self.acknowledged: set[int] = set()

    def batch(self) -> int:
        """Take a batch: first those that were sent and not answered, which are sent again."""
        if self.unanswered:
            return self.unanswered.pop()
        self._next += 1
        return self._next - 1

    def body(self, number: int) -> dict[str, Any]:
        """Return a batch as it is sent: the same ids each time."""
        events = [
            {
                "id": f"{number}-{place}",
                "user": f"counted-{number % USERS}",
                "item": self._items[(number * BATCH + place) % len(self._items)],
                "rating": self._rating,
            }
            for place in range(BATCH)
        ]
        return {"events": events}

    def check(self, door: Door) -> tuple[int, int]:
        """Return how many acknowledged events are lost and how many events are stored twice, or never were sent."""
        ids = [one["id"] for user in range(USERS) for one in door.call(f"/v1/users/counted-{user}")["events"]]
        wanted = {f"{number}-{place}" for number in self.acknowledged for place in range(BATCH)}
        sent = {f"{number}-{place}" for number in range(self._next) for place in range(BATCH)}
        return len(wanted - set(ids)), len(ids) - len(set(ids)) + len(set(ids) - sent)


async def send_until_killed(served: Served, events: Events, seconds: float) -> None:
    """Send batches, kill the service after so many seconds, and note what was acknowledged before."""

    async def sender() -> None:
        connection: Connection = await connect(served.door.port)
        while connection.is_open:
            number = events.batch()
            status, content = await connection.ask(served.door.request("/v1/feedback", events.body(number)))
            if status == 200 and content.count(b'"stored":true') == BATCH:
                events.acknowledged.add(number)
            else:
                events.unanswered.append(number)

    async def kill() -> None:
        await asyncio.sleep(seconds)
        served.process.send_signal(signal.SIGKILL)

    await asyncio.gather(kill(), *(sender() for _ in range(SENDERS)))
