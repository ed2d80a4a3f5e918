"""Fixed tasks, as a protocol lays them down: positions in the catalogue, on the host, in numpy."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

MOST_CELLS = 2**27
"""Numbers that an array of tasks by items may hold: half a gigabyte in float32."""


@dataclass(frozen=True)
class TaskSet:
    """The tasks of one scenario, all draws of it, padded to common numbers of rows.

    Attributes:
        name: the scenario, such as "user_cold".
        draw: int32 `[tasks]`, which draw of the protocol a task belongs to.
        user: int32 `[tasks]`, the user's position in the user table.
        support_items: int32 `[tasks, support_rows]`, positions in the item table, in the protocol's order, so that
            the first k columns are the k-shot support; 0 where masked.
        support_target: float32 `[tasks, support_rows]`.
        support_mask: float32 `[tasks, support_rows]`, real rows first.
        query_items: int32 `[tasks, query_rows]`.
        query_target: float32 `[tasks, query_rows]`.
        query_mask: float32 `[tasks, query_rows]`.
    """

    name: str
    draw: np.ndarray
    user: np.ndarray
    support_items: np.ndarray
    support_target: np.ndarray
    support_mask: np.ndarray
    query_items: np.ndarray
    query_target: np.ndarray
    query_mask: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def k_shot(self, k: int) -> "TaskSet":
        """Keep the first min(k, available) support rows; at k = 0 one masked column remains."""
        names = ("support_items", "support_target", "support_mask")
        support = {name: getattr(self, name)[:, : max(k, 1)] for name in names}
        support["support_mask"] = support["support_mask"] * np.float32(k > 0)
        return replace(self, **support)

    def as_wide_as(self, width: int) -> "TaskSet":
        """Cut or pad the support to so many columns, one or more."""
        more = max(0, width - self.support_mask.shape[1])
        pad = lambda of: np.pad(of[:, :width], ((0, 0), (0, more)))  # noqa: E731
        support = (self.support_items, self.support_target, self.support_mask)
        items, target, mask = map(pad, support)
        return replace(self, support_items=items, support_target=target, support_mask=mask)

    def take(self, tasks: np.ndarray) -> "TaskSet":
        """Keep the tasks at these positions, in this order."""
        names = [name for name in self.__dataclass_fields__ if name != "name"]
        return replace(self, **{name: getattr(self, name)[tasks] for name in names})

    def blocks(self, width: int) -> Iterator["TaskSet"]:
        """Yield the tasks in order, so many at once that arrays `[tasks, width]` stay below MOST_CELLS."""
        size = max(MOST_CELLS // max(width, 1), 1)
        for first in range(0, max(len(self), 1), size):
            yield self.take(np.arange(first, min(first + size, len(self))))
