"""What `make bench-serve` leaves: what a commit measured, in runs/, and of that the kept result and the table."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import Spread, spread
from benchmarks.serving_process import ROOT, RUNS
from metajax.experiment.provenance import commit
from metajax.files import read_json, write_json, write_text

RESULT = ROOT / "experiments" / "results" / "serving.json"
PAGE = ROOT / "docs" / "serving.md"
NOTES = RUNS / "bench-serve.json"
BEGIN, END = "<!-- bench-serve -->", "<!-- /bench-serve -->"

ROWS = (
    ("1 client, p50", "ms", "at most", 3.0),
    ("1 client, p99", "ms", "at most", 15.0),
    ("1 client, 50 ratings explained, p50", "ms", "at most", 5.0),
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


def passed(found: Spread, bound: str, wanted: float) -> bool:
    """Say whether the median is as wanted."""
    return found.median <= wanted if bound == "at most" else found.median >= wanted


def rows(values: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Return what serving.json keeps of the rows that were measured."""
    found = Measured(values)
    measured = [row for row in ROWS if row[0] in values]
    spreads = [found.spread(name) for name, *_ in measured]
    return [
        {
            "name": name,
            "unit": unit,
            "bound": bound,
            "wanted": wanted,
            "value": value._asdict(),
            "passed": passed(value, bound, wanted),
        }
        for (name, unit, bound, wanted), value in zip(measured, spreads, strict=True)
    ]


def note(model: str, values: dict[str, list[float]], *, load_before: float, notes: Path = NOTES) -> None:
    """Add what a run measured to the notes of its commit; those of another commit are dropped."""
    old = read_json(notes) if notes.is_file() else {}
    of_model = {} if old.get("commit") != commit() else old["models"]
    before = of_model.get(model, {"values": {}, "load_before": 0.0})
    of_model[model] = {
        "values": before["values"] | values,
        "load_before": max(before["load_before"], round(load_before, 2)),
    }
    notes.parent.mkdir(exist_ok=True)
    write_json(notes, {"commit": commit(), "models": of_model})


def document(noted: dict[str, Any]) -> dict[str, Any]:
    """Return what serving.json keeps of the notes.

    Raises:
        SystemExit: if a row of a model was not measured.
    """
    import jax

    for model, found in noted["models"].items():
        if missing := [name for name, *_ in ROWS if name not in found["values"]]:
            raise SystemExit(f"Of {model} there is nothing yet about: {'; '.join(missing)}. Measure without --parts.")
    models = {
        model: {
            "load_before": found["load_before"],
            "rows": rows(found["values"]),
            "told": {name: Measured(found["values"]).spread(name)._asdict() for name in TOLD},
        }
        for model, found in noted["models"].items()
    }
    return {
        "schema": "metajax-serving",
        "version": 1,
        "commit": noted["commit"],
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine()},
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
        "models": models,
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return rows of models, `{model: {"rows": ..., "told": ...}}`, as Markdown: medians and quartiles."""
    by_name = {model: {row["name"]: row for row in one["rows"]} for model, one in found.items()}
    lines = [f"| what | wanted | {' | '.join(found)} |", f"|---|---|{'---|' * len(found)}"]
    for name, unit, bound, wanted in ROWS:
        cells = [_cell(row.get(name)) for row in by_name.values()]
        if any(cells):
            lines.append(f"| {name} | {bound} {wanted:g} {unit} | {' | '.join(cells)} |")
    for name in TOLD:
        cells = [_values(one["told"][name]) if name in one["told"] else "" for one in found.values()]
        if any(cells):
            lines.append(f"| {name} | | {' | '.join(cells)} |")
    if all("load_before" in one for one in found.values()):
        loads = [f"{one['load_before']:.3g}" for one in found.values()]
        lines.append(f"| load of the machine before: of others, who slow all of this down | | {' | '.join(loads)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{_values(row['value'])} {'pass' if row['passed'] else '**short**'}"


def _values(value: dict[str, float]) -> str:
    if value["low"] == value["high"]:
        return f"{value['median']:.4g}"
    return f"{value['median']:.4g} [{value['low']:.4g}, {value['high']:.4g}]"


def describe(kept: dict[str, Any]) -> str:
    """Return what the page says of the kept result."""
    machine = f"{kept['machine']['cpus']} CPUs ({kept['machine']['processor']}), jax {kept['versions']['jax']}"
    return f"Written by `make bench-serve` at commit {kept['commit']}: {machine}.\n\n{table(kept['models'])}"


def keep(*, notes: Path = NOTES, result: Path = RESULT, page: Path = PAGE) -> None:
    """Write the kept result, and the page's table, of what is noted."""
    write_json(result, made := document(read_json(notes)))
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    write_text(page, f"{before}{BEGIN}\n\n{describe(made)}\n\n{END}{rest.partition(END)[2]}")
