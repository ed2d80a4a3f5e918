"""Fixed tasks on their way to the device: grouped by length, cut to their bucket's width, in batches of one size."""

from collections.abc import Iterator

import jax
import numpy as np

from metajax.tasks.catalogue import Catalogue, task_from_rows
from metajax.tasks.taskset import TaskSet
from metajax.types import Task

SIZES = (16, 64)
"""Of batches of fewer tasks than a whole one."""


def batches(
    tasks: TaskSet, catalogue: Catalogue, *, widths: tuple[int, ...] = (8, 32), batch_size: int = 256
) -> Iterator[tuple[np.ndarray, Task]]:
    """Yield (positions in `tasks`, a batch of tasks on the device).

    Tasks whose support is no longer than a width share that width; a last group is as wide as the longest. Batches have
    few shapes, for each of which XLA compiles: one, three and five ratings are all as wide as the first of `widths`,
    and a batch holds `batch_size` tasks or one of SIZES. It is filled by repeating its last task; `positions` is
    shorter then.
    """
    have = tasks.support_mask.sum(axis=1)
    longest = tasks.support_mask.shape[1]
    bounds = sorted({*widths, longest} if longest > max(widths, default=0) else widths)
    group = np.searchsorted(bounds, have)
    for index, width in enumerate(bounds):
        members = np.flatnonzero(group == index)
        size = next((size for size in SIZES if len(members) <= size <= batch_size), batch_size)
        for first in range(0, len(members), size):
            positions = members[first : first + size]
            padded = np.concatenate([positions, np.repeat(positions[-1:], size - len(positions))])
            yield positions, to_device(tasks.take(padded).as_wide_as(width), catalogue)


def to_device(tasks: TaskSet, catalogue: Catalogue) -> Task:
    """Gather the features of fixed tasks; leaves get a leading tasks axis."""
    support = (tasks.support_items, tasks.support_target, tasks.support_mask)
    return _gathered(catalogue, tasks.user, support, (tasks.query_items, tasks.query_target, tasks.query_mask))


_gathered = jax.jit(task_from_rows)
