"""Measure the service: python -m benchmarks.serving (or `make bench-serve`).

Starts `metajax serve` in a process of its own and asks from this one, on loopback. Half of those who ask are stored
users, with 20 ratings each; the others send 10 ratings along. Prints what is wanted, what was found, and pass or short.
All is noted in runs/bench-serve.json too; `--keep` writes what is noted of this commit to
experiments/results/serving.json and docs/serving.md.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.serving_faults import Events, reload_under_load, send_until_killed
from benchmarks.serving_load import Door, Load, lasting, load
from benchmarks.serving_process import TO_TRAIN, Served, catalogue, describe_model, trained, variants
from benchmarks.serving_report import TOLD, Measured, keep, note, rows, table

STORED, GIVEN, EXPLAINED = 20, 10, 50
"""Ratings of a stored user, of one who sends them, and of one to whom they are explained."""
ASKERS = 400
"""Different requests for a list, of which half name a stored user."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: float
    kills: int
    reloads: int


FULL, QUICK = Plan(rounds=9, seconds=4.0, kills=20, reloads=20), Plan(rounds=3, seconds=1.5, kills=2, reloads=2)


class Askers:
    """Bodies of requests of a model's catalogue."""

    def __init__(self, artifact: Path) -> None:
        """Draw users and ratings, always the same."""
        self._random = random.Random(0)
        self.items, (self._low, self._high) = catalogue(artifact)

    def ratings(self, count: int) -> dict[str, float]:
        """Draw ratings."""
        chosen = self._random.sample(self.items, min(count, len(self.items)))
        return {item: float(round(self._random.uniform(self._low, self._high))) for item in chosen}

    def store(self, door: Door) -> None:
        """Rate as the stored users do."""
        for user in range(ASKERS // 2):
            ratings = self.ratings(STORED)
            events = [{"user": f"u{user}", "item": item, "rating": rating} for item, rating in ratings.items()]
            door.call("/v1/feedback", {"events": events})

    def given(self, count: int) -> list[dict[str, Any]]:
        """Return bodies that hold ratings."""
        return [{"ratings": self.ratings(GIVEN)} for _ in range(count)]

    def mixed(self) -> list[dict[str, Any]]:
        """Return bodies of stored users and of others by turns."""
        stored = [{"user": f"u{user}"} for user in range(ASKERS // 2)]
        return [one for pair in zip(stored, self.given(len(stored)), strict=True) for one in pair]


def run(coroutine: Any) -> Any:
    """Run in uvloop, as the service does."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def measure(artifact: Path, folder: Path, plan: Plan, parts: Sequence[str], tell: Callable[[str], None]) -> Measured:
    """Measure parts of it, each with services of its own; the first of all fills the cache of programs."""
    askers, found = Askers(artifact), Measured()
    tell("starting once, for the cache of programs")
    Served(artifact, folder).end()
    for part in parts:
        (place := folder / part).mkdir()
        with Services(artifact, place) as services:
            PARTS[part](services, found, askers, plan, tell)
    return found


class Services:
    """Services of one artifact, which end with the block."""

    def __init__(self, artifact: Path, folder: Path) -> None:
        """Serve `artifact` with keys and users in `folder`, and models for reloads in a folder of that."""
        self.artifact = artifact
        (models := folder / "models").mkdir()
        self.models, self._folder, self._started = models, folder, list[Served]()

    def start(self, *options: str, store: str = "users.db") -> Served:
        """Start one."""
        self._started.append(Served(self.artifact, self._folder, "--models", str(self.models), *options, store=store))
        return self._started[-1]

    def __enter__(self) -> "Services":
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End those that still run."""
        for one in self._started:
            if one.process.poll() is None:
                one.end(signal.SIGKILL)


def _rates(services: Services, found: Measured, askers: Askers, plan: Plan, tell: Callable[[str], None]) -> None:
    """Measure one client and sixteen, of a service that batches and one that does not by turns."""
    batched, single = services.start(), services.start("--buckets", "1", store="single.db")
    found.add("ready on a warm cache", batched.ready_after)
    bodies, explained = askers.mixed(), [{"ratings": askers.ratings(EXPLAINED), "explain": True} for _ in range(50)]
    requests = {id(one): [one.door.request("/v1/recommend", body) for body in bodies] for one in (batched, single)}
    reasons = [batched.door.request("/v1/recommend", body) for body in explained]

    def ask(one: Served, clients: int, seconds: float) -> Load:
        return run(load(one.door.port, requests[id(one)], clients=clients, until=lasting(seconds)))

    for one in (batched, single):
        askers.store(one.door)
        ask(one, 16, 1.0)  # until every stored user has a state
    for number in range(plan.rounds):
        alone = ask(batched, 1, plan.seconds)
        why = run(load(batched.door.port, reasons, clients=1, until=lasting(plan.seconds / 2)))
        together, apart = ask(batched, 16, plan.seconds), ask(single, 16, plan.seconds)
        found.add("1 client, p50", alone.quantile(0.5))
        found.add("1 client, p99", alone.quantile(0.99))
        found.add("1 client, 50 ratings explained, p50", why.quantile(0.5))
        found.add("16 clients", together.rate)
        found.add("16 clients, p99", together.quantile(0.99))
        found.add("16 clients with --buckets 1", apart.rate)
        found.add("16 clients, times the rate of --buckets 1", together.rate / apart.rate)
        tell(f"round {number + 1} of {plan.rounds}: {together.rate:.0f} requests/s, unbatched {apart.rate:.0f}")
    _after_load(found, batched)


def _after_load(found: Measured, served: Served) -> None:
    found.add("compilations after ready", served.metric("metajax_late_compilations_total"))
    found.add("memory", served.memory())


def _overload(services: Services, found: Measured, askers: Askers, plan: Plan, tell: Callable[[str], None]) -> None:
    """Offer four times what sixteen clients get, from 256 connections."""
    served = services.start()
    askers.store(served.door)
    requests = [served.door.request("/v1/recommend", body) for body in askers.mixed()]
    capacity, others = 0.0, 0
    for _ in range(3):
        capacity = run(load(served.door.port, requests, clients=16, until=lasting(plan.seconds))).rate
    for _ in range(plan.rounds):
        before = served.memory()
        asked = load(served.door.port, requests, clients=256, until=lasting(plan.seconds), rate=4 * capacity)
        over = run(asked)
        others += sum(count for status, count in over.statuses.items() if status not in (200, 429))
        found.add("4 times the capacity, p99 of 200", over.quantile(0.99))
        found.add("4 times the capacity, memory grows by", max(served.memory() - before, 0.0))
        found.add("4 times the capacity, offered", over.offered / capacity)
        tell(f"overload: {dict(over.statuses)}, {over.offered / capacity:.1f} times the capacity")
    found.add("4 times the capacity, answers other than 200 and 429", others)
    _after_load(found, served)


def _feedback(services: Services, found: Measured, askers: Askers, plan: Plan, tell: Callable[[str], None]) -> None:
    """Send batches of a hundred events from eight connections."""
    served = services.start()
    for _ in range(plan.rounds):
        events = [
            {"user": f"f{number % 1000}", "item": item, "rating": rating}
            for number in range(100)
            for item, rating in askers.ratings(1).items()
        ]
        request = served.door.request("/v1/feedback", {"events": events})
        stored = 0

        def count(_: int, body: bytes) -> None:
            nonlocal stored
            stored += body.count(b'"stored":true')

        asked = load(served.door.port, [request], clients=8, until=lasting(plan.seconds), check=count)
        seconds = run(asked).seconds
        found.add("feedback", stored / seconds)
    tell(f"feedback: {found.spread('feedback').median:.0f} events/s in batches of 100")


def _reloads(services: Services, found: Measured, askers: Askers, plan: Plan, tell: Callable[[str], None]) -> None:
    """Load and promote other versions while four clients ask."""
    served = services.start()
    versions = variants(services.artifact, services.models, plan.reloads + 2)
    reloaded = reload_under_load(served, versions, askers.given(32), clients=4)
    failed = sum(count for status, count in reloaded.load.statuses.items() if status != 200)
    found.add("reloads, failed requests", failed)
    found.add("reloads, answers of no single version", len(reloaded.load.wrong))
    for seconds in reloaded.seconds:
        found.add("reload takes", seconds)
    tell(f"{plan.reloads} reloads: {dict(reloaded.load.statuses)}, {len(reloaded.models)} versions answered")
    found.add("compilations after ready", served.metric("metajax_late_compilations_total"))


def _kills(services: Services, found: Measured, askers: Askers, plan: Plan, tell: Callable[[str], None]) -> None:
    """Kill the service while it is told events, start it again, and count them at the end."""
    served = services.start()
    events = Events(askers.items, askers.ratings(1).popitem()[1])
    for number in range(plan.kills):
        run(send_until_killed(served, events, random.Random(number).uniform(0.2, 0.8)))
        served.end(signal.SIGKILL)
        served = services.start()
        found.add("ready on a warm cache", served.ready_after)
        tell(f"killed {number + 1} of {plan.kills}: {len(events.acknowledged)} batches acknowledged")
    lost, doubled = events.check(served.door)
    found.add("kill -9, acknowledged events lost", lost)
    found.add("kill -9, events doubled", doubled)
    found.add("kill -9, events acknowledged", 25 * len(events.acknowledged))


PARTS = {"rates": _rates, "overload": _overload, "feedback": _feedback, "reloads": _reloads, "kills": _kills}


def main(arguments: list[str] | None = None) -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--artifact", type=Path, help="a run or artifact (default: trained on MovieLens-1M if need be)")
    parser.add_argument("--learner", choices=list(TO_TRAIN), default="flagship", help="trained (default: %(default)s)")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="what (default: all)")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, printed and not noted")
    parser.add_argument("--keep", action="store_true", help="write the result and the page of what is noted")
    options = parser.parse_args(arguments)
    if options.parts:
        artifact, plan = (options.artifact or trained(options.learner)).resolve(), QUICK if options.quick else FULL
        model, load_before = describe_model(artifact), os.getloadavg()[0]
        with TemporaryDirectory(prefix="metajax-bench-serve-") as folder:
            found = measure(artifact, Path(folder), plan, options.parts, lambda line: print(line, file=sys.stderr))
        if not options.quick:
            note(model, found.values, load_before=load_before)
        told = {name: found.spread(name)._asdict() for name in TOLD if name in found.values}
        print(f"load before {load_before:.2f}\n\n{table({model: {'rows': rows(found.values), 'told': told}})}")
    if options.keep:
        keep()


if __name__ == "__main__":
    main()
