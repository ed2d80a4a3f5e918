"""What the benchmark leaves: experiments/results/speed.json, a figure, and the table of docs/performance.md."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.clock import spread
from benchmarks.machine import COPY_BYTES, GEMM_FLOPS
from benchmarks.rows import Group, Row, Timings, fastest
from metajax.experiment.provenance import commit
from metajax.files import atomic, read_json, write_json, write_text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"
PAGE = ROOT / "docs" / "performance.md"
SCHEMA = "metajax-speed"
BEGIN, END = "<!-- speed -->", "<!-- /speed -->"


def document(
    rows: Sequence[Row], timings: Timings, groups: Sequence[Group], *, rounds: int, load: float, source: str
) -> dict[str, Any]:
    """Collect all that speed.json keeps; times in seconds, peaks in operations and bytes a second."""
    operations = {name: count for group in groups for name, count in group.operations.items()}
    peaks = {
        "arithmetic": _peak(timings, "matrix product", GEMM_FLOPS),
        "copy": _peak(timings, "copy", COPY_BYTES),
    }
    return {
        "schema": SCHEMA,
        "version": 1,
        "commit": commit(),
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine(), "load_before": round(load, 2)},
        "versions": {"python": platform.python_version(), "jax": jax.__version__, "torch": _version("torch")},
        "workload": source,
        "rounds": rounds,
        "peaks": peaks,
        "rows": [row.document() for row in rows],
        "seconds": {name: _measured(each, operations.get(name), peaks) for name, each in timings.items()},
        "skipped": {what: why for group in groups for what, why in group.skipped.items()},
    }


def _peak(timings: Timings, kind: str, amount: float) -> dict[str, Any]:
    name = fastest(timings, [name for name in timings if name.startswith("peak:") and name.endswith(kind)])
    return {"by": name, "a_second": amount / float(np.median(timings[name])) if name else None}


def _measured(each: np.ndarray, operations: float | None, peaks: dict) -> dict[str, Any]:
    found: dict[str, Any] = spread(each)._asdict()
    if operations and peaks["arithmetic"]["a_second"]:
        found |= {"operations": operations}
        found |= {"fraction_of_peak": operations / found["median"] / peaks["arithmetic"]["a_second"]}
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe(made: dict[str, Any]) -> str:
    """Write the Markdown tables: the rows, then every measurement."""
    machine, versions, peaks = made["machine"], made["versions"], made["peaks"]
    torch = f"torch {versions['torch']}" if versions["torch"] else "no torch"
    lines = [
        f"Commit {made['commit']}, Python {versions['python']}, jax {versions['jax']}, {torch}, {machine['cpus']} CPU "
        f"cores (load before: {machine['load_before']}), {made['rounds']} rounds; median [quartiles] of paired ratios. "
        f"Data: {made['workload']}. Peaks of this run: {_giga(peaks['arithmetic'])} GFLOP/s "
        f"({peaks['arithmetic']['by']}), {_giga(peaks['copy'])} GB/s ({peaks['copy']['by']}).",
        "",
        "| what | wanted | measured | | ours | against | fraction of the limit |",
        "|---|---|---|---|---|---|---|",
        *(_row(row) for row in made["rows"]),
        "",
        "| measurement | ms | fraction of peak arithmetic |",
        "|---|---|---|",
        *(_time(name, found) for name, found in made["seconds"].items()),
        "",
    ]
    lines += [f"Not measured: {what}: {why}" for what, why in made["skipped"].items()]
    return "\n".join(lines)


def _row(row: dict[str, Any]) -> str:
    value, unit = row["value"], row["unit"]
    wanted = f"{'at most' if row['at_most'] else 'at least'} {row['wanted']:g} {unit}"
    measured = f"{value['median']:.3g} {unit} [{value['low']:.3g}, {value['high']:.3g}]"
    fraction = "" if row["fraction"] is None else f"{100 * row['fraction']:.0f} %"
    cells = (row["name"], wanted, measured, "pass" if row["passed"] else "short", row["ours"], row["against"], fraction)
    return f"| {' | '.join(cells)} |"


def _time(name: str, found: dict[str, Any]) -> str:
    fraction = f"{100 * found['fraction_of_peak']:.1f} %" if "fraction_of_peak" in found else ""
    return (
        f"| {name} | {1e3 * found['median']:.3g} [{1e3 * found['low']:.3g}, {1e3 * found['high']:.3g}] | {fraction} |"
    )


def _giga(peak: dict[str, Any]) -> str:
    return f"{peak['a_second'] / 1e9:.1f}"


def write(made: dict[str, Any], folder: Path | None = None) -> None:
    """Write speed.json and speed.png, and without a `folder` of the caller's own the page's table too."""
    write_json((folder or RESULTS) / "speed.json", made)
    draw((folder or RESULTS) / "speed.png", made)
    if folder is None:
        write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), made))


def fill(page: str, made: dict[str, Any]) -> str:
    """Return the page with the tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{describe(made)}\n\n{END}{rest.partition(END)[2]}"


def draw(path: Path, made: dict[str, Any]) -> None:
    """Draw the medians of all measurements but the peaks, ours in another colour; whiskers are quartiles."""
    from matplotlib.figure import Figure

    found = {name: one for name, one in made["seconds"].items() if not name.startswith("peak:")}
    names = sorted(found, key=lambda name: -found[name]["median"])
    medians = [1e3 * found[name]["median"] for name in names]
    whiskers = [
        [1e3 * (found[name]["median"] - found[name]["low"]) for name in names],
        [1e3 * (found[name]["high"] - found[name]["median"]) for name in names],
    ]
    figure = Figure(figsize=(9, 1 + 0.28 * len(names)), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:blue" if name.startswith("metajax") else "tab:gray" for name in names]
    axes.barh(names, medians, xerr=whiskers, color=colours)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds, median and quartiles")
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def main() -> None:
    """Write the page's table again from the kept results: python -m benchmarks.report."""
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), read_json(RESULTS / "speed.json")))


if __name__ == "__main__":
    main()
