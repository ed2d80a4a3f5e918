"""MeLU's network and losses on torch, with the parameters of ours: what every peer computes.

Needs torch. Embeddings go through `embedding` and `embedding_bag`, whose backward is several times faster than that of
plain indexing, and the user's part of the first layer is computed once a task: tricks of ours that a peer gets too.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.agreement import Values
from metajax.data.columns import Column
from metajax.learners.selection import path_of

Params = Any
Batch = Any


def to_torch(tree: Any, *, learn: bool = False) -> Any:
    """Copy a tree of arrays to torch, ids as int64; with `learn`, as parameters."""

    def one(leaf: Any) -> Tensor:
        tensor = torch.from_numpy(np.array(leaf))
        return tensor.requires_grad_(learn) if tensor.is_floating_point() else tensor.long()

    return jax.tree.map(one, tree)


def embed(columns: Sequence[Column], side: str, params: Params, encoded: dict[str, Tensor]) -> Tensor:
    """Embed the columns of one side and concatenate: `[..., width]`."""

    def one(column: Column) -> Tensor:
        table, ids = params[side]["columns"][column.name]["embedding"], encoded[column.name]
        if column.kind != "bag":
            return functional.embedding(ids, table)
        flat = ids.reshape(-1, ids.shape[-1])
        return functional.embedding_bag(flat, table, mode="mean", padding_idx=0).reshape(*ids.shape[:-1], -1)

    return torch.cat([one(column) for column in columns if column.of == side], -1)


def embed_tasks(columns: Sequence[Column], params: Params, tasks: Batch) -> tuple[Tensor, ...]:
    """Return user vectors, support vectors, target and mask, and the same three of the query."""
    rows = (part for one in (tasks.support, tasks.query) for part in (_items(columns, params, one), *one[1:]))
    return embed(columns, "user", params, tasks.user), *rows


def _items(columns: Sequence[Column], params: Params, rows: Any) -> Tensor:
    return embed(columns, "item", params, rows.items)


def score(head: Params, user: Tensor, items: Tensor, offset: float) -> Tensor:
    """Return `[rows]` scores of one task."""
    of_user, of_items = head["layers_0"]["kernel"].tensor_split((user.shape[-1],))
    hidden = torch.relu(items @ of_items + (user @ of_user + head["layers_0"]["bias"]))
    hidden = torch.relu(hidden @ head["layers_1"]["kernel"] + head["layers_1"]["bias"])
    return offset + (hidden @ head["output"]["kernel"] + head["output"]["bias"])[:, 0]


def rows_loss(head: Params, user: Tensor, items: Tensor, target: Tensor, mask: Tensor, offset: float) -> Tensor:
    """Return the mean squared error over real rows, 0 if there are none."""
    return (mask * (score(head, user, items, offset) - target) ** 2).sum() / mask.sum().clamp(min=1)


def gradient(loss: Tensor, params: Params) -> list[Tensor]:
    """Return the gradient by every parameter."""
    return list(torch.autograd.grad(loss, jax.tree.leaves(params)))


def values(result: tuple[Tensor, list[Tensor]], params: Params) -> Values:
    """Bring a loss and a gradient to the host, by path."""
    loss, gradients = result
    paths = [path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    return Values(loss.item(), {path: one.numpy() for path, one in zip(paths, gradients, strict=True)})
