"""A named mesh: read from one flag, and one device and eight give the same run within rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.errors import ConfigError
from metajax.experiment.codec import decode, encode
from metajax.training.loop import TrainingConfig
from metajax.training.mesh import LARGE_TABLE, make_mesh, over_tasks, parse_mesh, state_shardings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("tasks=4,model=2", {"tasks": 4, "model": 2}),
        ("model=2, tasks=4", {"tasks": 4, "model": 2}),
        ("tasks=8", {"tasks": 8, "model": 1}),
        ("model=2", {"tasks": 1, "model": 2}),
    ],
)
def test_a_mesh_is_read(text, sizes):
    assert parse_mesh(text) == sizes


@pytest.mark.parametrize("text", ["data=4", "tasks", "tasks=", "tasks=0", "tasks=-2", "tasks=2,tasks=2", "", "4x2"])
def test_what_is_no_mesh_is_refused(text):
    with pytest.raises(ConfigError, match=r'written like "tasks=4,model=2".*The axes are tasks and model'):
        parse_mesh(text)


def test_a_configuration_refuses_it_before_there_is_any_data():
    with pytest.raises(ConfigError, match="got 'data=4' in 'data=4'"):
        TrainingConfig(mesh="data=4")
    config = TrainingConfig(mesh="tasks=4,model=2")
    assert decode(encode(config)) == config


def test_a_mesh_needs_its_devices():
    with pytest.raises(
        ConfigError, match=r"'tasks=64' takes 64 devices, but 1 process\(es\) have 1\..*device_count=64"
    ):
        make_mesh("tasks=64")
    assert dict(make_mesh().shape) == {"tasks": 1, "model": 1}


def test_without_a_model_axis_everything_is_whole():
    shardings = state_shardings(make_mesh(), {"table": jnp.zeros((LARGE_TABLE, 2)), "step": jnp.zeros(())})
    assert all(one.is_fully_replicated for one in jax.tree.leaves(shardings))


@pytest.mark.parametrize("chunk", [None, 1, 2, 5, 7])
def test_chunks_of_tasks_are_the_tasks(chunk):
    tasks = {"x": jnp.arange(10.0).reshape(5, 2), "y": jnp.arange(5.0)}
    mapped = jax.jit(over_tasks(lambda task, number: (task["x"].sum() * task["y"], number), chunk, make_mesh()))
    values, numbers = mapped(tasks, jnp.arange(5))
    np.testing.assert_array_equal(values, tasks["x"].sum(1) * tasks["y"])
    np.testing.assert_array_equal(numbers, np.arange(5))


@pytest.mark.slow
def test_eight_devices_are_one(tmp_path):
    """Ridge and MeLU, tasks that do not divide, large tables over the axis "model", and chunks of tasks."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)]),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    command = [sys.executable, str(Path(__file__).with_name("eight.py")), str(tmp_path)]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, found in json.loads(done.stdout.splitlines()[-1]).items():
        sharded = found.pop("sharded")
        assert set(sharded) == {LARGE_TABLE // 2}, name
        assert len(sharded) in (3, 6), name  # a table, and perhaps one of biases, with Adam's two moments each
        assert found.pop("moved") > 0.01, name
        assert len(found) == 2
        assert max(found.values()) < 1e-5, (name, found)
