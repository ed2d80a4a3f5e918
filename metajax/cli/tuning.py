"""`metajax tune`: choose hyper-parameters on held-out training users."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metajax.cli.compilation import use_compilation_cache
from metajax.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from metajax.experiment.tuning import Trial

ABOUT = """Choose hyper-parameters by the validation value of held-out training users; test users are never looked at.

EXPERIMENT.py defines, beside experiment(), a function search_space() that maps names of choices to ranges (Uniform,
LogUniform, Integer, Choice of metajax.experiment.search), such as {"optimizer.learning_rate": LogUniform(1e-3, 3e-2)}.

The study lies in runs/NAME/tune and survives being killed: continue it with --resume, also for more --trials. The best
choices so far are in best.json there: metajax train EXPERIMENT.py --tuned runs/NAME/tune/best.json.

Every other choice of the run is a flag, as in metajax train: what is not tuned may be set."""


@dataclass(frozen=True)
class TuneOptions:
    """What the study may cost, and how it is stored."""

    trials: int = 20
    """Trials in all, those of a resumed study included. Give methods that you compare the same."""
    seconds: float | None = None
    """A trial ends at its first validation after so many seconds of processor time, compilation included, with its best
    value so far."""
    whole_trials: int = 5
    """Trials that run to their end before one that falls behind the median of the others is ended early."""
    resume: bool = False
    """Continue the study that is there, of the same choices."""
    overwrite: bool = False
    """Delete the study that is there first."""
    runs: Path = Path("runs")
    """Folder below which the run's own folder lies; the study goes to NAME/tune."""
    quiet: bool = False
    """Tell the best trials only, when all are finished."""


def tune_verb(arguments: Sequence[str]) -> None:
    """Tune an experiment file."""
    from rich.console import Console

    from metajax.experiment import flagship, load_experiment, override
    from metajax.experiment.running import STUDY
    from metajax.experiment.search import flags, load_search_space
    from metajax.experiment.tuned import apply_tuned
    from metajax.experiment.tuning import BEST, Budget, import_optuna, tune_experiment

    source, rest = (
        (arguments[0], arguments[1:]) if arguments and not arguments[0].startswith("-") else (None, arguments)
    )
    file = _experiment_file(source)
    written = load_experiment(file) if file else flagship()
    experiment, options = override(
        written, rest, options=TuneOptions(), program="metajax tune EXPERIMENT.py", about=ABOUT
    )
    if not file:
        raise ConfigError("Name the experiment file to tune: metajax tune EXPERIMENT.py")
    import_optuna()
    space = load_search_space(file)
    use_compilation_cache()
    folder = options.runs / experiment.name / STUDY
    budget = Budget(options.trials, options.seconds, options.whole_trials)
    console = Console(soft_wrap=True, highlight=False)
    if not options.quiet:
        limit = (
            f"each until its first validation after {budget.seconds:g} seconds of processor time"
            if budget.seconds
            else "of any length"
        )
        console.print(f"Tuning {experiment.name}: {budget.trials} trials in all, {limit}, seed {experiment.seeds[0]}.")
    with _progress(console, quiet=options.quiet) as (say, tell):
        found = tune_experiment(
            experiment,
            space,
            folder,
            budget=budget,
            resume=options.resume,
            overwrite=options.overwrite,
            progress=say,
            finished=tell,
        )
    tuned = apply_tuned(experiment, found)
    console.print(_table(found), f"Written: {folder / BEST}. Next, with or without the file:", sep="\n")
    given = flags(written, experiment)
    console.print(shlex.join(["metajax", "train", file, *given, "--tuned", str(folder / BEST)]), markup=False)
    console.print(shlex.join(["metajax", "train", file, *flags(written, tuned)]), markup=False)


def _experiment_file(source: str | None) -> str | None:
    if source and not source.endswith(".py"):
        raise ConfigError(
            f"{source} is no experiment file, and only such a file has a search_space(). Write one that names these "
            "ratings: Experiment(data=DataConfig(source=...)); docs/howto.md shows how."
        )
    return source


@contextmanager
def _progress(console: Any, *, quiet: bool) -> Iterator[tuple[Callable[[str], None], Callable[["Trial"], None]]]:
    if quiet:
        yield lambda _: None, lambda _: None
        return
    with console.status("reading data") as status:

        def tell(trial: "Trial") -> None:
            value = trial.reason or ("" if trial.value is None else f"{trial.value:.4f}")
            choices = " ".join(f"{name}={_short(one)}" for name, one in trial.overrides.items())
            console.print(f"trial {trial.number} {trial.state} {value} {trial.seconds:.1f} s {choices}", markup=False)

        yield status.update, tell


def _table(found: dict[str, Any]) -> "Table":
    """Lay out the best trials for a terminal."""
    from rich.table import Table

    names = list(found["overrides"])
    counts = ", ".join(f"{count} {state}" for state, count in found["trials"].items())
    title = f"Best trials ({counts}; {found['seconds']:,.0f} s in all)"
    table = Table("trial", "validation", "seconds", *names, title=title, title_justify="left")
    for one in found["best_trials"]:
        choices = [_short(one["overrides"][name]) for name in names]
        table.add_row(str(one["number"]), f"{one['value']:.4f}", f"{one['seconds']:.1f}", *choices)
    return table


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
