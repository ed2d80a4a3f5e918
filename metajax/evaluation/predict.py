"""Predictions of a learner on fixed tasks: represent the catalogue once, then adapt and predict in jitted batches."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.tasks.batches import batches
from metajax.tasks.catalogue import Catalogue
from metajax.tasks.taskset import TaskSet
from metajax.types import Learner, Prediction, PyTree, Task


class Predictions(NamedTuple):
    """Of every task of a `TaskSet`.

    Attributes:
        mean: float64 `[tasks, query_rows]` predictive means, not clipped; 0 where masked.
        variance: `[tasks, query_rows]` or None.
    """

    mean: np.ndarray
    variance: np.ndarray | None


PredictTasks = Callable[[PyTree, Catalogue, TaskSet], Predictions]


def predictor(learner: Learner) -> PredictTasks:
    """Return (meta_params, catalogue, tasks) -> Predictions, compiled once per shape for all calls.

    Every task starts from `begin`: nothing of one task reaches another. Query targets are not passed on at all.
    """
    represent = jax.jit(learner.represent)

    @jax.jit
    def predict_batch(meta_params: PyTree, task: Task) -> Prediction:
        def one(task: Task) -> Prediction:
            return learner.predict(meta_params, _adapted(learner, meta_params, task), task.query.items)

        return jax.vmap(one)(task)

    def predict_tasks(meta_params: PyTree, catalogue: Catalogue, tasks: TaskSet) -> Predictions:
        represented = Catalogue(catalogue.users, represent(meta_params, catalogue.items))
        mean = np.zeros(tasks.query_mask.shape)
        variance = np.zeros(tasks.query_mask.shape)
        has_variance = False
        for positions, task in batches(tasks, represented):
            prediction = predict_batch(meta_params, _without_query_targets(task))
            mean[positions] = np.asarray(prediction.mean, np.float64)[: len(positions)]
            if prediction.variance is not None:
                has_variance = True
                variance[positions] = np.asarray(prediction.variance, np.float64)[: len(positions)]
        mean *= tasks.query_mask
        return Predictions(mean, variance if has_variance else None)

    return predict_tasks


def catalogue_scorer(learner: Learner) -> Callable[[PyTree, Catalogue, TaskSet], np.ndarray]:
    """Return (meta_params, catalogue, tasks) -> scores `[tasks, num_items]` of every item after adapting."""
    represent = jax.jit(learner.represent)

    @jax.jit
    def score_batch(meta_params: PyTree, task: Task, representations: PyTree) -> jax.Array:
        def one(task: Task) -> jax.Array:
            return learner.predict(meta_params, _adapted(learner, meta_params, task), representations).mean

        return jax.vmap(one)(task)

    def score_tasks(meta_params: PyTree, catalogue: Catalogue, tasks: TaskSet) -> np.ndarray:
        represented = Catalogue(catalogue.users, represent(meta_params, catalogue.items))
        num_items = jax.tree.leaves(catalogue.items)[0].shape[0]
        scores = np.zeros((len(tasks), num_items), np.float32)
        for positions, task in batches(tasks, represented, batch_size=64):
            scored = score_batch(meta_params, _without_query_targets(task), represented.items)
            scores[positions] = np.asarray(scored)[: len(positions)]
        return scores

    return score_tasks


def _adapted(learner: Learner, meta_params: PyTree, task: Task) -> PyTree:
    """Adapt from `begin`; a state that holds ratings keeps no more room than the support has rows."""
    state = learner.adapt(meta_params, learner.begin(meta_params, task.user), task.support)
    return learner.compact(state, task.support.mask.shape[0]) if learner.compact else state


def _without_query_targets(task: Task) -> Task:
    return task._replace(query=task.query._replace(target=jnp.full_like(task.query.target, jnp.nan)))
