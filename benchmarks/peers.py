"""Measure other libraries' recommenders on our tasks by our metrics: python -m benchmarks.peers (or `make peers`).

Needs `implicit` and LensKit, which want an environment of their own:

    python3 -m venv .venv-peers && .venv-peers/bin/pip install -e '.[peers]'
    OPENBLAS_NUM_THREADS=1 .venv-peers/bin/python -m benchmarks.peers movielens_1m/uptake

Every peer has six candidates, as many as a learner has trials; validation users choose one, as for our own tuned
baselines. Where the run of an experiment has been evaluated (`metajax evaluate`), its learner is tested against every
peer, paired over users. Results go to experiments/results/<folder>/peers.json; `make docs` shows them.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.peer_methods import peers
from metajax.errors import ConfigError
from metajax.evaluation.baselines import training_of
from metajax.evaluation.baselines.methods import baseline_methods
from metajax.evaluation.cells import Cells, differences, with_direction
from metajax.evaluation.measure import results_frame
from metajax.evaluation.protocols import lay_out
from metajax.evaluation.report import report_document
from metajax.evaluation.results import metric_columns, pool_seeds, read_per_user
from metajax.evaluation.selection import select
from metajax.evaluation.summary import Summary, summarise
from metajax.experiment import Experiment, load_experiment
from metajax.experiment.assembly import assemble
from metajax.experiment.evaluating import protocol_of, setting_of
from metajax.experiment.provenance import commit
from metajax.files import write_text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"
DEFAULT = tuple(f"{folder}/uptake" for folder in ("movielens_1m", "movielens_100k", "latest_small", "lastfm"))
SCENARIO = "user_cold"


def measure(experiment: Experiment, *, per_user: Path | None) -> tuple[Summary, dict[str, Any]]:
    """Choose, fit and measure every peer on cold users.

    Args:
        experiment: whose data, split and evaluation are taken; its learner is not.
        per_user: of an evaluated run, whose learner is tested against every peer; None tests nothing.

    Returns:
        The summary, and what is known of how it came about.
    """
    evaluation = replace(experiment.evaluation, shots=(0, 1, 3, 5, 10, 20))
    assembly = assemble(replace(experiment, evaluation=evaluation))
    split = replace(assembly.split, scenarios={SCENARIO: assembly.split.scenarios[SCENARIO]}, holds_out_items=False)
    training = training_of(assembly.interactions, split.train)
    families = peers(ratings=not training.is_implicit)
    config = assembly.experiment.evaluation
    began = time.perf_counter()
    chosen = select(split, (), families, shots=config.validation_shots, relevant=config.threshold, progress=_say)
    tuning_seconds = time.perf_counter() - began
    methods = baseline_methods(training, (), chosen.tuned, chosen.noise, progress=_say)
    tasks = {SCENARIO: lay_out(split.scenarios[SCENARIO], assembly.interactions)}
    frame = results_frame(tasks, methods, setting_of(assembly, training), progress=_say)
    protocol = protocol_of(assembly)
    summary = summarise(frame, protocol=protocol, reference_baseline=chosen.references[SCENARIO])
    if per_user:
        summary = replace(summary, comparisons=_against(per_user, frame, protocol))
    return summary, {
        "data": {"name": assembly.interactions.name},
        "tuned_baselines": {name: {one: found.name for one, found in by.items()} for name, by in chosen.tuned.items()},
        "trials": {name: len(candidates) for name, candidates in families.items()},
        "tuning_seconds": round(tuning_seconds, 1),
    }


def _against(per_user: Path, frame: pl.DataFrame, protocol: dict[str, Any]) -> tuple:
    """Test the learner of a run against every peer; p is Holm-corrected over peers and metrics of a support size."""
    ours = read_per_user(per_user).frame.filter((pl.col("kind") == "learner") & (pl.col("scenario") == SCENARIO))
    both = pl.concat([ours, frame], how="diagonal_relaxed")
    cells = with_direction(Cells.of(pool_seeds(both), metric_columns(both)), protocol)
    pairs = [(mine, peer) for mine in ours["method"].unique() for peer in frame["method"].unique(maintain_order=True)]
    return tuple(differences(SCENARIO, cells, pairs, seed=0))


def _say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def _versions() -> dict[str, str]:
    try:
        return {name: version(name) for name in ("implicit", "lenskit", "torch", "numpy")}
    except PackageNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed. In an environment of their own: pip install -e '.[peers]'."
        ) from error


def main(arguments: list[str] | None = None) -> None:
    """Measure the peers of the named experiments and keep what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiments", nargs="*", default=DEFAULT, metavar="FOLDER/NAME")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args(arguments)
    versions = _versions()
    for name in options.experiments:
        print(name, flush=True)
        per_user = options.runs / name / "per_user.parquet"
        summary, about = measure(
            load_experiment(ROOT / "experiments" / f"{name}.py"), per_user=per_user if per_user.is_file() else None
        )
        folder = Path(name).parent
        metadata = {
            "name": f"{folder}/peers",
            "command": f"python -m benchmarks.peers {name}",
            "commit": commit(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions,
            "config": None,
            **about,
        }
        document = report_document(summary, metadata)
        write_text(RESULTS / folder / "peers.json", json.dumps(document, separators=(",", ":")) + "\n")
        print(f"kept experiments/results/{folder}/peers.json")


if __name__ == "__main__":
    main()
