"""Train an experiment: one folder a seed, with its resolved configuration, log, checkpoints and artifact."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from metajax import files
from metajax.errors import StorageError
from metajax.evaluation.predict import Predictions, predictor
from metajax.evaluation.selection import judge_predictions, kind_of
from metajax.evaluation.spread import spread_of
from metajax.evaluation.values import Scale
from metajax.experiment.artifact import Artifact, write_artifact
from metajax.experiment.assembly import Assembly, assemble, make_validate
from metajax.experiment.codec import encode
from metajax.experiment.experiment import Experiment
from metajax.experiment.summary import summary
from metajax.experiment.traces import trace_places
from metajax.experiment.tuned import TUNING
from metajax.tasks.taskset import TaskSet
from metajax.training.autotune import choose_task_chunk
from metajax.training.distributed import any_process, by_writer, is_writer
from metajax.training.loop import Best, Observe, Validate, train
from metajax.training.mesh import make_mesh
from metajax.training.profiling import tracer
from metajax.types import PyTree

CONFIG = "config.json"
DATA = "data.json"
REFIT = "refit"
PROFILE = "profile"
AUTO, WORTH_TRYING = "auto", 1000
"""Runs of so many steps try how many tasks to map at once."""
STUDY = "tune"
"""In a run's folder: the study of `metajax tune`, which is no part of the run."""
WRITTEN = (
    *("seed-*", PROFILE, "report.json", "report.html", "per_user.parquet", "quarantine.csv", "task_chunk.json"),
    *(TUNING, DATA, CONFIG),
)
"""What a run writes to its folder, the configuration last. Other runs may lie below it, as a/b below a."""


def train_experiment(
    experiment: Experiment,
    folder: Path,
    *,
    tuning: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    show_progress: bool = True,
    profile: bool = False,
    traces: Path | None = None,
) -> list[Path]:
    """Train every seed of an experiment; all processes of a distributed run call this alike, and process 0 writes.

    Args:
        experiment: the choices.
        folder: of the run; a seed's results go to `seed-SEED` below it.
        tuning: the best.json that gave the choices, kept for the report.
        resume: continue what was interrupted; finished seeds are left alone.
        overwrite: delete what an earlier run wrote, once the data and choices of this one are read and make sense; a
            study of `metajax tune` and runs below the folder stay.
        show_progress: draw a progress bar.
        profile: trace a few outer steps of the first seed that is trained, into `profile` in the folder.
        traces: folder where traced programs are kept for the next process.

    Returns:
        The folders of the seeds.

    Raises:
        StorageError: if `folder` holds a run of other choices or data, any run without `resume` or `overwrite`, or
            something else than a run that `overwrite` would delete; or if a process does not see what process 0 writes.
    """
    by_writer(lambda: _check_folder(folder, experiment, resume=resume, overwrite=overwrite))
    is_begun = resume and (folder / CONFIG).is_file()
    selection = assemble(_as_begun(folder, experiment) if is_begun else experiment)  # before anything is deleted
    data = {"name": selection.interactions.name, "sha256": selection.interactions.digest()}
    if is_begun:
        _refuse_other_data(folder, data)
    selection.experiment.evaluation.check(selection.interactions.scale)
    by_writer(lambda: _prepare(folder, selection.experiment, data, tuning=tuning, overwrite=overwrite))
    _check_shared(folder)
    if is_writer():
        _tell_of_data(selection, folder, aloud=show_progress)
    selection = _with_task_chunk(selection, folder)
    experiment = selection.experiment
    by_writer(lambda: files.write_json(folder / CONFIG, encode(experiment)))
    final = assemble(experiment, final=True) if refits(selection) else None
    validate = make_validate(selection)
    observe = tracer(folder / PROFILE) if profile else None
    seeds = []
    for seed in experiment.seeds:
        seeds.append(folder / f"seed-{seed}")
        if (seeds[-1] / "artifact").is_dir():
            continue
        best = train_seed(
            selection,
            seeds[-1],
            seed,
            validate=validate,
            resume=resume,
            show_progress=show_progress,
            observe=observe,
            traces=traces,
        )
        observe = None
        trained = [(selection, best)]
        if final:
            again = train_seed(
                final,
                seeds[-1] / REFIT,
                seed,
                validate=None,
                resume=resume,
                show_progress=show_progress,
                stop_at=int(best.step),
                traces=traces,
            )
            trained.append((final, again))
        by_writer(partial(_write, trained, seed, seeds[-1] / "artifact"))
    return seeds


def _tell_of_data(selection: Assembly, folder: Path, *, aloud: bool) -> None:
    """Set rejected rows apart and, aloud, say what was read."""
    if not selection.interactions.quarantine.rows.is_empty():
        selection.interactions.quarantine.write(folder / "quarantine.csv")
    if aloud:
        print(summary(selection), file=sys.stderr, flush=True)


def refits(selection: Assembly) -> bool:
    """Say whether the learner is trained again after selection: if anything was held out for it."""
    split = selection.split
    return selection.experiment.training.refit and split.meta_train().height < split.train.height


def train_seed(
    assembly: Assembly,
    folder: Path,
    seed: int,
    *,
    validate: Validate | None,
    resume: bool = False,
    show_progress: bool = True,
    stop_at: int | None = None,
    observe: Observe | None = None,
    traces: Path | None = None,
) -> Best:
    """Train one seed in `folder`; `validate`, `stop_at` and `observe` are as for `training.loop.train`."""
    experiment = assembly.experiment
    return train(
        assembly.parts.learner,
        experiment.optimizer.build(experiment.training.outer_steps),
        histories=assembly.histories,
        catalogue=assembly.catalogue,
        episodes=experiment.episodes,
        config=experiment.training,
        validate=validate,
        folder=folder,
        seed=seed,
        resume=resume,
        show_progress=show_progress,
        stop_at=stop_at,
        observe=observe,
        trace=trace_places(experiment, assembly.encoding.columns, assembly.offset, assembly.levels, traces),
    )


def make_artifact(assembly: Assembly, best: Best, seed: int) -> Artifact:
    """Gather what adapting to new users needs, and what validation tasks say of it."""
    interactions = assembly.interactions
    items = interactions.items
    counts = assembly.rows.group_by("item").len()
    num_ratings = items.select("item").join(counts, on="item", how="left", maintain_order="left")["len"].fill_null(0)
    return Artifact(
        experiment=assembly.experiment,
        encoding=replace(assembly.encoding, taken=None),  # training's ratings stay behind
        offset=assembly.offset,
        levels=assembly.levels,
        scale=interactions.scale,
        item_ids=items["item"].to_list(),
        titles=items["title"].cast(pl.String).to_list() if "title" in items.columns else None,
        num_ratings=num_ratings.cast(pl.Int32).to_numpy(),
        items=jax.tree.map(np.asarray, assembly.catalogue.items),
        meta_params=best.meta_params,
        training={
            "data": interactions.name,
            "data_sha256": interactions.digest(),
            "seed": seed,
            "step": int(best.step),
            "validation": float(best.value),
            "validation_variance": _validation_variance(assembly, best),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


def _validation_variance(assembly: Assembly, best: Best) -> dict[str, float]:
    """Return, of every scenario, the mean squared error on validation tasks of its kind; nothing of what only ranks."""
    if assembly.parts.loss.ranks_only:
        return {}
    predict = predictor(assembly.parts.learner)
    found = [
        judge_predictions(
            lambda tasks: predict(best.meta_params, assembly.catalogue, tasks).mean,
            tasks,
            shots=(),
            scale=assembly.interactions.scale,
        ).variance
        for tasks in assembly.validation
    ]
    return {name: found[kind_of(name, assembly.validation)] for name in assembly.split.scenarios}


def _spread(selection: Assembly, best: Best, widen: Callable[[PyTree, float], PyTree]) -> float:
    """Return how much wider predictions must be for validation tasks."""
    predict = predictor(selection.parts.learner)
    scale = Scale.of(selection.interactions.scale, np.asarray(selection.levels))

    def widened(factor: float, tasks: TaskSet) -> Predictions:
        return predict(widen(best.meta_params, factor), selection.catalogue, tasks)

    return spread_of(widened, selection.validation, scale)


def _write(trained: list[tuple[Assembly, Best]], seed: int, folder: Path) -> None:
    """Write the artifact of the last training; its step, validation value and spread are the first one's."""
    artifact = make_artifact(*trained[0], seed)
    if len(trained) > 1:
        artifact = replace(make_artifact(*trained[-1], seed), training=artifact.training | {"refit": True})
    if widen := trained[-1][0].parts.learner.widen:
        spread = _spread(*trained[0], widen)
        widened = jax.tree.map(np.asarray, widen(artifact.meta_params, spread))
        artifact = replace(artifact, meta_params=widened, training=artifact.training | {"spread": spread})
    write_artifact(artifact, folder)


def _check_folder(folder: Path, experiment: Experiment, *, resume: bool, overwrite: bool) -> None:
    """Raise `StorageError` if the folder cannot become this experiment's run, or go on as it."""
    is_run = (folder / CONFIG).is_file()
    if overwrite:
        if not is_run and folder.is_dir() and any(path.name != STUDY for path in folder.iterdir()):
            raise StorageError(
                f"{folder} holds files but no run ({CONFIG} is missing), so it is not deleted. "
                "Give the run another --name."
            )
    elif is_run and not resume:
        raise StorageError(
            f"{folder} holds a run already. Continue it with --resume, start over with --overwrite, "
            "or give the run another --name."
        )
    elif is_run:
        begun = encode(_as_begun(folder, experiment))
        _refuse_other_choices(files.read_json(folder / CONFIG), begun, folder)


def _prepare(
    folder: Path, experiment: Experiment, data: dict[str, str], *, tuning: Mapping[str, Any] | None, overwrite: bool
) -> None:
    """Delete an earlier run if asked to, and make the folder this experiment's."""
    if overwrite:
        delete_run(folder)
    files.write_json(folder / DATA, data)
    files.write_json(folder / CONFIG, encode(experiment))
    if tuning:
        files.write_json(folder / TUNING, tuning)


def _check_shared(folder: Path) -> None:
    if any_process(not (folder / CONFIG).is_file()):
        raise StorageError(
            f"A process does not see {folder / CONFIG}, which process 0 has written. Let --runs name a folder on "
            "storage that all processes share."
        )


def delete_run(folder: Path) -> None:
    """Delete what a run wrote, its configuration last; runs below it stay, and the study that tuned it."""
    for path in (found for pattern in WRITTEN for found in folder.glob(pattern)):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _as_begun(folder: Path, experiment: Experiment) -> Experiment:
    """Take over what the folder's run chose by itself."""
    config = files.read_json(folder / CONFIG)
    begun, training, evaluation = config.get("training", {}), experiment.training, experiment.evaluation
    if training.task_chunk == AUTO:
        training = replace(training, task_chunk=begun.get("task_chunk", AUTO))
    if training.min_epochs or training.min_rows_per_step:
        resolved = {
            name: max(getattr(training, name), begun.get(name, 0)) for name in ("outer_steps", "tasks_per_step")
        }
        training = replace(training, **resolved)
    if evaluation.relevant is None:
        evaluation = replace(evaluation, relevant=config.get("evaluation", {}).get("relevant"))
    data = experiment.data
    if data.unit is None:
        data = replace(data, unit=config.get("data", {}).get("unit"))
    return replace(experiment, data=data, training=training, evaluation=evaluation)


def _with_task_chunk(assembly: Assembly, folder: Path) -> Assembly:
    """Replace "auto" by a choice, and keep what it was chosen by; several processes try nothing."""
    experiment = assembly.experiment
    if experiment.training.task_chunk != AUTO:
        return assembly
    task_chunk = None
    if experiment.training.outer_steps >= WORTH_TRYING and jax.process_count() == 1:
        task_chunk, milliseconds = choose_task_chunk(
            assembly.parts.learner,
            histories=assembly.histories,
            catalogue=assembly.catalogue,
            episodes=experiment.episodes,
            tasks_per_step=experiment.training.tasks_per_step,
            mesh=make_mesh(experiment.training.mesh),
        )
        files.write_json(folder / "task_chunk.json", {"task_chunk": task_chunk, "milliseconds": dict(milliseconds)})
    training = replace(experiment.training, task_chunk=task_chunk)
    return replace(assembly, experiment=replace(experiment, training=training))


def _refuse_other_data(folder: Path, data: dict[str, str]) -> None:
    if (folder / DATA).is_file() and files.read_json(folder / DATA) != data:
        raise StorageError(
            f"The data have changed since {folder} was begun. "
            "Start over with --overwrite, or give the run another --name."
        )


def _refuse_other_choices(before: dict, now: dict, folder: Path) -> None:
    """Raise unless both configurations agree in all but the list of seeds."""
    for name in now:
        if name != "seeds" and before.get(name) != now[name]:
            raise StorageError(
                f"{folder} was begun with {name} = {before.get(name)}, which is not {now[name]}. "
                "Resume with the same choices, or give the run another --name."
            )
