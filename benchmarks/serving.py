"""Measure the service: python -m benchmarks.serving (or `make bench-serve`).

Starts `metajax serve` in a process of its own and asks from this one, on loopback. Half of those who ask are stored
users, with 20 ratings each; the others send 10 ratings along. Prints what is wanted, what was found, and pass or short;
`--keep` writes it to experiments/results/serving.json too.
"""

import argparse
import asyncio
import os
import platform
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.clock import Spread, spread
from benchmarks.serving_faults import Events, reload_under_load, send_until_killed
from benchmarks.serving_load import Door, Load, lasting, load
from benchmarks.serving_process import TO_TRAIN, Served, catalogue, describe_model, trained, variants
from metajax.experiment.provenance import commit
from metajax.files import write_json

RESULT = Path(__file__).parents[1] / "experiments" / "results" / "serving.json"
STORED, GIVEN = 20, 10
"""Ratings of a stored user, and of one who sends them."""
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


@dataclass
class Measured:
    """Numbers of the rounds, by row."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Note a number."""
        self.values.setdefault(name, []).append(float(value))

    def spread(self, name: str) -> Spread:
        """Return median and quartiles."""
        return spread(np.array(self.values[name]))


ROWS = (
    ("1 client, p50", "ms", "at most", 3.0),
    ("1 client, p99", "ms", "at most", 15.0),
    ("16 clients", "requests/s", "at least", 1500.0),
    ("16 clients, p99", "ms", "at most", 30.0),
    ("16 clients, times the rate of --buckets 1", "x", "at least", 3.0),
    ("4 times the capacity, answers other than 200 and 429", "", "at most", 0.0),
    ("4 times the capacity, p99 of 200", "ms", "at most", 150.0),
    ("4 times the capacity, memory grows by", "MB", "at most", 50.0),
    ("feedback", "events/s", "at least", 5000.0),
    ("kill -9, acknowledged events lost", "", "at most", 0.0),
    ("kill -9, events doubled", "", "at most", 0.0),
    ("reloads, failed requests", "", "at most", 0.0),
    ("reloads, answers of no single version", "", "at most", 0.0),
    ("compilations after ready", "", "at most", 0.0),
    ("ready on a warm cache", "s", "at most", 8.0),
    ("memory", "MB", "at most", 500.0),
)
"""Name, unit, and what is wanted of the median."""
TOLD = ("4 times the capacity, offered", "16 clients with --buckets 1", "kill -9, events acknowledged", "reload takes")
"""What is kept beside the rows."""


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


def measure(artifact: Path, folder: Path, plan: Plan, tell: Callable[[str], None]) -> Measured:
    """Measure all of it."""
    found, askers = Measured(), Askers(artifact)
    (models := folder / "models").mkdir()
    tell("starting twice: the first fills the cache of programs")
    Served(artifact, folder).end()
    batched = Served(artifact, folder, "--models", str(models))
    single = Served(artifact, folder, "--buckets", "1", store="single.db")
    found.add("ready on a warm cache", batched.ready_after)
    try:
        for one in (batched, single):
            askers.store(one.door)
        _rates(found, batched, single, askers, plan, tell)
        single.end()
        _overload(found, batched, askers, plan, tell)
        _feedback(found, batched, askers, plan, tell)
        found.add("compilations after ready", batched.metric("metajax_late_compilations_total"))
        found.add("memory", batched.memory())
        _reloads(found, batched, artifact, models, askers, plan, tell)
        _kills(found, batched, artifact, folder, askers, plan, tell)
    finally:
        for one in (batched, single):
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()
    return found


def _rates(
    found: Measured, batched: Served, single: Served, askers: Askers, plan: Plan, tell: Callable[[str], None]
) -> None:
    """Measure one client and sixteen, of both services by turns."""
    bodies = askers.mixed()
    requests = {id(one): [one.door.request("/v1/recommend", body) for body in bodies] for one in (batched, single)}

    def ask(one: Served, clients: int, seconds: float) -> Load:
        return run(load(one.door.port, requests[id(one)], clients=clients, until=lasting(seconds)))

    for one in (batched, single):
        ask(one, 16, 1.0)  # until every stored user has a state
    for number in range(plan.rounds):
        alone = ask(batched, 1, plan.seconds)
        together, apart = ask(batched, 16, plan.seconds), ask(single, 16, plan.seconds)
        found.add("1 client, p50", alone.quantile(0.5))
        found.add("1 client, p99", alone.quantile(0.99))
        found.add("16 clients", together.rate)
        found.add("16 clients, p99", together.quantile(0.99))
        found.add("16 clients with --buckets 1", apart.rate)
        found.add("16 clients, times the rate of --buckets 1", together.rate / apart.rate)
        tell(f"round {number + 1} of {plan.rounds}: {together.rate:.0f} requests/s, unbatched {apart.rate:.0f}")


def _overload(found: Measured, served: Served, askers: Askers, plan: Plan, tell: Callable[[str], None]) -> None:
    requests = [served.door.request("/v1/recommend", body) for body in askers.mixed()]
    capacity = found.spread("16 clients").median
    others = 0
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


def _feedback(found: Measured, served: Served, askers: Askers, plan: Plan, tell: Callable[[str], None]) -> None:
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


def _reloads(
    found: Measured,
    served: Served,
    artifact: Path,
    models: Path,
    askers: Askers,
    plan: Plan,
    tell: Callable[[str], None],
) -> None:
    versions = variants(artifact, models, plan.reloads + 2)
    reloaded = reload_under_load(served, versions, askers.given(32), clients=4)
    failed = sum(count for status, count in reloaded.load.statuses.items() if status != 200)
    found.add("reloads, failed requests", failed)
    found.add("reloads, answers of no single version", len(reloaded.load.wrong))
    for seconds in reloaded.seconds:
        found.add("reload takes", seconds)
    tell(f"{plan.reloads} reloads: {dict(reloaded.load.statuses)}, {len(reloaded.models)} versions answered")


def _kills(
    found: Measured,
    served: Served,
    artifact: Path,
    folder: Path,
    askers: Askers,
    plan: Plan,
    tell: Callable[[str], None],
) -> None:
    events = Events(askers.items, askers.ratings(1).popitem()[1])
    for number in range(plan.kills):
        run(send_until_killed(served, events, random.Random(number).uniform(0.2, 0.8)))
        served.end(signal.SIGKILL)
        served = Served(artifact, folder)
        found.add("ready on a warm cache", served.ready_after)
        tell(f"killed {number + 1} of {plan.kills}: {len(events.acknowledged)} batches acknowledged")
    lost, doubled = events.check(served.door)
    found.add("kill -9, acknowledged events lost", lost)
    found.add("kill -9, events doubled", doubled)
    found.add("kill -9, events acknowledged", 25 * len(events.acknowledged))
    served.end()


def passed(found: Spread, bound: str, wanted: float) -> bool:
    """Say whether the median is as wanted."""
    return found.median <= wanted if bound == "at most" else found.median >= wanted


def table(found: Measured) -> str:
    """Return the rows as Markdown."""
    lines = ["| what | wanted | found, median and quartiles | |", "|---|---|---|---|"]
    for name, unit, bound, wanted in ROWS:
        value = found.spread(name)
        measured = f"{value.median:.5g} {unit} [{value.low:.5g}, {value.high:.5g}]"
        verdict = "pass" if passed(value, bound, wanted) else "short"
        lines.append(f"| {name} | {bound} {wanted:g} {unit} | {measured} | {verdict} |")
    for name in TOLD:
        value = found.spread(name)
        lines.append(f"| {name} | | {value.median:.5g} [{value.low:.5g}, {value.high:.5g}] | |")
    return "\n".join(lines)


def document(found: Measured, plan: Plan, *, model: str, load_before: float) -> dict[str, Any]:
    """Return what serving.json keeps."""
    import jax

    rows = [
        {
            "name": name,
            "unit": unit,
            "bound": bound,
            "wanted": wanted,
            "value": (value := found.spread(name))._asdict(),
            "passed": passed(value, bound, wanted),
        }
        for name, unit, bound, wanted in ROWS
    ]
    return {
        "schema": "metajax-serving",
        "version": 1,
        "commit": commit(),
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine(), "load_before": round(load_before, 2)},
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
        "model": model,
        "users": f"half stored with {STORED} ratings, half sending {GIVEN}; the generator is on the same machine",
        "plan": vars(plan),
        "rows": rows,
        "told": {name: found.spread(name)._asdict() for name in TOLD},
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--artifact", type=Path, help="a run or artifact (default: trained on MovieLens-1M if need be)")
    parser.add_argument("--learner", choices=list(TO_TRAIN), default="flagship", help="trained (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, in under two minutes")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT.name}")
    options = parser.parse_args(arguments)
    artifact, plan = (options.artifact or trained(options.learner)).resolve(), QUICK if options.quick else FULL
    load_before = os.getloadavg()[0]
    with TemporaryDirectory(prefix="metajax-bench-serve-") as folder:
        found = measure(artifact, Path(folder), plan, lambda line: print(line, file=sys.stderr, flush=True))
    print(f"{describe_model(artifact)}; load before {load_before:.2f}\n\n{table(found)}")
    if options.keep:
        write_json(RESULT, document(found, plan, model=describe_model(artifact), load_before=load_before))


if __name__ == "__main__":
    main()
