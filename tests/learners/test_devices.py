"""Every learner's outer gradient is the same on eight devices as on one, within rounding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
from jax.sharding import NamedSharding, PartitionSpec
from learners.table import LEARNERS
from learners.worlds import random_tasks
from metajax.training.mesh import make_mesh

assert len(jax.devices()) == 8
tasks = random_tasks(jax.random.key(1), 8)
keys = jax.random.split(jax.random.key(2), 8)
for name, make in LEARNERS.items():
    learner = make()

    def mean(meta_params, tasks, keys):
        one = lambda task, key: learner.loss(meta_params, task, key, jnp.float32(0.5))[0]
        return jnp.mean(jax.vmap(one)(tasks, keys))

    meta_params = learner.init(jax.random.key(0))
    gradient = jax.jit(jax.value_and_grad(mean))
    results = []
    for devices in (1, 8):
        mesh = make_mesh(f"tasks={devices}")
        placed = jax.device_put((tasks, keys), NamedSharding(mesh, PartitionSpec("tasks")))
        everywhere = jax.device_put(meta_params, NamedSharding(mesh, PartitionSpec()))
        results.append(jax.device_get(gradient(everywhere, *placed)))
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10, err_msg=name)
    print(name)
"""


@pytest.mark.slow
def test_eight_devices_give_every_learner_the_gradient_of_one():
    from learners.table import LEARNERS

    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == list(LEARNERS)
