"""Fitted baselines as methods that are measured beside learners."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from metajax.evaluation.baselines.base import Baseline, Predict, Training
from metajax.evaluation.measure import Method
from metajax.evaluation.predict import Predictions
from metajax.tasks.taskset import TaskSet

CELLS_AT_ONCE = 2**22
"""Scores of tasks by items that a baseline is asked for: some hold a vector of each."""


def baseline_methods(
    training: Training,
    fixed: Sequence[Baseline],
    tuned: Mapping[str, Mapping[str, Baseline]],
    noise: Mapping[str, Mapping[str, float]],
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Method]:
    """Fit baselines to all training ratings.

    Args:
        training: what they may know.
        fixed: one method each.
        tuned: name -> scenario -> the candidate that was chosen for it; one method a name, whose predictions are those
            of the candidate of the tasks' scenario.
        noise: name -> scenario -> constant variance.
        progress: called with the name of what is fitted next.
    """
    fitted: dict[str, Predict] = {}

    def fit(baseline: Baseline) -> Predict:
        if baseline.name not in fitted:
            progress(f"fitting {baseline.name}")
            fitted[baseline.name] = baseline.fit(training)
        return fitted[baseline.name]

    def method(name: str, predict: Predict, ranks_only: bool) -> Method:
        return Method(
            name=name,
            kind="baseline",
            predict=lambda tasks: Predictions(predict(tasks), None),
            score_catalogue=lambda tasks: score_catalogue(predict, tasks, training.num_items),
            noise=noise[name],
            ranks_only=ranks_only,
        )

    methods = [method(baseline.name, fit(baseline), baseline.ranks_only) for baseline in fixed]
    for name, chosen in tuned.items():
        by_scenario = {scenario: fit(baseline) for scenario, baseline in chosen.items()}
        ranks_only = all(baseline.ranks_only for baseline in chosen.values())
        methods.append(method(name, _of_scenario(by_scenario), ranks_only))
    return methods


def score_catalogue(predict: Predict, tasks: TaskSet, num_items: int) -> np.ndarray:
    """Return float32 `[tasks, num_items]` scores of every item."""
    everything = np.arange(num_items, dtype=np.int32)
    scores = np.empty((len(tasks), num_items), np.float32)
    size = max(1, min(64, CELLS_AT_ONCE // num_items))
    for first in range(0, len(tasks), size):
        rows = np.arange(first, min(first + size, len(tasks)))
        scores[rows] = predict(_ask_about(tasks.take(rows), everything))
    return scores


def _of_scenario(by_scenario: Mapping[str, Predict]) -> Predict:
    return lambda tasks: by_scenario[tasks.name](tasks)


def _ask_about(tasks: TaskSet, items: np.ndarray) -> TaskSet:
    """Put these items in place of every task's query; the query's targets are gone."""
    shape = (len(tasks), len(items))
    ones = np.ones(shape, np.float32)
    return replace(tasks, query_items=np.broadcast_to(items, shape), query_target=0 * ones, query_mask=ones)
