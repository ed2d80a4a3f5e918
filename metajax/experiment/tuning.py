"""Choose hyper-parameters on held-out training users, never on test users, and survive being killed.

A study of optuna (Akiba et al., 2019, https://arxiv.org/abs/1907.10902) in an SQLite file: tree-structured Parzen
estimators propose (Bergstra et al., 2011, https://papers.nips.cc/paper/4443), and a trial whose validation value is
behind the median of the others ends early. The first trial is the experiment as written, where the ranges hold its
values, so that what is chosen is no worse than that. Every trial trains with the same seed. What is proposed depends on
the finished trials alone, so that a resumed study is the study that was never stopped, unless trials run out of time:
how far a trial comes in its seconds differs from run to run.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from metajax import files
from metajax.errors import ConfigError, StorageError, TrainingError
from metajax.experiment.assembly import Assembly, assemble, make_validate, with_choices
from metajax.experiment.codec import encode
from metajax.experiment.experiment import Experiment
from metajax.experiment.provenance import commit
from metajax.experiment.running import train_seed
from metajax.experiment.search import Range, check_space, leaves, replaced
from metajax.experiment.tuned import SCHEMA, VERSION
from metajax.types import PyTree

DATABASE = "study.db"
BEST = "best.json"
STATES = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class Budget:
    """What a study may cost; learners that are compared get the same (a tuned baseline has four to nine candidates)."""

    trials: int = 20
    """Trials in all: done, pruned and failed."""
    seconds: float | None = None
    """A trial ends at its first validation after so many seconds of processor time, compilation included, with its best
    value so far; on a busy machine they are the same seconds."""
    whole_trials: int = 5
    """Trials that run to their end before one is pruned."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.trials < 1 or self.whole_trials < 1 or (self.seconds is not None and not self.seconds > 0):
            raise ConfigError(
                "A budget wants 1 or more trials and whole trials, and seconds above 0, "
                f"got {self.trials}, {self.whole_trials} and {self.seconds}."
            )


class Trial(NamedTuple):
    """A finished trial.

    Attributes:
        number: counts from 0.
        state: "done", "pruned" or "failed".
        value: the validation value (lower is better), where the trial is done.
        seconds: of processor time that it took.
        overrides: dotted name -> value.
        reason: why it failed.
    """

    number: int
    state: str
    value: float | None
    seconds: float
    overrides: dict[str, Any]
    reason: str | None


def tune_experiment(
    experiment: Experiment,
    space: Mapping[str, Range],
    folder: Path,
    *,
    budget: Budget | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    finished: Callable[[Trial], None] = lambda _: None,
) -> dict[str, Any]:
    """Try choices out until the budget is spent, and write the best to `folder`/best.json after every trial.

    Args:
        experiment: what is tuned; its first seed is that of every trial.
        space: dotted name of a choice -> range.
        folder: of the study; one process at a time.
        budget: of the study, trials of before included.
        resume: continue the study that is there.
        overwrite: delete the study that is there.
        progress: called with what the trial under way has reached.
        finished: called with every finished trial.

    Returns:
        What best.json holds; `best_trials` are the five best that are done.

    Raises:
        ConfigError: if optuna is missing, or the space does not fit.
        StorageError: if `folder` holds a study of other choices, or any without `resume` or `overwrite`.
        TrainingError: if no trial was done.
    """
    budget = budget or Budget()
    optuna = import_optuna()
    check_space(space, experiment)
    if overwrite:
        for name in (DATABASE, f"{DATABASE}-journal", BEST):
            (folder / name).unlink(missing_ok=True)
    settings = {
        "experiment": encode(experiment),
        "space": {name: encode(one) for name, one in space.items()},
        "seconds": budget.seconds,
        "whole_trials": budget.whole_trials,
    }
    if (folder / DATABASE).is_file() and not resume:
        raise StorageError(
            f"{folder} holds a study already. Continue it with --resume, start over with --overwrite, "
            "or give the experiment another --name."
        )
    assembly = assemble(experiment)
    with _study(folder, settings) as study:
        if not _finished(study) and not study.get_trials(states=[optuna.trial.TrialState.WAITING]):
            study.enqueue_trial(_as_written(experiment, space))
        while len(trials := _finished(study)) < budget.trials:
            study.sampler = optuna.samplers.TPESampler(seed=_sampler_seed(experiment.seeds[0], len(trials)))
            finished(_run_trial(study, assembly, experiment, space=space, budget=budget, progress=progress))
            _write_best(folder, _finished(study), settings)
    return _write_best(folder, trials, settings, strict=True)


def import_optuna() -> Any:
    """Return optuna, or raise `ConfigError` with what to install."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("Tuning needs optuna, which is not installed: pip install 'metajax[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def _study(folder: Path, settings: dict[str, Any]) -> Iterator[Any]:
    """Open or make the study; mark trials that a killed process left as failed, to be made again."""
    optuna = import_optuna()
    from sqlalchemy.exc import DatabaseError
    from sqlalchemy.pool import NullPool

    path = folder / DATABASE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # without a pool, a file that cannot be read leaves no connection open
        storage = optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}", engine_kwargs={"poolclass": NullPool})
    except DatabaseError as error:
        raise StorageError(f"{path} is no study of optuna: {error.__cause__}. Start over with --overwrite.") from error
    try:
        pruner = optuna.pruners.MedianPruner(n_startup_trials=settings["whole_trials"])
        study = optuna.create_study(storage=storage, study_name="metajax", pruner=pruner, load_if_exists=True)
        before = study.user_attrs.get("settings", settings)
        for name, value in settings.items():
            if before[name] != value:
                raise StorageError(
                    f"{folder} was begun with {name} = {before[name]}, which is not {value}. "
                    "Resume with the same choices, or give the experiment another --name."
                )
        study.set_user_attr("settings", settings)
        for stale in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            study.tell(stale.number, state=optuna.trial.TrialState.FAIL)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _finished(study: Any) -> list[Trial]:
    """Return the trials that count: not those that were interrupted."""
    return [
        Trial(
            number=one.number,
            state=STATES[one.state.name],
            value=one.value if one.state.name == "COMPLETE" else None,
            seconds=one.user_attrs["seconds"],
            overrides=one.user_attrs["overrides"],
            reason=one.user_attrs.get("reason"),
        )
        for one in study.get_trials()
        if one.state.name in ("COMPLETE", "PRUNED") or {"reason", "seconds"} <= one.user_attrs.keys()
    ]


def _as_written(experiment: Experiment, space: Mapping[str, Range]) -> dict[str, Any]:
    """Return the experiment's own values as the study holds them, but for those that their range does not hold."""
    written = dict(leaves(experiment))
    held = {name: one.stored(written[name]) for name, one in space.items()}
    return {name: value for name, value in held.items() if value is not None}


def _sampler_seed(seed: int, count: int) -> int:
    """Return a seed for each proposal: a generator that went on would begin again when a study is resumed."""
    return int(np.random.SeedSequence([seed, count]).generate_state(1)[0])


def _run_trial(
    study: Any,
    assembly: Assembly,
    experiment: Experiment,
    *,
    space: Mapping[str, Range],
    budget: Budget,
    progress: Callable[[str], None],
) -> Trial:
    """Try what the study proposes; of `experiment` as written, like a run that is trained by best.json."""
    optuna = import_optuna()
    started = time.process_time()
    trial = study.ask()
    overrides = {name: one.suggest(trial, name) for name, one in space.items()}
    trial.set_user_attr("overrides", {name: encode(one) for name, one in overrides.items()})
    value, state = None, optuna.trial.TrialState.COMPLETE
    try:
        chosen = with_choices(assembly, replaced(experiment, overrides))
        value = _value_of(chosen, trial, budget, started, progress)
    except optuna.TrialPruned:
        state = optuna.trial.TrialState.PRUNED
    except (ConfigError, TrainingError) as error:  # of choices that exclude each other, or do not learn
        state = optuna.trial.TrialState.FAIL
        trial.set_user_attr("reason", str(error).split(". ")[0])  # the rest is about checkpoints, of which none stay
    trial.set_user_attr("seconds", round(time.process_time() - started, 3))
    study.tell(trial, value, state)
    return _finished(study)[-1]


class _OutOfTime(Exception):  # noqa: N818 (not an error: it ends a trial that has had its seconds)
    pass


def _value_of(assembly: Assembly, trial: Any, budget: Budget, started: float, progress: Callable[[str], None]) -> float:
    """Train in a temporary folder, tell the study each validation value, and return the best.

    Raises:
        TrialPruned: (optuna's) if the trial is behind the others.
        TrainingError: if a loss, gradient or validation value is not finite.
    """
    optuna = import_optuna()
    training, values, validate = assembly.experiment.training, [], make_validate(assembly)

    def watched(meta_params: PyTree) -> float:
        value = float(validate(meta_params))
        if not math.isfinite(value):
            raise TrainingError(f"The validation value was {value}.")
        values.append(value)
        step = min(len(values) * training.validate_every, training.outer_steps)
        progress(f"trial {trial.number}: step {step:,} of {training.outer_steps:,}, validation {value:.4f}")
        trial.report(value, step)
        if budget.seconds and time.process_time() - started >= budget.seconds:
            raise _OutOfTime
        if step < training.outer_steps and trial.should_prune():
            raise optuna.TrialPruned
        return value

    with TemporaryDirectory(prefix="metajax-tune-") as folder, suppress(_OutOfTime):
        train_seed(assembly, Path(folder), assembly.experiment.seeds[0], validate=watched, show_progress=False)
    return min(values)


def _write_best(folder: Path, trials: list[Trial], settings: dict[str, Any], *, strict: bool = False) -> dict[str, Any]:
    done = sorted((one for one in trials if one.value is not None), key=lambda one: (one.value, one.number))
    if not done:
        if strict:
            raise TrainingError(
                f"None of {len(trials)} trials was done; the last one: {trials[-1].reason}. "
                "Narrow the ranges of search_space(), or clip gradients (--optimizer.clip 1.0)."
            )
        return {}
    states = [one.state for one in trials]
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "name": settings["experiment"]["name"],
        "overrides": done[0].overrides,
        "value": done[0].value,
        "trials": {state: states.count(state) for state in STATES.values()},
        "seconds": round(sum(one.seconds for one in trials), 3),
        "seconds_per_trial": settings["seconds"],
        "whole_trials": settings["whole_trials"],
        "seed": settings["experiment"]["seeds"][0],
        "space": settings["space"],
        "best_trials": [one._asdict() for one in done[:5]],
        "config": settings["experiment"],
        "commit": commit(),
    }
    files.write_json(folder / BEST, document)
    return document
