"""Train an experiment: one folder a seed, with its resolved configuration, log, checkpoints and artifact."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jax
import numpy as np
import polars as pl

from metajax import files
from metajax.errors import StorageError
from metajax.evaluation.predict import predictor
from metajax.evaluation.selection import judge_predictions, kind_of
from metajax.experiment.artifact import Artifact, write_artifact
from metajax.experiment.assembly import Assembly, assemble, make_validate
from metajax.experiment.codec import encode
from metajax.experiment.experiment import Experiment
from metajax.training.loop import Best, train

CONFIG = "config.json"
REFIT = "refit"


def train_experiment(
    experiment: Experiment, folder: Path, *, resume: bool = False, overwrite: bool = False, show_progress: bool = True
) -> list[Path]:
    """Train every seed of an experiment.

    Args:
        experiment: the choices.
        folder: of the run; a seed's results go to `seed-SEED` below it.
        resume: continue what was interrupted; finished seeds are left alone.
        overwrite: delete what an earlier run left.
        show_progress: draw a progress bar.

    Returns:
        The folders of the seeds.

    Raises:
        StorageError: if `folder` holds a run of other choices, any run without `resume` or `overwrite`, or something
            else than a run that `overwrite` would delete.
    """
    if overwrite:
        _delete_run(folder)
    _claim(folder, experiment, resume=resume)
    selection = assemble(experiment)
    final = assemble(experiment, final=True) if refits(selection) else None
    if not selection.interactions.quarantine.rows.is_empty():
        selection.interactions.quarantine.write(folder / "quarantine.csv")
    seeds = []
    for seed in experiment.seeds:
        seeds.append(folder / f"seed-{seed}")
        if (seeds[-1] / "artifact").is_dir():
            continue
        best = train_seed(selection, seeds[-1], seed, resume=resume, show_progress=show_progress)
        artifact = make_artifact(selection, best, seed)
        if final:
            steps = int(best.step)
            again = train_seed(
                final, seeds[-1] / REFIT, seed, resume=resume, show_progress=show_progress, stop_at=steps
            )
            artifact = replace(make_artifact(final, again, seed), training=artifact.training | {"refit": True})
        write_artifact(artifact, seeds[-1] / "artifact")
    return seeds


def refits(selection: Assembly) -> bool:
    """Say whether the learner is trained again after selection: if anything was held out for it."""
    split = selection.split
    return selection.experiment.training.refit and split.meta_train().height < split.train.height


def train_seed(
    assembly: Assembly, folder: Path, seed: int, *, resume: bool, show_progress: bool, stop_at: int | None = None
) -> Best:
    """Train one seed in `folder`; with `stop_at`, for that many steps and without selection."""
    experiment = assembly.experiment
    return train(
        assembly.parts.learner,
        experiment.optimizer.build(experiment.training.outer_steps),
        histories=assembly.histories,
        catalogue=assembly.catalogue,
        episodes=experiment.episodes,
        config=experiment.training,
        validate=make_validate(assembly) if stop_at is None else None,
        folder=folder,
        seed=seed,
        resume=resume,
        show_progress=show_progress,
        stop_at=stop_at,
    )


def make_artifact(assembly: Assembly, best: Best, seed: int) -> Artifact:
    """Gather what adapting to new users needs, and what validation tasks say of it."""
    interactions = assembly.interactions
    items = interactions.items
    counts = assembly.rows.group_by("item").len()
    num_ratings = items.select("item").join(counts, on="item", how="left", maintain_order="left")["len"].fill_null(0)
    return Artifact(
        experiment=assembly.experiment,
        encoding=assembly.encoding,
        offset=assembly.offset,
        levels=assembly.levels,
        scale=interactions.scale,
        item_ids=items["item"].to_list(),
        titles=items["title"].to_list() if "title" in items.columns else None,
        num_ratings=num_ratings.cast(pl.Int32).to_numpy(),
        items=jax.tree.map(np.asarray, assembly.catalogue.items),
        meta_params=best.meta_params,
        training={
            "data": interactions.name,
            "seed": seed,
            "step": int(best.step),
            "validation": float(best.value),
            "validation_variance": _validation_variance(assembly, best),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


def _validation_variance(assembly: Assembly, best: Best) -> dict[str, float]:
    """Return, of every scenario, the mean squared error on validation tasks of its kind; nothing of what only ranks."""
    if assembly.parts.loss.name == "pairwise ranking":
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


def _delete_run(folder: Path) -> None:
    """Delete a run, and nothing that is not one."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise StorageError(
            f"{folder} holds files but no run ({CONFIG} is missing), so it is not deleted. Give the run another --name."
        )
    shutil.rmtree(folder, ignore_errors=True)


def _claim(folder: Path, experiment: Experiment, *, resume: bool) -> None:
    """Write the resolved configuration, or check that it is the one that is there."""
    path = folder / CONFIG
    config = encode(experiment)
    if path.is_file():
        if not resume:
            raise StorageError(
                f"{folder} holds a run already. Continue it with --resume, start over with --overwrite, "
                "or give the run another --name."
            )
        _refuse_other_choices(files.read_json(path), config, folder)
    files.write_json(path, config)


def _refuse_other_choices(before: dict, now: dict, folder: Path) -> None:
    """Raise unless both configurations agree in all but the list of seeds."""
    for name in now:
        if name != "seeds" and before.get(name) != now[name]:
            raise StorageError(
                f"{folder} was begun with {name} = {before.get(name)}, which is not {now[name]}. "
                "Resume with the same choices, or give the run another --name."
            )
