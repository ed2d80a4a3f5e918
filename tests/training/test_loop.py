"""The outer loop: it learns, it resumes bit for bit after any death, and it keeps what it had."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import toy

from metajax.errors import ConfigError, StorageError, TrainingError
from metajax.learners import anil
from metajax.losses import squared_error
from metajax.training.checkpoints import Checkpoints
from metajax.training.loop import TrainingConfig
from metajax.training.run_log import RunLog, read_log

pytestmark = pytest.mark.usefixtures("as_users_run")


def without_time(folder):
    of_the_process = ("tasks_per_second", "compilations")
    return [{name: value for name, value in line.items() if name not in of_the_process} for line in read_log(folder)]


def assert_same_run(one, other, folders):
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(left, right)
    assert without_time(folders[0]) == without_time(folders[1])


def test_training_learns_and_keeps_the_best(tmp_path):
    best = toy.run(tmp_path)
    lines = read_log(tmp_path)
    assert lines[-1]["loss"] < 0.1 * lines[0]["loss"]
    assert [line["step"] for line in lines] == list(range(5, 41, 5))
    values = [line["validation"] for line in lines]
    assert float(best.value) == min(values)
    assert int(best.step) == lines[int(np.argmin(values))]["step"]


def test_nothing_compiles_after_the_first_period(tmp_path):
    """The last of 23 steps, three where there were five, take no other program."""
    toy.run(tmp_path, outer_steps=23)
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 23]
    first, second, *rest = [line["compilations"] for line in lines]
    assert first > 0
    assert second <= first  # the first better value is copied here or before
    assert not any(rest)


def test_an_interrupted_run_resumes_bit_for_bit(tmp_path):
    """Ctrl-C in the middle saves a checkpoint and leaves; the rest is the run that was never stopped."""
    whole = toy.run(tmp_path / "whole")
    calls = []

    def interrupting(meta_params):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return float(jnp.abs(meta_params["model"]["head"]["kernel"] - jnp.array([0.5, -1.0, 0.3])).max())

    with pytest.raises(KeyboardInterrupt):
        toy.run(tmp_path / "cut", validate=interrupting)
    assert read_log(tmp_path / "cut")[-1]["step"] == 15
    resumed = toy.run(tmp_path / "cut", resume=True)
    assert_same_run(whole, resumed, (tmp_path / "whole", tmp_path / "cut"))


@pytest.mark.slow
def test_a_killed_process_resumes_bit_for_bit(tmp_path):
    """A real process is killed with -9 at random moments, again and again, until it gets through."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, toy.__file__]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, env=environment)
    moments = random.Random(0)
    kills = 0
    while kills < 6:
        process = subprocess.Popen([*command, str(tmp_path / "cut")], env=environment)
        lines = len(read_log(tmp_path / "cut")) + 1 + (kills % 2)
        while process.poll() is None and len(read_log(tmp_path / "cut")) < lines:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.1))  # anywhere from the log line to the middle of the checkpoint after it
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    assert kills >= 3
    subprocess.run([*command, str(tmp_path / "cut")], check=True, env=environment)
    one, other = (toy.run(tmp_path / name, resume=True) for name in ("whole", "cut"))
    assert_same_run(one, other, (tmp_path / "whole", tmp_path / "cut"))


def test_early_stopping_on_patience(tmp_path):
    best = toy.run(tmp_path, validate=lambda meta_params: 1.0, patience=2)
    assert int(best.step) == 5
    assert read_log(tmp_path)[-1]["step"] == 15


def test_without_validation_the_last_step_is_kept(tmp_path):
    best = toy.run(tmp_path, validate=None, outer_steps=10)
    assert int(best.step) == 10
    assert "validation" not in read_log(tmp_path)[-1]


def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(tmp_path):
    learner = anil(toy.model(), squared_error(), inner_step_size=0.05)

    def broken(meta_params, task, key, progress):
        loss, metrics = learner.loss(meta_params, task, key, progress)
        return jnp.where(progress >= 12 / toy.STEPS, jnp.nan, loss), metrics

    with pytest.raises(TrainingError, match=r"not finite at step 13\. The last good checkpoint, of step 10, is kept"):
        toy.run(tmp_path, learner=learner._replace(loss=broken))
    kept = [int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()]
    assert max(kept) == 10


@pytest.mark.parametrize(
    ("value", "from_step", "told"),
    [
        (float("nan"), 5, r"value was nan at step 5\. Lower the learning rate .* ratings to be judged by"),
        (float("inf"), 5, r"value was inf at step 5\. Lower"),
        (float("nan"), 15, r"value was nan at step 15\. The last good checkpoint, of step 10, is kept in .*\. Lower"),
    ],
)
def test_a_validation_value_that_is_not_finite_stops_with_the_last_good_checkpoint(tmp_path, value, from_step, told):
    validations = []

    def validate(meta_params):
        validations.append(meta_params)
        return 1.0 if 5 * len(validations) < from_step else value

    with pytest.raises(TrainingError, match=told):
        toy.run(tmp_path, validate=validate)
    kept = [int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()]
    assert max(kept, default=0) == from_step - 5
    assert [line["step"] for line in read_log(tmp_path)] == list(range(5, from_step, 5))


def test_no_checkpoint_is_promised_where_none_was_written(tmp_path):
    learner = anil(toy.model(), squared_error(), inner_step_size=0.05)

    def broken(meta_params, task, key, progress):
        loss, metrics = learner.loss(meta_params, task, key, progress)
        return loss * jnp.nan, metrics

    with pytest.raises(TrainingError, match=r"not finite at step 1\. Lower the learning rate"):
        toy.run(tmp_path, learner=learner._replace(loss=broken))


def test_accumulation_averages_gradients(tmp_path):
    """With plain gradient descent of one step, accumulating two meta-batches moves by the mean of their gradients."""
    once = toy.run(tmp_path / "once", optimizer=optax.sgd(0.1), outer_steps=1, validate=None)
    twice = toy.run(tmp_path / "twice", optimizer=optax.sgd(0.1), outer_steps=1, validate=None, accumulate=2)
    moved = [float(jnp.abs(best.meta_params["model"]["head"]["bias"])) for best in (once, twice)]
    assert all(step > 0 for step in moved)
    assert abs(moved[0] - moved[1]) > 1e-6  # other tasks, so another mean


def test_chunks_of_tasks_change_nothing(tmp_path):
    whole = toy.run(tmp_path / "whole", outer_steps=10)
    chunked = toy.run(tmp_path / "chunked", outer_steps=10, task_chunk=2)
    for one, other in zip(jax.tree.leaves(whole.meta_params), jax.tree.leaves(chunked.meta_params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_labels_choose_the_transformation(tmp_path):
    """A leaf labelled "freeze" stays; one labelled "write" takes its surrogate gradient whole."""
    learner = anil(toy.model(), squared_error(), inner_step_size=0.05)

    def labels(meta_params):
        marked = learner.labels(meta_params)
        marked["model"]["head"]["bias"] = "freeze"
        return marked

    best = toy.run(tmp_path, learner=learner._replace(labels=labels), outer_steps=10)
    assert best.meta_params["model"]["head"]["bias"] == 0
    assert jnp.any(best.meta_params["model"]["head"]["kernel"] != 0)


def test_a_run_is_not_overwritten(tmp_path):
    toy.run(tmp_path, outer_steps=5)
    with pytest.raises(StorageError, match=r"holds a run already \(step 5\).*--resume"):
        toy.run(tmp_path, outer_steps=5)


def test_an_altered_checkpoint_is_passed_over_and_none_whole_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, {"w": jnp.full(3, float(step))})
    checkpoints.close()

    def flip(step):
        written = sorted(path for path in (tmp_path / str(step)).rglob("*") if path.is_file())
        victim = next(path for path in written if path.stat().st_size > 40 and path.name != "manifest.json")
        content = bytearray(victim.read_bytes())
        content[20] ^= 1
        victim.write_bytes(content)

    flip(2)
    checkpoints = Checkpoints(tmp_path)
    step, tree = checkpoints.restore({"w": jnp.zeros(3)})
    assert step == 1
    np.testing.assert_array_equal(tree["w"], np.ones(3))
    flip(1)
    with pytest.raises(StorageError, match=r"No checkpoint in .* is whole: .* was altered"):
        checkpoints.restore({"w": jnp.zeros(3)})
    checkpoints.close()


def test_a_checkpoint_without_its_manifest_was_never_finished(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"w": jnp.zeros(3)})
    (tmp_path / "1" / "manifest.json").unlink()
    assert checkpoints.restore({"w": jnp.zeros(3)}) is None
    checkpoints.close()


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_killed_before_its_first_manifest_begins_anew(tmp_path, resume):
    whole = toy.run(tmp_path / "whole", outer_steps=10)
    toy.run(tmp_path / "cut", outer_steps=5)
    (tmp_path / "cut" / "checkpoints" / "5" / "manifest.json").unlink()
    again = toy.run(tmp_path / "cut", outer_steps=10, resume=resume)
    assert_same_run(whole, again, (tmp_path / "whole", tmp_path / "cut"))


def test_the_log_is_cut_back_to_the_checkpoint(tmp_path):
    log = RunLog(tmp_path)
    for step in (5, 10, 15):
        log.write({"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2')  # the process died here
    RunLog(tmp_path, keep_up_to=10)
    assert [line["step"] for line in read_log(tmp_path)] == [5, 10]
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0]) == {"step": 5}


def test_impossible_choices_are_refused():
    with pytest.raises(ConfigError, match=r"training\.outer_steps must be 1 or more, got 0"):
        TrainingConfig(outer_steps=0)


@pytest.mark.parametrize(
    ("num_users", "steps", "tasks"),
    [
        (100, 50, 8),  # enough as it is
        (400, 100, 8),  # more steps, up to 200 of them
        (800, 200, 8),
        (801, 101, 16),  # then more tasks a step
        (50_000, 196, 512),
        (10**9, 200, 1024),  # and no more than so many
    ],
)
def test_epochs_raise_steps_and_then_tasks(num_users, steps, tasks):
    config = TrainingConfig(outer_steps=50, min_epochs=2, max_steps=200, tasks_per_step=8)
    found = config.enough_for(num_users, 10)
    assert (found.outer_steps, found.tasks_per_step) == (steps, tasks)
    assert found.enough_for(num_users, 10) == found  # a run that was resolved stays as it is
    assert replace(config, max_steps=None).enough_for(50_000, 10).outer_steps == 12_500
    assert replace(config, outer_steps=300).enough_for(100, 10).outer_steps == 300


def test_short_histories_make_larger_meta_batches():
    config = TrainingConfig(tasks_per_step=8, min_rows_per_step=1000)
    assert [config.enough_for(100, rows).tasks_per_step for rows in (200, 60, 2, 0.1)] == [8, 32, 512, 1024]
    assert TrainingConfig(tasks_per_step=8).enough_for(100, 0.1).tasks_per_step == 8
