"""Verbs about runs: demo, train, evaluate, compare and show."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from metajax.cli.compilation import programs_folder, use_compilation_cache
from metajax.errors import ConfigError

if TYPE_CHECKING:
    from metajax.evaluation.summary import Summary
    from metajax.experiment import Experiment


@dataclass(frozen=True)
class RunOptions:
    """How a run is stored."""

    resume: bool = False
    """Continue an interrupted run of the same choices, bit for bit."""
    overwrite: bool = False
    """Delete an earlier run of this name first."""
    runs: Path = Path("runs")
    """Folder below which the run's own folder lies."""
    quiet: bool = False
    """Draw no progress bar."""
    tuned: Path | None = None
    """A best.json of metajax tune, whose choices take the place of the experiment's."""
    profile: bool = False
    """Trace a few outer steps first, once compiled, and say how to look at them."""
    mesh: str | None = None
    """Short for --training.mesh: devices by axis, such as tasks=4,model=2."""
    distributed: bool = False
    """Train as one of several processes, which are all started with this same command; docs/scaling.md shows how."""
    coordinator: str | None = None
    """HOST:PORT of process 0; by default what JAX_COORDINATOR_ADDRESS or the cluster (Slurm, Open MPI, ...) says."""
    processes: int | None = None
    """How many processes there are; by default what the cluster says."""
    process_id: int | None = None
    """Which of them this one is, from 0; by default what the cluster says."""
    heartbeat: int = 30
    """Seconds of silence after which a process counts as dead and the others end."""


def train_verb(arguments: Sequence[str]) -> None:
    """Train an experiment file, a file of ratings or the default experiment, with overrides."""
    import polars as pl

    from metajax.data.validation import Quarantine
    from metajax.experiment.running import PROFILE, train_experiment
    from metajax.experiment.tuned import check_tuned, read_tuned
    from metajax.training.distributed import is_writer
    from metajax.training.profiling import how_to_open

    experiment, options = parse(arguments, "metajax train")
    tuning = read_tuned(options.tuned) if options.tuned else None
    if tuning:
        check_tuned(experiment, tuning)
    use_compilation_cache()
    folder = options.runs / experiment.name
    with _processes(options):
        seeds = train_experiment(
            experiment,
            folder,
            tuning=tuning,
            resume=options.resume,
            overwrite=options.overwrite,
            show_progress=not options.quiet,
            profile=options.profile,
            traces=programs_folder(),
        )
        if not is_writer():
            return
        if options.profile:
            print(how_to_open(folder / PROFILE))
        if (rejected := folder / "quarantine.csv").is_file():
            print(Quarantine(pl.read_csv(rejected, infer_schema=False)).told(rejected))
        print(f"Trained {len(seeds)} seed(s) in {folder}. Next: metajax evaluate {folder}")


def evaluate_verb(arguments: Sequence[str]) -> None:
    """Evaluate a run."""
    import tyro

    def evaluate(run: Path, /, *, experiment: Path | None = None) -> None:
        """Measure every seed of a run beside the baselines; write report.json, report.html and per_user.parquet.

        Args:
            run: Folder of the run, such as runs/demo.
            experiment: The experiment file, needed only where it brings parts of its own.
        """
        from metajax.experiment import load_experiment

        _evaluate(run, load_experiment(experiment) if experiment else None, _command("evaluate", arguments))

    tyro.cli(evaluate, prog="metajax evaluate", args=list(arguments))


def demo_verb(arguments: Sequence[str]) -> None:
    """Train, evaluate and recommend on the bundled ratings."""
    import tyro

    def demo(*, runs: Path = Path("runs")) -> None:
        """Meta-train on MovieLens latest-small, evaluate on users never seen, and recommend to a new person.

        Args:
            runs: Folder below which runs/demo is written; an earlier demo there is replaced.
        """
        from rich.console import Console

        from metajax.cli.artifacts import recommendation_table
        from metajax.experiment import flagship
        from metajax.experiment.running import train_experiment
        from metajax.recommender import Recommender

        use_compilation_cache()
        folder = runs / "demo"
        train_experiment(replace(flagship(), name="demo"), folder, overwrite=True, traces=programs_folder())
        _evaluate(folder, None, _command("demo", arguments))
        ratings = {
            "Alien (1979)": 5.0,
            "Blade Runner (1982)": 5.0,
            "Terminator, The (1984)": 4.5,
            "Toy Story (1995)": 2.5,
            "Pretty Woman (1990)": 1.5,
        }
        console = Console()
        recommender = Recommender.load(folder)
        console.print(
            "\nA new person rates five films:", *(f"  {title}: {stars:g}" for title, stars in ratings.items()), sep="\n"
        )
        console.print(recommendation_table(recommender.adapt(ratings).recommend(10, min_ratings=5)))
        rates = " ".join(f'--rate "{title}={stars:g}"' for title, stars in list(ratings.items())[:1])
        console.print(
            f"The report: {folder / 'report.html'}. Your own taste: metajax recommend {folder} {rates}", soft_wrap=True
        )

    tyro.cli(demo, prog="metajax demo", args=list(arguments))


def compare_verb(arguments: Sequence[str]) -> None:
    """Compare evaluated runs."""
    import tyro

    def compare(runs: tuple[Path, ...], /, *, pairs: bool = False, write: Path | None = None) -> None:
        """Print the board of two or more evaluated runs; of two, their learners' differences too.

        The board holds every learner and baseline with its interval, and tests against the best baseline that are
        Holm-corrected over the board. Differences are paired over the users that all runs have.

        Args:
            runs: Folders of the runs; for the differences the first one's learner is the reference.
            pairs: Print the differences from the first run too, of every metric and support size, as for two runs.
            write: Folder to write the board to, as report.json and report.html.
        """
        from rich.console import Console

        from metajax.evaluation.board import board
        from metajax.evaluation.comparison import compare as compare_runs
        from metajax.evaluation.comparison import render_comparison
        from metajax.evaluation.report import read_report, write_report
        from metajax.evaluation.results import read_per_user
        from metajax.evaluation.tables import render_table

        if len(runs) < 2:
            raise ConfigError("A comparison takes the folders of two runs or more: metajax compare runs/a runs/b.")
        values = [read_per_user(run / "per_user.parquet") for run in runs]
        report = read_report(runs[0] / "report.json")
        found = report.summary
        summary = board(values, references=found.reference_baseline, rank_references=found.rank_reference)
        tables = render_table(summary)
        if pairs or len(runs) == 2:
            tables += render_comparison(compare_runs(values), values[0].protocol)
        for table in tables:
            Console().print(table)
        if write:
            about = {"name": "board", "command": _command("compare", arguments), "data": report.metadata.get("data")}
            write_report(write, summary, about)
            print(f"Written: {write / 'report.json'} and {write / 'report.html'}")

    tyro.cli(compare, prog="metajax compare", args=list(arguments))


def show_verb(arguments: Sequence[str]) -> None:
    """Print a resolved configuration."""
    import json

    from metajax.experiment.codec import encode
    from metajax.files import read_json

    if arguments and (Path(arguments[0]) / "config.json").is_file():
        print(json.dumps(read_json(Path(arguments[0]) / "config.json"), indent=2))
        return
    experiment, _ = parse(arguments, "metajax show")
    print(json.dumps(encode(experiment), indent=2))


def parse(arguments: Sequence[str], program: str) -> tuple["Experiment", RunOptions]:
    """Read [EXPERIMENT.py | RATINGS], then --tuned, then the other flags."""
    from metajax.experiment import Uptake, default_for, flagship, load_experiment, override
    from metajax.experiment.tuned import apply_tuned, read_tuned

    experiment, rest = flagship(), list(arguments)
    source = rest.pop(0) if rest and not rest[0].startswith("-") else None
    program = f"{program} [EXPERIMENT.py | RATINGS]"
    if source and source.endswith(".py"):
        experiment = load_experiment(source)
    else:
        if source:
            experiment = replace(
                experiment, name=Path(source).resolve().stem, data=replace(experiment.data, source=source)
            )
        about_data, _ = override(experiment, _of_data(rest), options=RunOptions(), program=program)
        experiment = replace(default_for(about_data.data), name=experiment.name)
        if isinstance(experiment.learner, Uptake):
            print(
                f"{about_data.data.source} has no ratings that differ: what is learned is who takes what, to list what "
                "is taken next. If a column holds ratings, name it: --data.target COLUMN",
                file=sys.stderr,
            )
    overridden, options = override(experiment, rest, options=RunOptions(), program=program)
    if options.tuned:
        tuned = apply_tuned(experiment, read_tuned(options.tuned))
        overridden, options = override(tuned, rest, options=RunOptions(), program=program)
    if options.mesh:
        overridden = replace(overridden, training=replace(overridden.training, mesh=options.mesh))
    return overridden, options


def _of_data(arguments: Sequence[str]) -> list[str]:
    """Return the flags that say where the data are, each with its values."""
    kept, wanted = [], False
    for word in arguments:
        wanted = word.startswith("--data.") if word.startswith("--") else wanted
        if wanted:
            kept.append(word)
    return kept


def _processes(options: RunOptions) -> AbstractContextManager:
    """Join the other processes of a distributed run.

    Raises:
        ConfigError: if the command line names them, but the run is not distributed.
    """
    from metajax.training.distributed import processes

    named = (options.coordinator, options.processes, options.process_id)
    if options.distributed:
        return processes(*named, heartbeat=options.heartbeat)
    if any(one is not None for one in named):
        raise ConfigError("--coordinator, --processes and --process-id are of a distributed run. Add --distributed.")
    return nullcontext()


def _evaluate(run: Path, experiment: "Experiment | None", command: str) -> "Summary":
    from rich.console import Console

    from metajax.evaluation.tables import render_table
    from metajax.experiment.evaluating import evaluate_run

    use_compilation_cache()
    console = Console()
    with _status(console) as say:
        summary = evaluate_run(run, experiment=experiment, command=command, progress=say)
    for table in render_table(summary):
        console.print(table)
    console.print(f"Written: {run / 'report.json'} and {run / 'report.html'}", soft_wrap=True)
    return summary


@contextmanager
def _status(console) -> Iterator[Callable[[str], None]]:
    with console.status("reading data") as status:
        yield lambda text: status.update(text)


def _command(verb: str, arguments: Sequence[str]) -> str:
    return shlex.join(["metajax", verb, *arguments])
