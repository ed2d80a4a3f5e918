"""WHAT the outer loop scores: a scalar of one task's inner run."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from metajax.types import PyTree


class Run(NamedTuple):
    """One task's inner run, offered to an objective; nothing is computed before it is called.

    Attributes:
        begin: the fast parameters before any rating.
        adapt: () -> the fast parameters after the support.
        support_loss: fast parameters -> mean loss over the support rows.
        query_loss: fast parameters -> mean loss over the query rows.
        task_loss: fast parameters -> mean loss over all rows of the task.
    """

    begin: PyTree
    adapt: Callable[[], PyTree]
    support_loss: Callable[[PyTree], jax.Array]
    query_loss: Callable[[PyTree], jax.Array]
    task_loss: Callable[[PyTree], jax.Array]


Objective = Callable[[Run, jax.Array], jax.Array]
"""(run, progress in [0, 1]) -> scalar."""


def last_step() -> Objective:
    """Score the query after the last inner step: L_Q(phi_K)."""
    return lambda run, progress: run.query_loss(run.adapt())


def without_adaptation() -> Objective:
    """Score all rows of the task with the shared parameters: ordinary joint training, no meta-learning."""
    return lambda run, progress: run.task_loss(run.begin)
