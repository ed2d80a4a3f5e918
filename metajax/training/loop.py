"""Meta-training: the outer loop with validation, early stopping, checkpoints and a log.

`train` reads from top to bottom: restore or begin; then, until done: steps, log, validate, checkpoint.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax.errors import ConfigError, StorageError, TrainingError
from metajax.tasks.catalogue import Catalogue, Histories, StoredHistories
from metajax.tasks.episodes import Bucket, EpisodeConfig
from metajax.training.checkpoints import Checkpoints
from metajax.training.compilations import compilations
from metajax.training.distributed import any_process, by_writer, is_writer, place, whole
from metajax.training.feed import Feed, TaskSource, make_feed
from metajax.training.mesh import everywhere, make_mesh, parse_mesh
from metajax.training.mover import Mover, make_mover
from metajax.training.outer import StepInfo, TrainState, first_state, make_meta_loss, make_outer_steps
from metajax.training.progress import TrainingProgress
from metajax.training.run_log import RunLog
from metajax.training.tables import LazyTables, check_localizes
from metajax.types import Learner, PyTree


@dataclass(frozen=True)
class TrainingConfig:
    """How the outer loop runs."""

    outer_steps: int = 2000
    """Most steps of the outer loop."""
    min_epochs: float = 0.0
    """Raise outer_steps where they draw every training user less often than this."""
    max_steps: int | None = None
    """Where min_epochs would take more steps than this, meta-batches grow instead."""
    tasks_per_step: int = 64
    """Users in a meta-batch."""
    min_rows_per_step: int = 0
    """Where histories are so short that a meta-batch holds fewer ratings than this, it grows too."""
    max_tasks_per_step: int = 1024
    """Users that a meta-batch grows to; further epochs are not drawn."""
    accumulate: int = 1
    """Meta-batches whose gradients are averaged in one step."""
    validate_every: int = 100
    """Steps between validations on held-out training users; a checkpoint is written at each."""
    patience: int = 8
    """Validations without a better value before training stops early; 0 never stops early."""
    refit: bool = True
    """After selection, train again on all training rows, those held out for it included, for as many steps."""
    task_chunk: int | Literal["auto"] | None = None
    """Tasks that a device maps at once: fewer need less memory, and may be faster; None maps all. "auto" tries some
    before a run of 1,000 steps or more and writes the choice into the run's configuration."""
    mesh: str | None = None
    """Devices by axis, such as tasks=4,model=2: shards of a step's tasks, and of large embedding tables; by default all
    devices share the tasks."""

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        for name in (
            "outer_steps",
            "max_steps",
            "tasks_per_step",
            "max_tasks_per_step",
            "accumulate",
            "validate_every",
        ):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"training.{name} must be 1 or more, got {value}.")
        if not 0 <= self.min_epochs < float("inf"):
            raise ConfigError(f"training.min_epochs must be 0 or more, got {self.min_epochs}.")
        if self.mesh:
            parse_mesh(self.mesh)

    def enough_for(self, num_users: int, rows_per_task: float) -> "TrainingConfig":
        """Return the configuration with `outer_steps` raised to `min_epochs` over so many training users.

        Beyond `max_steps`, and where a meta-batch holds fewer than `min_rows_per_step` ratings, `tasks_per_step`
        doubles. Tried by hand, one seed: of ten million ratings four times as many tasks in a quarter of the steps
        validated as well; steps of 80 ratings left half unlearned of what two thousand users of two ratings say.
        """
        wanted = self.min_epochs * num_users / self.accumulate
        tasks, most = self.tasks_per_step, self.max_steps or math.inf
        too_few = lambda: wanted > tasks * most or tasks * rows_per_task < self.min_rows_per_step  # noqa: E731
        while too_few() and 2 * tasks <= self.max_tasks_per_step:
            tasks *= 2
        steps = max(self.outer_steps, min(math.ceil(wanted / tasks), most))
        return replace(self, outer_steps=int(steps), tasks_per_step=tasks)


class Best(NamedTuple):
    """The best meta-parameters so far, by the validation value (lower is better)."""

    step: np.ndarray
    value: np.ndarray
    meta_params: PyTree


Validate = Callable[[PyTree], float]
Run = Callable[[TrainState, TaskSource, int, int], tuple[TrainState, StepInfo]]
"""(state, source, count, step) -> (state, info): so many outer steps from a step on. They take the state's buffers."""
Observe = Callable[[Run, TrainState, TaskSource], None]
"""(run, state, source), where `run` runs the outer steps that follow. Give it a copy of the state."""


def train(
    learner: Learner,
    optimizer: optax.GradientTransformation | LazyTables,
    *,
    histories: Histories | StoredHistories,
    catalogue: Catalogue,
    episodes: EpisodeConfig,
    config: TrainingConfig,
    validate: Validate | None,
    folder: Path,
    seed: int = 0,
    resume: bool = False,
    show_progress: bool = True,
    stop_at: int | None = None,
    observe: Observe | None = None,
    trace: Callable[[str], Path] | None = None,
) -> Best:
    """Meta-train a learner and return the best meta-parameters.

    Args:
        learner: what to train.
        optimizer: any optax transformation, which moves the leaves labelled "learn"; `LazyTables` moves large tables by
            the rows that a step looks up.
        histories: rows of the users to train on, on the device or (`open_histories`) on disk; then `accumulate` is 1.
        catalogue: features of users and items.
        episodes: how tasks are drawn.
        config: how the loop runs.
        validate: meta_params -> value, lower is better; None keeps the last step's meta-parameters.
        folder: for checkpoints and metrics.jsonl.
        seed: of the initial parameters and of every episode.
        resume: continue from the newest whole checkpoint in `folder`; else begin, and refuse to overwrite one.
        show_progress: draw a progress bar.
        stop_at: the last step, `config.outer_steps` by default; schedules do not change with it.
        observe: is shown what is about to run, before the first step: to trace it, or to ask for its memory.
        trace: name of a program -> where its trace is kept for the next process, under a name that says what the
            learner, the optimiser, the episodes and the configuration are; used on one device, and by default not.

    Raises:
        TrainingError: if a loss, gradient or validation value is not finite; the last good checkpoint stays.
        StorageError: if `folder` holds checkpoints and `resume` is False, or none of them is whole.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once a checkpoint is written.
    """
    mesh = make_mesh(config.mesh)
    feed = make_feed(histories, catalogue, episodes, mesh, tasks_per_step=config.tasks_per_step, seed=seed)
    source, buckets = place(feed.source, everywhere(mesh)), feed.source.buckets
    mover = make_mover(optimizer, learner)
    task_chunk = None if config.task_chunk == "auto" else config.task_chunk
    meta_loss = make_meta_loss(learner, buckets, task_chunk, mesh)
    trace = _with_sizes(trace, buckets) if trace and mesh.size == 1 else None
    init_key = jax.random.fold_in(jax.random.key(seed), 2**31)  # apart from every step's key
    state, shardings = first_state(learner, mover, init_key, mesh=mesh, trace=trace)
    best = Best(np.asarray(0), np.asarray(np.inf), jax.tree.map(jnp.copy, state.meta_params))
    run = _run_of(feed, meta_loss, mover, config, seed=seed, shardings=(shardings, everywhere(mesh)), trace=trace)
    _check_choices(config, optimizer, feed, source, meta_loss, state.meta_params)
    checkpoints = Checkpoints(folder / "checkpoints")
    state, best, log = _restore(checkpoints, state, best, folder, resume=resume)
    tasks_per_step = config.accumulate * sum(bucket.tasks for bucket in buckets)
    if observe:
        observe(run, state, source)
    last = config.outer_steps if stop_at is None else stop_at
    label = "training" if stop_at is None else "training on all"
    shown = show_progress and is_writer()
    with _stop_on_interrupt() as interrupted, TrainingProgress(last, shown, label) as progress:
        while (step := int(state.step)) < last and not _exhausted(step, best, config):
            count = min(config.validate_every, last - step)
            started, compiled = time.perf_counter(), compilations()
            state, info = jax.block_until_ready(run(state, source, count, step))
            seconds = time.perf_counter() - started
            _check_finite(info.finite, step, _kept(step, folder))
            line = _line(int(state.step), info, tasks_per_step * count / seconds)
            value = _value(validate, state)
            _check_value(value, int(state.step), _kept(step, folder))
            if value < best.value:
                best = Best(np.asarray(state.step), np.asarray(value), jax.tree.map(jnp.copy, state.meta_params))
            if validate:
                line["validation"] = value
            line["compilations"] = compilations() - compiled
            log.write(line)
            checkpoints.save(int(state.step), (state, best))
            progress.update(line)
            if any_process(interrupted()):
                checkpoints.close()
                raise KeyboardInterrupt
    checkpoints.close()
    return best._replace(meta_params=whole(best.meta_params))


def _run_of(
    feed: Feed,
    meta_loss: Callable[..., tuple[jax.Array, PyTree]],
    mover: Mover,
    config: TrainingConfig,
    *,
    seed: int,
    shardings: tuple[Any, Any],
    trace: Callable[[str], Path] | None,
) -> Run:
    outer_steps = make_outer_steps(
        feed.draw,
        meta_loss,
        mover,
        seed=seed,
        num_steps=config.outer_steps,
        most=max(1, min(config.validate_every, config.outer_steps)),
        accumulate=config.accumulate,
        shardings=shardings,
        trace=trace,
    )

    def run(state: TrainState, source: TaskSource, count: int, step: int) -> tuple[TrainState, StepInfo]:
        return outer_steps(state, source, count, feed.read(step, count) if feed.read else None)

    return run


def _with_sizes(trace: Callable[[str], Path], buckets: Sequence[Bucket]) -> Callable[[str], Path]:
    sizes = [(bucket.rows, bucket.tasks, bucket.weight) for bucket in buckets]
    return lambda name: trace(f"{name} {sizes}")


def _check_choices(
    config: TrainingConfig,
    optimizer: optax.GradientTransformation | LazyTables,
    feed: Feed,
    source: TaskSource,
    meta_loss: Callable,
    meta_params: PyTree,
) -> None:
    """Refuse what the feed cannot do, and tables by rows for a learner that reads more than its tasks' rows."""
    if feed.read and config.accumulate > 1:
        raise ConfigError(
            f"Rows from disk are read for one meta-batch a step, got {config.accumulate=}. "
            "Raise tasks_per_step instead, and set task_chunk to save memory."
        )
    if isinstance(optimizer, LazyTables):
        loss = lambda meta_params, batch: meta_loss(meta_params, batch, jnp.zeros(()))[0]  # noqa: E731
        first = (source, jax.tree.map(lambda leaf: leaf[0], feed.read(0, 1))) if feed.read else source
        check_localizes(optimizer, loss, meta_params, jax.jit(feed.draw)(first, jax.random.key(0)))


def _value(validate: Validate | None, state: TrainState) -> float:
    """Let the writer validate, and tell the others."""
    if validate is None:
        return -float(state.step)
    meta_params = whole(state.meta_params)
    return by_writer(lambda: validate(meta_params))


def _restore(
    checkpoints: Checkpoints, state: TrainState, best: Best, folder: Path, *, resume: bool
) -> tuple[TrainState, Best, RunLog]:
    found = checkpoints.restore((state, best))
    if found is None:
        checkpoints.discard_after(-1)  # a process was killed before its first one had a manifest
        return state, best, RunLog(folder, writes=is_writer())
    if not resume:
        raise StorageError(
            f"{folder} holds a run already (step {found[0]}). "
            "Continue it with --resume, or start over with --overwrite."
        )
    step, (state, best) = found
    checkpoints.discard_after(step)
    return TrainState(*state), Best(*best), RunLog(folder, keep_up_to=step, writes=is_writer())


def _exhausted(step: int, best: Best, config: TrainingConfig) -> bool:
    return bool(config.patience) and step - int(best.step) >= config.patience * config.validate_every


def _check_finite(finite: np.ndarray, step: int, kept: str) -> None:
    if bool(np.all(finite)):
        return
    bad = step + int(np.argmin(finite)) + 1
    raise TrainingError(
        f"The loss or its gradient was not finite at step {bad}. {kept}Lower the learning rate or the inner step size, "
        "or clip gradients (--optimizer.clip 1.0), and train again."
    )


def _check_value(value: float, step: int, kept: str) -> None:
    if math.isfinite(value):
        return
    raise TrainingError(
        f"The validation value was {value} at step {step}. {kept}Lower the learning rate or the inner step size, and "
        "train again; if no value is finite, see that held-out training users have ratings to be judged by."
    )


def _kept(step: int, folder: Path) -> str:
    """Say which checkpoint stays, where one was written before this period."""
    return f"The last good checkpoint, of step {step}, is kept in {folder / 'checkpoints'}. " if step else ""


def _line(step: int, info: Any, tasks_per_second: float) -> dict[str, float]:
    means = {name: float(np.mean(values)) for name, values in info.metrics.items()}
    return {
        "step": step,
        "loss": float(np.mean(info.loss)),
        "gradient_norm": float(np.mean(info.gradient_norm)),
        **means,
        "tasks_per_second": round(tasks_per_second, 1),
    }


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C, or a scheduler's SIGTERM, into a flag: the steps under way end and are saved."""
    caught: list[int] = []

    def handler(number: int, frame: Any) -> None:
        del frame
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        previous = [signal.signal(number, handler) for number in numbers]
    except ValueError:  # not the main thread: whoever runs it handles interrupts
        yield lambda: False
        return
    try:
        yield lambda: bool(caught)
    finally:
        for number, handled in zip(numbers, previous, strict=True):
            signal.signal(number, handled)
