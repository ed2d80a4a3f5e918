"""The sinusoid suite: the classic few-shot regression, the sanity check of the whole family of learners.

y = A sin(x - p) with A ~ U[0.1, 5], p ~ U[0, pi], x ~ U[-5, 5]; an MLP 1-40-40-1 with ReLU; 25 tasks an outer step,
outer Adam 1e-3, as many query as support points; measured is the MSE after adapting, on 100 x and 600 new tasks.

Run:      python experiments/sinusoid/suite.py            all learners, three seeds, 10 support points; resumable
          python experiments/sinusoid/suite.py maml ridge --shots 5
Takes:    one to three minutes a learner and seed on 2 CPU cores. Writes experiments/sinusoid/results.json and fits.png.
Follows:  Finn et al., 2017, section 5.1, https://arxiv.org/abs/1703.03400

A learner is a module beside this one: `learner(network)`, OUTER_STEPS, and the band that the mean of three seeds is
expected in. The outer loop is metajax's own.
"""

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

from metajax.experiment.provenance import commit
from metajax.files import write_json
from metajax.tasks.toy import sinusoid_task
from metajax.training.mover import make_mover
from metajax.training.outer import TrainState, make_outer_steps
from metajax.types import Examples, Key, Learner, Model, PyTree, Task

HERE = Path(__file__).parent
RESULTS, FIGURE = HERE / "results.json", HERE / "fits.png"
LEARNERS = ("ridge", "cavia", "meta_sgd", "maml", "fomaml", "anil")
"""In the order that their errors are expected in."""
SEEDS = (0, 1, 2)
TASKS_PER_STEP, GRID, TEST_TASKS = 25, 100, 600
WIDTH = 40


def network(*, context: int = 0) -> Model:
    """The MLP as a model: the two hidden layers are the item tower, the output layer is the head.

    Args:
        context: length of "item/context", zero at the start and concatenated to x; 0 leaves it out.
    """

    def dense(key: Key, rows: int, columns: int) -> dict[str, jax.Array]:
        scale = (2 / rows) ** 0.5
        return {"kernel": scale * jax.random.normal(key, (rows, columns)), "bias": jnp.zeros(columns)}

    def init(key: Key) -> PyTree:
        first, second, last = jax.random.split(key, 3)
        item = {"first": dense(first, 1 + context, WIDTH), "second": dense(second, WIDTH, WIDTH)}
        if context:
            item["context"] = jnp.zeros(context)
        return {"user": {}, "item": item, "head": {"output": dense(last, WIDTH, 1)}}

    def layer(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return x @ params["kernel"] + params["bias"][None]

    def embed_item(params: PyTree, items: PyTree) -> jax.Array:
        x = items["x"]
        if context:
            x = jnp.concatenate([x, jnp.broadcast_to(params["context"], (x.shape[0], context))], axis=1)
        return jax.nn.relu(layer(params["second"], jax.nn.relu(layer(params["first"], x))))

    return Model(
        init, lambda params, user: (), embed_item, lambda params, user, items: layer(params["output"], items)[:, 0]
    )


def load(name: str) -> ModuleType:
    """Import the module of a learner."""
    spec = importlib.util.spec_from_file_location(f"sinusoid_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(learner: Learner, *, shots: int, outer_steps: int, seed: int) -> PyTree:
    """Meta-train and return the meta-parameters of the last step."""

    def draw(source: None, key: Key) -> tuple[Task, Key]:
        del source
        draw_key, loss_key = jax.random.split(key)
        one_task = lambda one: sinusoid_task(one, support_rows=shots, query_rows=shots)  # noqa: E731
        tasks = jax.vmap(one_task)(jax.random.split(draw_key, TASKS_PER_STEP))
        return tasks, jax.random.split(loss_key, TASKS_PER_STEP)

    def meta_loss(meta_params: PyTree, batch: tuple[Task, Key], progress: jax.Array) -> tuple[jax.Array, dict]:
        losses, metrics = jax.vmap(lambda task, one: learner.loss(meta_params, task, one, progress))(*batch)
        return jnp.mean(losses), metrics

    mover = make_mover(optax.adam(1e-3), learner)
    steps = make_outer_steps(draw, meta_loss, mover, seed=seed, num_steps=outer_steps)
    meta_params = jax.jit(learner.init)(jax.random.key(10_000 + seed))
    state = TrainState(jnp.zeros((), jnp.int32), meta_params, mover.init(meta_params))
    state, info = steps(state, None, outer_steps)
    if not bool(info.finite.all()):
        raise SystemExit(f"The loss was not finite at step {int(jnp.argmin(info.finite))}.")
    return state.meta_params


def predictor(learner: Learner) -> Callable[[PyTree, Examples, jax.Array], jax.Array]:
    """Return (meta_params, support, x `[grid, 1]`) -> `[grid]` predictions after adapting."""

    def predict(meta_params: PyTree, support: Examples, x: jax.Array) -> jax.Array:
        represented = support._replace(items=learner.represent(meta_params, support.items))
        state = learner.adapt(meta_params, learner.begin(meta_params, {}), represented)
        return learner.predict(meta_params, state, learner.represent(meta_params, {"x": x})).mean

    return predict


def grid() -> jax.Array:
    return jnp.linspace(-5, 5, GRID)[:, None]


def new_tasks(shots: int, count: int = TEST_TASKS) -> tuple[Examples, jax.Array]:
    """Return supports and the true curves on the grid; the same for every learner."""

    def one(key: Key) -> tuple[Examples, jax.Array]:
        task = sinusoid_task(key, support_rows=shots, query_rows=2)
        amplitude, phase = (
            jax.random.uniform(part, minval=low, maxval=high)
            for part, low, high in zip(jax.random.split(key, 3), (0.1, 0.0), (5.0, jnp.pi), strict=False)
        )
        return task.support, amplitude * jnp.sin(grid()[:, 0] - phase)

    return jax.vmap(one)(jax.random.split(jax.random.key(77), count))


def mean_squared_error(learner: Learner, meta_params: PyTree, shots: int) -> float:
    """Return the MSE after adapting, on the grid, averaged over the test tasks."""
    supports, curves = new_tasks(shots)
    predictions = jax.jit(jax.vmap(predictor(learner), (None, 0, None)))(meta_params, supports, grid())
    return float(jnp.mean((predictions - curves) ** 2))


def main(arguments: list[str]) -> None:
    """Train what has no result yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("learners", nargs="*", default=LEARNERS, help=f"some of {', '.join(LEARNERS)}; all by default")
    parser.add_argument("--shots", type=int, default=10, help="support points")
    chosen = parser.parse_args(arguments)
    for name in chosen.learners:
        for seed in SEEDS:
            results = read_results()
            done = results.setdefault(name, {}).setdefault(str(chosen.shots), {})
            if str(seed) not in done:
                done[str(seed)] = measure(name, chosen.shots, seed)
                write_json(RESULTS, results)
    Console().print(table(chosen.shots))
    if chosen.shots == 10:
        draw_fits()
        print(f"Fits before and after adapting: {FIGURE}")


def read_results() -> dict:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}


def measure(name: str, shots: int, seed: int) -> dict:
    """Train one seed of one learner and return its error; of seed 0 also its curves on a few tasks."""
    module = load(name)
    learner = module.learner(network)
    started = time.perf_counter()
    meta_params = train(learner, shots=shots, outer_steps=module.OUTER_STEPS, seed=seed)
    result = {
        "mse": mean_squared_error(learner, meta_params, shots),
        "outer_steps": module.OUTER_STEPS,
        "seconds": round(time.perf_counter() - started),
        "commit": commit(),
    }
    print(f"{name}, {shots} points, seed {seed}: MSE {result['mse']:.3f} in {result['seconds']} s", flush=True)
    if seed == 0:
        supports, _ = new_tasks(shots, 3)
        empty = supports._replace(mask=jnp.zeros_like(supports.mask))
        for when, support in (("before", empty), ("after", supports)):
            curves = jax.jit(jax.vmap(predictor(learner), (None, 0, None)))(meta_params, support, grid())
            result[when] = np.round(np.asarray(curves, float), 3).tolist()
    return result


def table(shots: int) -> Table:
    """Lay out the mean over seeds beside the band that is expected of it (bands are for 10 points)."""
    results = read_results()
    shown = Table(title=f"MSE after adapting to {shots} points, {TEST_TASKS} tasks", title_justify="left")
    for name in ("learner", "mean", "seeds", "expected", ""):
        shown.add_column(name)
    for name in LEARNERS:
        values = [one["mse"] for one in results.get(name, {}).get(str(shots), {}).values()]
        if values:
            low, high = load(name).BAND
            said = "" if shots != 10 else ("inside" if low <= np.mean(values) <= high else "OUTSIDE")
            band = f"{low:g} to {high:g}" if shots == 10 else ""
            shown.add_row(name, f"{np.mean(values):.3f}", " ".join(f"{one:.3f}" for one in values), band, said)
    return shown


def draw_fits() -> None:
    """Draw the kept curves of three tasks, before and after adapting."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    results = read_results()
    names = [name for name in LEARNERS if "after" in results.get(name, {}).get("10", {}).get("0", {})]
    supports, curves = new_tasks(10, 3)
    figure, axes = pyplot.subplots(
        len(names), 3, figsize=(9, 1.6 * len(names)), sharex=True, sharey="col", squeeze=False
    )
    for row, name in enumerate(names):
        kept = results[name]["10"]["0"]
        for column in range(3):
            axis = axes[row, column]
            axis.plot(grid()[:, 0], curves[column], color="0.6", linewidth=3, label="truth")
            axis.plot(grid()[:, 0], kept["before"][column], color="tab:orange", linestyle="--", label="before")
            axis.plot(grid()[:, 0], kept["after"][column], color="tab:blue", label="after")
            axis.scatter(supports.items["x"][column, :, 0], supports.target[column], s=12, color="black", zorder=3)
        axes[row, 0].set_ylabel(name)
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1:])
