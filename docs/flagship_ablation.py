"""Take the flagship's parts away one at a time, and write what each costs into flagship.md.

Run: python docs/flagship_ablation.py     (half an hour on two cores; needs MovieLens-1M)

Everything is measured on held-out training users and held-out training items of the protocol `melu`: no test user is
looked at. One member, one seed; differences are paired by user (draws averaged first), with bootstrap intervals.
"""

import json
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import jax
import numpy as np
from results_table import fill

from metajax.data import content, encoding
from metajax.evaluation.metrics import clip
from metajax.evaluation.predict import predictor
from metajax.evaluation.statistics import bootstrap_means
from metajax.experiment import load_experiment
from metajax.experiment.assembly import Assembly, assemble
from metajax.experiment.provenance import commit
from metajax.experiment.running import train_seed
from metajax.experiment.search import replaced

HERE = Path(__file__).parent
PARTS = {
    "all parts": {},
    "without the content estimate": {"data.estimate_content": False},
    "estimate: columns count one by one": {},
    "estimate: without MovieLens' own genres": {},
    "without factors of content": {},
    "without a user's level of unseen items": {"learner.unseen_variance": 0.0},
    "without t: shared names and words say nothing": {"learner.shared": False},
    "without beliefs: point estimates of item tables": {"learner.beliefs": False},
    "without mu: which items were rated says nothing": {"learner.rated": False},
    "one noise level for all users": {"learner.freedom": 1e9},
    "items never lose their ids": {"learner.unseen": 0.0},
    "without priors of any kind": {"learner.priors": 0.0, "learner.beliefs": False},
    "three members": {"learner.members": 3},
}
TASKS = ("users", "5 ratings", "items")


def without_genres(items, train):
    """Fit the content estimate to an item table that has no genres of MovieLens' own."""
    return content.fit_content(items.drop("movielens_genres"), train)


def without_factors(items, train):
    """Fit the content estimate, and forget its factors."""
    return replace(content.fit_content(items, train), factors=())


CONTENT = {
    "estimate: columns count one by one": partial(content.fit_content, together=False),
    "estimate: without MovieLens' own genres": without_genres,
    "without factors of content": without_factors,
}
"""Part -> what takes the place of `fit_content`, which has no choices in an experiment."""


def measure(assembly: Assembly) -> dict[str, dict[str, np.ndarray]]:
    """Train one seed for as many steps as the experiment says; return per task: MAE, squared error, NLL `[users]`."""
    with TemporaryDirectory() as folder:
        trained = train_seed(assembly, Path(folder), 0, validate=None, show_progress=False)
    users, items = assembly.validation
    predict, found = predictor(assembly.parts.learner), {}
    for name, tasks in zip(TASKS, (users, users.k_shot(5), items), strict=True):
        made = jax.device_get(predict(trained.meta_params, assembly.catalogue, tasks))
        rows = tasks.query_mask > 0
        error = np.where(rows, clip(made.mean, assembly.interactions.scale) - tasks.query_target, 0)
        surprise = (made.mean - tasks.query_target) ** 2 / made.variance + np.log(2 * np.pi * made.variance)
        each = {"MAE": np.abs(error), "MSE": error**2, "NLL": np.where(rows, 0.5 * surprise, 0)}
        found[name] = {
            metric: by_user(tasks.user, values.sum(axis=1) / rows.sum(axis=1)) for metric, values in each.items()
        }
    return found


def by_user(users: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Average the draws of each user."""
    _, place = np.unique(users, return_inverse=True)
    return np.bincount(place, values) / np.bincount(place)


def main() -> None:
    """Measure all and write flagship_ablation.json and the table."""
    experiment = load_experiment(HERE.parent / "experiments" / "movielens_1m" / "flagship.py")
    experiment = replaced(experiment, {"learner.members": 1, "training.refit": False})
    made, rows = {}, {}
    for name, choices in PARTS.items():
        changed = mock.patch.object(encoding, "fit_content", CONTENT[name]) if name in CONTENT else nullcontext()
        with changed:
            assembly = assemble(replace(replaced(experiment, choices), seeds=(0,)))
        rows[name] = measure(assembly)
        made[name] = {
            f"{metric} {task}": cell(rows[name][task][metric], rows["all parts"][task][metric], name == "all parts")
            for task in TASKS
            for metric in ("MAE", "NLL")
        }
        print(name, made[name], flush=True)
    document = {"commit": commit(), "command": "python docs/flagship_ablation.py", "parts": made}
    (HERE / "flagship_ablation.json").write_text(json.dumps(document, indent=1) + "\n")
    fill(HERE / "flagship.md", "ablation", table(document) + "\n")


def cell(values: np.ndarray, full: np.ndarray, whole: bool) -> list[float]:
    """Return the mean, or the mean difference, and its 95 % interval."""
    values = values if whole else values - full
    low, high = np.percentile(bootstrap_means(values[:, None], seed=0), [2.5, 97.5])
    return [round(float(number), 4) for number in (values.mean(), low, high)]


def table(document: dict) -> str:
    """Return the page's table."""
    columns = list(document["parts"]["all parts"])
    lines = [
        f"Written by `{document['command']}` at commit {document['commit']}: held-out training users at full",
        "support and at 5 ratings, held-out items; one seed, one member. The first row is the flagship, the others are",
        "differences from it, with 95 % intervals over users; above 0 is worse.",
        "",
        f"| | {' | '.join(columns)} |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for name, cells in document["parts"].items():
        sign = "" if name == "all parts" else "+"
        texts = [f"{mean:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]" for mean, low, high in cells.values()]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
