"""Measure outer gradients on forced CPU devices, model more of them, and write the tables of scaling.md.

Run: python docs/scaling.py     (some minutes on two cores; writes docs/scaling.json and the tables of docs/scaling.md)
"""

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
NUM_ITEMS, NUM_USERS, ROWS, ROUNDS = 8191, 1000, 30, 100
SETTINGS = {
    "one": ("tasks=1", 64),
    "strong": ("tasks=2", 64),
    "weak": ("tasks=2", 128),
    "tables": ("tasks=2,model=2", 64),
}
NETWORKS = {"10 Gb/s Ethernet": (1.25e9, 50e-6), "200 Gb/s": (25e9, 5e-6)}
"""Name -> (bytes a second, seconds a message), both assumed."""
COLLECTIVE = re.compile(r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(")
SHAPE = re.compile(r"(f32|s32|u32|f64|s64|pred)\[([\d,]*)\]")


def compile_gradient(mesh_text: str, tasks_per_step: int) -> tuple[Callable, dict]:
    """Compile MeLU's outer gradient on a mesh; return a call that waits for it, and what the program is made of."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from metajax.data.columns import Column
    from metajax.experiment import Melu, SquaredError, TwoTower
    from metajax.tasks import EpisodeConfig, catalogue, histories
    from metajax.training.distributed import place
    from metajax.training.feed import make_feed
    from metajax.training.mesh import everywhere, make_mesh, state_shardings
    from metajax.training.outer import make_meta_loss

    columns = (Column("id", "item", "category", NUM_ITEMS + 1), Column("group", "user", "category", 8))
    loss = SquaredError().build(())
    learner = Melu().build(TwoTower().build(columns, outputs=1, offset=3.0), loss, columns)
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(NUM_USERS), ROWS)
    target = rng.normal(3, 1, len(users)).astype(np.float32)
    rows = histories(users, rng.integers(0, NUM_ITEMS, len(users)), target, num_users=NUM_USERS)
    people = {"group": np.arange(NUM_USERS, dtype=np.int32) % 8}
    features = catalogue(people, {"id": np.arange(1, NUM_ITEMS + 1, dtype=np.int32)})
    mesh = make_mesh(mesh_text)
    episodes = EpisodeConfig(query_rows=10, max_support=20, min_support=20, buckets=())
    feed = make_feed(rows, features, episodes, mesh, tasks_per_step=tasks_per_step, seed=0)
    source = place(feed.source, everywhere(mesh))
    meta_loss = make_meta_loss(learner, feed.source.buckets, None, mesh)
    shardings = state_shardings(mesh, jax.eval_shape(learner.init, jax.random.key(0)))
    meta_params = jax.jit(learner.init, out_shardings=shardings)(jax.random.key(0))

    def gradient(meta_params, source, key):
        return jax.grad(lambda params: meta_loss(params, feed.draw(source, key), jnp.float32(0))[0])(meta_params)

    compiled = jax.jit(gradient, out_shardings=shardings).lower(meta_params, source, jax.random.key(0)).compile()
    key = jax.device_put(jax.random.key(0), everywhere(mesh))
    text = compiled.as_text()
    return lambda: jax.block_until_ready(compiled(meta_params, source, key)), {
        "mesh": mesh_text,
        "tasks_per_step": tasks_per_step,
        "flops_per_device": float((compiled.cost_analysis() or {}).get("flops", float("nan"))),
        "collective_bytes": {name: sum(sizes) for name, sizes in _collectives(text).items()},
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(meta_params)),
        "table_parameters": max(leaf.size for leaf in jax.tree.leaves(meta_params)),
    }


def _collectives(text: str) -> dict[str, list[int]]:
    """Return the bytes of the results of every collective of a compiled program, by kind."""
    found: dict[str, list[int]] = {}
    for line in text.splitlines():
        if match := COLLECTIVE.search(line):
            size = 0
            for kind, shape in SHAPE.findall(match[1]):
                count = 1
                for length in filter(None, shape.split(",")):
                    count *= int(length)
                size += count * (8 if kind.endswith("64") else 1 if kind == "pred" else 4)
            found.setdefault(match[2], []).append(size)
    return found


def measure() -> dict:
    """Time all settings in turns, so that other work on the machine falls on all of them alike."""
    import numpy as np

    calls, found = {}, {}
    for name, setting in SETTINGS.items():
        calls[name], found[name] = compile_gradient(*setting)
    seconds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(ROUNDS + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    one = np.array(seconds["one"][1:]) / found["one"]["tasks_per_step"]
    for name, about in found.items():
        each = np.array(seconds[name][1:])
        rates = one / (each / about["tasks_per_step"])
        low, ratio, high = np.percentile(rates, [25, 50, 75]).tolist()
        found[name] |= {"seconds": float(np.median(each)), "ratio": ratio, "ratio_quartiles": [low, high]}
    return found


def model(found: dict, num_devices: int, *, weak: bool, network: str) -> float:
    """Return the seconds of a step: the tasks of a device, then a ring all-reduce of all parameters' gradients."""
    one, (bandwidth, latency) = found["one"], NETWORKS[network]
    compute = one["seconds"] * (1 if weak else 1 / num_devices)
    others = num_devices - 1
    return compute + 2 * others / num_devices * 4 * one["parameters"] / bandwidth + 2 * others * latency


def measured_table(found: dict) -> str:
    """Write what was measured here as Markdown."""
    lines = [
        "| | mesh | tasks a step | MFLOP a device | ms a step | tasks/s against one device | all-reduced | other |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        low, high = one["ratio_quartiles"]
        sent = one["collective_bytes"]
        rest = sum(sent.values()) - sent.get("all-reduce", 0)
        lines.append(
            f"| {name} | `{one['mesh']}` | {one['tasks_per_step']} | {one['flops_per_device'] / 1e6:.0f} "
            f"| {1e3 * one['seconds']:.1f} | {one['ratio']:.2f} x [{low:.2f}, {high:.2f}] "
            f"| {sent.get('all-reduce', 0) / 1e6:.2f} MB | {rest / 1e6:.2f} MB |"
        )
    return "\n".join(lines)


def modelled_table(found: dict) -> str:
    """Write what the model says of more devices as Markdown."""
    lines = [
        "| devices | network | strong: ms a step (efficiency) | weak: ms a step (efficiency) |",
        "|---|---|---|---|",
    ]
    for network in NETWORKS:
        for devices in (2, 4, 8, 16, 64):
            strong, weak = (model(found, devices, weak=weak, network=network) for weak in (False, True))
            alone = found["one"]["seconds"]
            lines.append(
                f"| {devices} | {network} | {1e3 * strong:.2f} ({alone / devices / strong:.0%}) "
                f"| {1e3 * weak:.2f} ({alone / weak:.0%}) |"
            )
    return "\n".join(lines)


def put(text: str, name: str, table: str) -> str:
    """Put a table between its markers."""
    before, rest = text.split(f"<!-- {name} -->\n")
    return f"{before}<!-- {name} -->\n\n{table}\n\n<!-- /{name} -->" + rest.split(f"<!-- /{name} -->")[1]


def main() -> None:
    """Measure on four forced devices, and write."""
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"  # before JAX is imported
    found = measure()
    (HERE / "scaling.json").write_text(json.dumps({"cores": os.cpu_count(), "measured": found}, indent=1) + "\n")
    page = HERE / "scaling.md"
    text = put(page.read_text(), "measured", measured_table(found))
    page.write_text(put(text, "modelled", modelled_table(found)))


if __name__ == "__main__":
    main()
