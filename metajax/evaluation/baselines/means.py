"""Baselines that know only averages and counts."""

import numpy as np

from metajax.evaluation.baselines.base import Baseline, Predict, Training
from metajax.tasks.taskset import TaskSet


def global_mean() -> Baseline:
    """Predict the mean training target: a constant, so that its ranking is chance."""

    def fit(training: Training) -> Predict:
        return lambda tasks: np.full(tasks.query_mask.shape, training.mean)

    return Baseline("global mean", fit)


def user_mean() -> Baseline:
    """Predict the mean of the user's support; the global mean where that is empty."""

    def fit(training: Training) -> Predict:
        def predict(tasks: TaskSet) -> np.ndarray:
            have = tasks.support_mask.sum(axis=1)
            total = (tasks.support_target * tasks.support_mask).sum(axis=1, dtype=float)
            mean = np.where(have > 0, total / np.maximum(have, 1), training.mean)
            return np.broadcast_to(mean[:, None], tasks.query_mask.shape)

        return predict

    return Baseline("user mean", fit)


def item_mean() -> Baseline:
    """Predict the item's mean training target; the global mean for an item without ratings."""

    def fit(training: Training) -> Predict:
        counts = training.counts("items")
        total = np.bincount(training.items, training.target, training.num_items)
        means = np.where(counts > 0, total / np.maximum(counts, 1), training.mean)
        return lambda tasks: means[tasks.query_items]

    return Baseline("item mean", fit)


def popularity() -> Baseline:
    """Rank by the number of training ratings."""

    def fit(training: Training) -> Predict:
        counts = training.counts("items")
        return lambda tasks: counts[tasks.query_items]

    return Baseline("popularity", fit, ranks_only=True)


def random_scores(seed: int = 0) -> Baseline:
    """Rank at random: what chance gives. Every task has scores of its own, the same whichever it is asked with."""

    def fit(training: Training) -> Predict:
        del training

        def predict(tasks: TaskSet) -> np.ndarray:
            count = tasks.query_mask.shape[1]
            seeds = np.stack([np.full_like(tasks.user, seed), tasks.user, tasks.draw], axis=1)
            return np.stack([np.random.default_rng(task).random(count) for task in seeds])

        return predict

    return Baseline("random", fit, ranks_only=True, is_chance=True)
