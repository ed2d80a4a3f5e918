"""Against ourselves: the closed-form learner, many tasks at once, two devices, a second process."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

from benchmarks import ours
from benchmarks.clock import Call, Spread, ratio, spread
from benchmarks.rows import Group, Row, Timings
from benchmarks.workload import draw_tasks, load

ROOT = Path(__file__).parents[1]
CLOSED_FORM, MANY_TASKS, TWO_DEVICES, SECOND_PROCESS = 1.0, 1.05, 1.6, 1.0
MELU = "metajax, 1 inner step, bucketed"
CHUNK = 16


def closed_form() -> Group:
    """Time the outer gradient of ridge on its own model and 32 tasks of its own drawing."""
    workload = load("ridge")
    meta_params = jax.jit(workload.learner.init)(jax.random.key(0))
    call = ours.waiting(ours.outer_gradient(workload.learner), meta_params, draw_tasks(workload, 32))
    name = "metajax, ridge, bucketed"

    def rows(timings: Timings) -> list[Row]:
        value = ratio(timings[MELU], timings[name])
        return [Row("ridge, tasks a second against MeLU's (1 inner step)", "x", CLOSED_FORM, value, name, MELU)]

    return Group({name: call}, rows, {}, {})


def many_tasks() -> Group:
    """Time 512 tasks a step and 128, all at once and in chunks: `--training.task-chunk auto` takes the faster."""
    workload = load("melu", inner_steps=1)
    meta_params = jax.jit(workload.learner.init)(jax.random.key(0))
    ways = {
        f", in chunks of {CHUNK}": ours.outer_gradient(workload.learner, CHUNK),
        "": ours.outer_gradient(workload.learner),
    }
    names = {count: [f"metajax, 1 inner step, {count} tasks{way}" for way in ways] for count in (128, 512)}
    calls: dict[str, Call] = {
        name: ours.waiting(function, meta_params, draw_tasks(workload, count))
        for count, both in names.items()
        for name, function in zip(both, ways.values(), strict=True)
    }

    def rows(timings: Timings) -> list[Row]:
        few, many = (min(both, key=lambda name: np.median(timings[name])) for both in names.values())
        value = ratio(timings[many] / 512, timings[few] / 128)
        chunked, whole = names[128]
        gain = ratio(timings[whole], timings[chunked])
        return [
            Row("512 tasks a step, time a task against 128's", "x", MANY_TASKS, value, many, few, True),
            Row(f"128 tasks a step in chunks of {CHUNK}, against all at once", "x", 1.0, gain, chunked, whole),
        ]

    return Group(calls, rows, {}, {})


def two_devices(rounds: int) -> Group:
    """Time five inner steps on two forced host devices and on one, in another process."""

    def rows(timings: Timings) -> list[Row]:
        del timings
        found = run_apart("benchmarks.devices", str(rounds), XLA_FLAGS="--xla_force_host_platform_device_count=2")
        value = ratio(np.array(found["one"]), np.array(found["two"]))
        return [Row("5 inner steps, two devices against one", "x", TWO_DEVICES, value, "two devices", "one device")]

    return Group({}, rows, {}, {})


def second_process(repeats: int = 3) -> Group:
    """Time the first outer step of a process whose programs are in the compilation cache."""

    def rows(timings: Timings) -> list[Row]:
        del timings
        with tempfile.TemporaryDirectory() as cache:
            cold, *warm = (run_apart("benchmarks.first_step", cache)["seconds"] for _ in range(1 + repeats))
        value: Spread = spread(np.array(warm))
        against = f"without a cache: {cold:.1f} s"
        return [Row("first step of a second process", "s", SECOND_PROCESS, value, "warm cache", against, True)]

    return Group({}, rows, {}, {})


def run_apart(module: str, *arguments: str, **environment: str) -> dict:
    """Run a module of this folder in another process; it prints JSON on its last line."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
