"""Run the board again: `make results`, `make results-quick`, or python docs/run_board.py [--quick] [REPORT...].

Every kept report is trained and evaluated again, by the configuration that it holds, and kept; then the tables are
written. A REPORT is a name such as movielens_1m/ridge; all by default. A run that is there already goes on where it was
stopped; one that is told of titles is left out where nothing can read them (extra `text`). On two CPU cores about ten
minutes a report: all take most of a day.

--quick trains one seed of the flagship on MovieLens-1M, evaluates it beside the baselines, prints both next to the kept
figures, and keeps nothing: under twenty minutes.
"""

import argparse
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keep_report import RESULTS, keep
from results_table import NO_REPORTS
from results_table import main as write_tables
from rich.console import Console
from rich.table import Table

from metajax.cli.compilation import use_compilation_cache
from metajax.evaluation.report import read_report
from metajax.evaluation.summary import Summary
from metajax.evaluation.wording import number
from metajax.experiment import Experiment
from metajax.experiment.codec import decode
from metajax.experiment.evaluating import evaluate_run
from metajax.experiment.running import train_experiment
from metajax.experiment.tuned import as_best

RUNS = Path("runs")
QUICK = "movielens_1m/flagship"
METRICS = ("mae", "rmse", "ndcg@5", "nll")


def kept_names() -> list[str]:
    """Return the names of all kept reports of learners."""
    paths = [
        path
        for path in sorted(RESULTS.rglob("*.json"))
        if path.name not in (*NO_REPORTS, "baselines.json", "peers.json")
    ]
    return [path.relative_to(RESULTS).with_suffix("").as_posix() for path in paths]


def kept(name: str) -> tuple[Experiment, dict[str, Any]]:
    """Return the resolved choices of a kept report, and all else that it says of itself."""
    metadata = read_report(RESULTS / f"{name}.json").metadata
    return decode(metadata["config"]), metadata


def run(experiment: Experiment, *, tuning: dict[str, Any] | None = None) -> Summary:
    """Train what is not trained yet, and evaluate."""
    folder = RUNS / experiment.name
    train_experiment(experiment, folder, tuning=tuning, resume=(folder / "config.json").is_file())
    return evaluate_run(folder, command=f"make results OPTIONS={experiment.name}")


def quick() -> None:
    """Print one seed of the flagship and the baselines beside the kept figures."""
    experiment, _ = kept(QUICK)
    found = run(replace(experiment, name="quick/flagship", seeds=(0,)))
    before = {
        (one.scenario, one.method, one.metric): one.value
        for name in (QUICK, "movielens_1m/baselines")
        for one in read_report(RESULTS / f"{name}.json").summary.estimates
        if one.k is None
    }
    for scenario in found.scenarios:
        table = Table("method", *(f"{metric} (kept)" for metric in METRICS), title=f"{scenario}, full support")
        now = {
            (one.method, one.metric): one.value for one in found.estimates if (one.scenario, one.k) == (scenario, None)
        }
        for method in sorted({method for method, _ in now}, key=lambda one: now.get((one, "mae"), 9.0)):
            cells = [(now.get((method, metric)), before.get((scenario, method, metric))) for metric in METRICS]
            table.add_row(
                method, *(f"{number(one)} ({number(other)})" if one is not None else "" for one, other in cells)
            )
        Console().print(table)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="*", metavar="REPORT")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    use_compilation_cache()
    if options.quick:
        return quick()
    for place, name in enumerate(names := options.reports or kept_names(), start=1):
        print(f"{place} of {len(names)}: {name}")
        experiment, metadata = kept(name)
        if experiment.data.text_encoder and find_spec("sentence_transformers") is None:
            print("left out: it is told of titles, which needs .venv/bin/pip install '.[text]'")
            continue
        run(experiment, tuning=as_best(metadata["tuning"], metadata["config"]) if "tuning" in metadata else None)
        keep(RUNS / name)
    write_tables()


if __name__ == "__main__":
    main()
