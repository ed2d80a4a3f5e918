"""Against ourselves: the closed-form learner, many tasks at once, two devices, a second process."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

from benchmarks import agreement, ours
from benchmarks.clock import Call, Spread, ratio, spread
from benchmarks.rows import Group, Row, Timings
from benchmarks.workload import draw_tasks, load

ROOT = Path(__file__).parents[1]
CLOSED_FORM, MANY_TASKS, CHUNKED, TWO_DEVICES, SECOND_PROCESS = 1.0, 1.05, 1.0, 1.6, 1.0
MELU = "metajax, 1 inner step, bucketed"
CHUNK = 16
IN_CHUNKS = f", in chunks of {CHUNK}"


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
    """Time 512 tasks a step and 128, all at once and in chunks: `--training.task-chunk auto` tries both."""
    workload = load("melu", inner_steps=1)
    meta_params = jax.jit(workload.learner.init)(jax.random.key(0))
    at_once, in_chunks = ours.outer_gradient(workload.learner), ours.outer_gradient(workload.learner, CHUNK)
    names = {count: f"metajax, 1 inner step, {count} tasks" for count in (128, 512)}
    calls: dict[str, Call] = {}
    for count, name in names.items():
        tasks = draw_tasks(workload, count)
        whole, chunked = (ours.values(function(meta_params, tasks)) for function in (at_once, in_chunks))
        agreement.check(f"{name}{IN_CHUNKS}", whole, chunked)
        calls[name] = ours.waiting(at_once, meta_params, tasks)
        calls[name + IN_CHUNKS] = ours.waiting(in_chunks, meta_params, tasks)

    def rows(timings: Timings) -> list[Row]:
        few, many = (min((name, name + IN_CHUNKS), key=lambda way: np.median(timings[way])) for name in names.values())
        value = ratio(timings[many] / 512, timings[few] / 128)
        whole, chunked = names[128], names[128] + IN_CHUNKS
        gain = ratio(timings[whole], timings[chunked])
        return [
            Row("512 tasks a step, time a task against 128's", "x", MANY_TASKS, value, many, few, True),
            Row(f"128 tasks a step in chunks of {CHUNK}, against all at once", "x", CHUNKED, gain, chunked, whole),
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
