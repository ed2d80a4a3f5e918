"""Train on generated files of 500 to ten million ratings without a choice: python -m benchmarks.own_data.

Or `make bench-own-data`. Each is a csv file of half stars with planted tastes. `metajax train FILE` and `metajax
evaluate` run as a person runs them, but that baselines are not tuned and lists of the whole catalogue are left out.
Prints time, memory, and the error beside that of the best baseline; writes experiments/results/own_data.json.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from metajax.experiment.provenance import commit
from metajax.files import write_json

RESULT = Path(__file__).parents[1] / "experiments" / "results" / "own_data.json"
SIZES = (
    (500, 40, 60),
    (10_000, 300, 500),
    (100_000, 1_000, 1_700),
    (1_000_000, 6_000, 3_700),
    (10_000_000, 70_000, 10_700),
)
"""(ratings, users, items); the larger ones like those of MovieLens."""
NOISE = 0.8
FLAGS = ("--quiet", "--evaluation.no-tuned", "--evaluation.shots", "5", "--evaluation.catalogue-cutoffs")


def generated(ratings: int, users: int, items: int) -> pl.DataFrame:
    """Return ratings of 12 hidden factors, biases and noise; users are log-normal, items by a power law."""
    random = np.random.default_rng(0)
    activity = np.exp(random.normal(0, 1, users))
    counts = np.maximum(1.4 * ratings * activity / activity.sum(), 2).astype(int)
    popularity = random.permutation((np.arange(items) + 20.0) ** -0.95)
    user = np.repeat(np.arange(users), counts)
    item = random.choice(items, len(user), p=popularity / popularity.sum())
    pairs = random.permutation(np.unique(user * items + item))[:ratings]
    user, item = pairs // items, pairs % items
    taste, kind = random.normal(0, 0.35, (users, 12)), random.normal(0, 0.5, (items, 12))
    of_user, of_item = random.normal(0, 0.4, users), random.normal(0, 0.45, items)
    mean = 3.5 + of_user[user] + of_item[item]
    for factor in range(12):
        mean += taste[user, factor] * kind[item, factor]
    rating = np.clip(np.round(2 * (mean + random.normal(0, NOISE, len(user)))) / 2, 0.5, 5)
    return pl.DataFrame({"user_id": user, "item_id": item, "rating": rating})


def measure(folder: Path, sizes: list[tuple[int, int, int]]) -> Iterator[dict[str, object]]:
    """Yield what RESULT holds of each size, smallest first: memory is the most that any process has taken so far."""
    for ratings, users, items in sorted(sizes):
        file = folder / f"{ratings}.csv"
        made = generated(ratings, users, items)
        made.write_csv(file)
        seconds = {}
        for verb, arguments in (("train", (file, "--runs", folder, *FLAGS)), ("evaluate", (folder / str(ratings),))):
            started = time.perf_counter()
            command = [sys.executable, "-m", "metajax.cli", verb, *map(str, arguments)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[verb] = round(time.perf_counter() - started, 1)
        report = json.loads((folder / str(ratings) / "report.json").read_text(encoding="utf-8"))
        found = {one["method"]: one for one in report["results"] if (one["metric"], one["k"]) == ("rmse", None)}
        [ours] = [one for one in found.values() if one["kind"] == "learner"]
        best = min((one for one in found.values() if one["kind"] == "baseline"), key=lambda one: one["value"])
        yield {
            "ratings": made.height,
            "users": made["user_id"].n_unique(),
            "items": made["item_id"].n_unique(),
            "seconds": seconds,
            "most_bytes": 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
            "tested_users": ours["users"],
            "rmse": [ours["value"], ours["low"], ours["high"]],
            "best_baseline": [best["method"], best["value"], best["low"], best["high"]],
        }
        file.unlink()


def main() -> None:
    """Generate, train, evaluate, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=SIZES[-1][0], help="ratings of the largest file (default: all)")
    most = parser.parse_args().most
    rows = []
    with TemporaryDirectory(prefix="metajax-own-data-") as folder:
        for row in measure(Path(folder), [size for size in SIZES if size[0] <= most]):
            rows.append(row)
            print(json.dumps(row), flush=True)
    write_json(RESULT, {"rows": rows, "noise": NOISE, "commit": commit(), "python": sys.version.split()[0]})


if __name__ == "__main__":
    main()
