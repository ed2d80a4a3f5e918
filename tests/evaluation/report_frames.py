"""A results frame with known means, for the tests of summaries and reports."""

from collections.abc import Sequence

import numpy as np
import polars as pl

PROTOCOL = {
    "name": "user_cold",
    "sentence": "Users whom training has not seen; the last ten ratings of each draw's order are the query.",
    "draws": 5,
    "regime": "query",
    "relevance_threshold": 4.0,
    "gain": "exponential",
}
METADATA = {
    "name": "test run",
    "data": {"name": "ml-test", "counts": {"ratings": 100_000, "users": 943}, "license": "non-commercial"},
    "command": "metajax evaluate runs/test",
    "commit": "0123abc",
    "created": "2026-01-02T03:04:05Z",
    "versions": {"jax": "0.10.2"},
    "config": {"learner": {"name": "ridge"}},
    "learning_curves": [
        {"seed": seed, "step": step, "loss": 1 / (1 + step), "validation": 0.8 + 0.1 / (1 + step)}
        for seed in (0, 1)
        for step in range(0, 50, 10)
    ],
    "training_seconds": {"0": 12.5, "1": 13.0},
}


def results_frame(
    methods: Sequence[tuple[str, str, float]],
    *,
    scenarios: Sequence[str] = ("user_cold",),
    shots: Sequence[int | None] = (0, 5, None),
    seeds: Sequence[int] = (0, 1),
    num_users: int = 40,
) -> pl.DataFrame:
    """Make a frame: a learner has a row per seed, a baseline one; an error is about the third part of a method.

    The users' difficulty is shared by all methods, and errors fall with the size of the support.
    """
    random = np.random.default_rng(0)
    rows = []
    for scenario in scenarios:
        difficulty = random.normal(0, 0.15, num_users)
        history = random.integers(3, 90, num_users)
        popularity = random.normal(5, 1, num_users)
        for method, kind, error in methods:
            for k in shots:
                for seed in seeds if kind == "learner" else (None,):
                    mae = error + 0.1 / (1 + (100 if k is None else k)) + difficulty + random.normal(0, 0.02, num_users)
                    rows.append(
                        pl.DataFrame(
                            {
                                "scenario": [scenario] * num_users,
                                "method": [method] * num_users,
                                "kind": [kind] * num_users,
                                "k": pl.Series([k] * num_users, dtype=pl.Int32),
                                "seed": pl.Series([seed] * num_users, dtype=pl.Int32),
                                "user": np.arange(num_users) + 1000,
                                "history": pl.Series(history, dtype=pl.Int32),
                                "popularity": popularity,
                                "mae": mae,
                                "mse": mae**2 * 1.5,
                                "ndcg@5": 1.2 - mae / 2,
                            }
                        )
                    )
    return pl.concat(rows)
