"""Measure metajax against torch and against itself: python -m benchmarks (or `make bench`, `make bench-quick`).

Every measurement is taken in one process, in turns; ratios are of pairs within a round. A peer that does not compute
the same loss and meta-gradient is refused before any clock. Writes experiments/results/speed.json and speed.png, and
the table of docs/performance.md, unless `--quick`.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import catalogue_rows, machine, outer_rows, own_rows, person_rows, table_rows
from benchmarks.clock import interleave
from benchmarks.report import describe, document, write
from benchmarks.rows import Group
from benchmarks.workload import data_source


def groups(rounds: int, *, quick: bool) -> dict[str, Callable[[], Group]]:
    """Return what is measured, by the name that `--only` takes."""
    return {
        "one-step": lambda: outer_rows.prepare(1, compile_peers=not quick),
        "five-steps": lambda: outer_rows.prepare(5, compile_peers=not quick),
        "person": lambda: person_rows.prepare(rounds),
        "catalogue": lambda: catalogue_rows.prepare(rounds),
        "closed-form": own_rows.closed_form,
        "many-tasks": own_rows.many_tasks,
        "many-items": table_rows.prepare,
        "devices": lambda: own_rows.two_devices(rounds),
        "second-process": lambda: own_rows.second_process(1 if quick else 3),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    names = list(groups(0, quick=True))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="nine rounds and no torch.compile; keeps no results")
    parser.add_argument("--rounds", type=int, help="of measurements, nine or more (default: 25, or 9 if quick)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="measure these groups (default: all)")
    parser.add_argument("--results", type=Path, help="folder for speed.json and speed.png, besides what is printed")
    options = parser.parse_args(arguments)
    rounds = options.rounds or (9 if options.quick else 25)
    if rounds < 9:
        parser.error(f"--rounds must be 9 or more, got {rounds}: quartiles of fewer say nothing.")
    load = os.getloadavg()[0]
    chosen = groups(rounds, quick=options.quick)
    ready = {name: _prepared(name, chosen[name]) for name in dict.fromkeys(["one-step", *options.only])}
    calls = {**machine.peaks(), **{name: call for group in ready.values() for name, call in group.calls.items()}}
    print(f"timing {len(calls)} calls in turns, {rounds} rounds", file=sys.stderr)
    timings = interleave(calls, rounds, tell=lambda line: print(line, file=sys.stderr, flush=True))
    rows = [row for group in ready.values() for row in group.rows(timings)]
    made = document(rows, timings, list(ready.values()), rounds=rounds, load=load, source=data_source())
    print(describe(made))
    if options.results or not (options.quick or options.only != names):
        write(made, options.results)


def _prepared(name: str, prepare: Callable[[], Group]) -> Group:
    print(f"preparing {name}", file=sys.stderr)
    group = prepare()
    for what, why in group.skipped.items():
        print(f"skipped: {what}: {why}", file=sys.stderr)
    return group


if __name__ == "__main__":
    main()
