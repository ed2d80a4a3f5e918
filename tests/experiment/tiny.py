"""A tiny run on synthetic ratings with planted taste, made through the command line."""

import numpy as np
import polars as pl

from metajax.cli import main

FLAGS = [
    "--quiet", "--training.outer-steps", "200", "--training.validate-every", "50", "--training.tasks-per-step", "8",
    "--optimizer.learning-rate", "0.03", "--episodes.buckets", "--episodes.max-support", "12",
    "--episodes.min-support", "12", "--training.patience", "8", "--model.factors", "4",
    "--evaluation.shots", "0", "5", "--training.min-rows-per-step", "0",
]  # fmt: skip


def write_ratings(path):
    """Sixty users who love one half of thirty items and hate the other."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", int(item), 5 if (item < 15) == bool(user % 2) else 1 + int(rng.integers(0, 2)))
        for user in range(60)
        for item in rng.permutation(30)[:20]
    ]
    pl.DataFrame(rows, schema=["person", "thing", "stars"], orient="row").write_csv(path)


def train(folder, *flags):
    """Train from the csv file and return the exit code."""
    columns = ["--data.user", "person", "--data.item", "thing", "--data.target", "stars"]
    return main(["train", str(folder / "ratings.csv"), *columns, "--runs", str(folder / "runs"), *FLAGS, *flags])
