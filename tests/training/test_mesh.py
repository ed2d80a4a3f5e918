"""One device and eight give the same run, within rounding."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import sys
import jax
from training import toy
devices = int(sys.argv[1])
assert len(jax.devices()) == 8
best = toy.run(sys.argv[2], outer_steps=10, tasks_per_step=8, devices=devices)
print(*(float(x) for leaf in jax.tree.leaves(best.meta_params) for x in leaf.ravel()))
"""


@pytest.mark.slow
def test_eight_devices_are_one(tmp_path):
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }

    def run(devices):
        command = [sys.executable, "-c", SCRIPT, str(devices), str(tmp_path / str(devices))]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return np.array([float(one) for one in done.stdout.split()])

    one, eight = run(1), run(8)
    assert np.abs(one).max() > 0.1
    np.testing.assert_allclose(one, eight, rtol=1e-5, atol=1e-6)
