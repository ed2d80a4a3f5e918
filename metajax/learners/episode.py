"""Small helpers on one task that every learner shares."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from metajax.types import Examples, PyTree, Task


def represent_task(
    represent: Callable[[PyTree, PyTree], PyTree], meta_params: PyTree, task: Task
) -> tuple[Task, Examples]:
    """Represent support and query in one call, outside the inner loop.

    Returns:
        The task with represented items, and all its rows (support, then query) as one `Examples`.
    """
    rows = jax.tree.map(lambda one, other: jnp.concatenate([one, other]), task.support, task.query)
    rows = rows._replace(items=represent(meta_params, rows.items))
    num_support = task.support.mask.shape[0]
    support = jax.tree.map(lambda leaf: leaf[:num_support], rows)
    query = jax.tree.map(lambda leaf: leaf[num_support:], rows)
    return Task(task.user, support, query), rows
