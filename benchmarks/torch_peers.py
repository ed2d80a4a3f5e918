"""The peers on torch: outer gradients of MeLU as torch.func, learn2learn, or a patient hand would compute them.

Needs torch. Every function returns the sum over a batch of tasks of the query loss after `steps` inner steps.

References:
    learn2learn, https://github.com/learnables/learn2learn: its package builds no longer, so its algorithm stands here
    (`learn2learn/algorithms/maml.py`: clone the module, differentiable updates, one task after the other).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import torch
from torch import Tensor
from torch.func import grad, vmap

from benchmarks.torch_model import Params, rows_loss, score

TotalLoss = Callable[[Params, tuple[Tensor, ...]], Tensor]


def _descend(head: Params, gradients: Params, size: float) -> Params:
    return jax.tree.map(lambda p, g: p - size * g, head, gradients)


def torch_func(steps: int, size: float, offset: float, *, chunk: int | None = None) -> TotalLoss:
    """`vmap` over tasks of `grad` of the support loss; `chunk` tasks at a time."""

    def one_task(head: Params, user: Tensor, *rows: Tensor) -> Tensor:
        for _ in range(steps):
            head = _descend(head, grad(rows_loss)(head, user, *rows[:3], offset), size)
        return rows_loss(head, user, *rows[3:], offset)

    return lambda head, batch: vmap(one_task, in_dims=(None, *[0] * 7), chunk_size=chunk)(head, *batch).sum()


def learn2learn(steps: int, size: float, offset: float) -> TotalLoss:
    """Take one task after the other, its real rows only: clone the head, then differentiable updates."""

    def one_task(head: Params, user: Tensor, *rows: Tensor) -> Tensor:
        head = jax.tree.map(torch.clone, head)
        for _ in range(steps):
            leaves, structure = jax.tree.flatten(head)
            loss = rows_loss(head, user, *rows[:3], offset)
            gradients = torch.autograd.grad(loss, leaves, create_graph=True)
            head = _descend(head, jax.tree.unflatten(structure, gradients), size)
        return rows_loss(head, user, *rows[3:], offset)

    def total(head: Params, batch: tuple[Tensor, ...]) -> Tensor:
        user, items, target, mask, query, query_target, query_mask = batch
        have, asked = (one.sum(1).long().tolist() for one in (mask, query_mask))
        return torch.stack(
            [
                one_task(head, user[i], items[i, :n], target[i, :n], mask[i, :n], query[i, :m], query_target[i, :m],
                         query_mask[i, :m])
                for i, (n, m) in enumerate(zip(have, asked, strict=True))
            ]
        ).sum()  # fmt: skip

    return total


def gram_form(steps: int, size: float, offset: float) -> TotalLoss:
    """One inner step by hand, without a copy of any kernel: x (W - a X^T D) = x W - a (x X^T) D. Batched, no `vmap`."""
    if steps != 1:
        raise ValueError(f"The Gram form is of one inner step, got {steps=}.")

    def total(head: Params, batch: tuple[Tensor, ...]) -> Tensor:
        user, items, target, mask, query, query_target, query_mask = batch
        of_user, of_items = head["layers_0"]["kernel"].tensor_split((user.shape[-1],))
        second, third = head["layers_1"]["kernel"], head["output"]["kernel"][:, 0]
        constant = (user @ of_user + head["layers_0"]["bias"])[:, None]
        # the support: forward, then the derivative of its loss by what every layer gives
        one = torch.relu(items @ of_items + constant)
        two = torch.relu(one @ second + head["layers_1"]["bias"])
        residual = offset + two @ third + head["output"]["bias"] - target
        by_output = 2 * mask * residual / mask.sum(1, keepdim=True).clamp(min=1)
        by_two = by_output[..., None] * third * (two > 0)
        by_one = (by_two @ second.T) * (one > 0)
        # the query, by the adapted layers
        both = query @ items.mT + ((user**2).sum(1) + 1)[:, None, None]  # of item, user and bias
        hidden = torch.relu(query @ of_items + constant - size * both @ by_one)
        change = (hidden @ one.mT + 1) @ by_two
        hidden = torch.relu(hidden @ second + head["layers_1"]["bias"] - size * change)
        change = ((hidden @ two.mT + 1) @ by_output[..., None])[..., 0]
        scores = offset + hidden @ third + head["output"]["bias"] - size * change
        losses = (query_mask * (scores - query_target) ** 2).sum(1) / query_mask.sum(1).clamp(min=1)
        return losses.sum()

    return total


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def adapt_one(size: float, offset: float) -> dict[str, Callable[[Params, Tensor, Tensor, Tensor], Any]]:
    """Return ways to adapt the head to one person: (head, user vector, item vectors, target) -> adapted head."""

    def by_autograd(head: Params, user: Tensor, items: Tensor, target: Tensor) -> Params:
        leaves, structure = jax.tree.flatten(jax.tree.map(lambda leaf: leaf.detach().requires_grad_(), head))
        start = jax.tree.unflatten(structure, leaves)
        loss = ((score(start, user, items, offset) - target) ** 2).mean()
        with torch.no_grad():
            return _descend(start, jax.tree.unflatten(structure, torch.autograd.grad(loss, leaves)), size)

    def by_func(head: Params, user: Tensor, items: Tensor, target: Tensor) -> Params:
        with torch.no_grad():
            loss = lambda one: ((score(one, user, items, offset) - target) ** 2).mean()  # noqa: E731
            return _descend(head, grad(loss)(head), size)

    return {"autograd": by_autograd, "torch.func": by_func, "by hand": partial(_adapt_by_hand, size, offset)}


@torch.inference_mode()
def _adapt_by_hand(size: float, offset: float, head: Params, user: Tensor, items: Tensor, target: Tensor) -> Params:
    first, second, third = (head[name] for name in ("layers_0", "layers_1", "output"))
    inputs = torch.cat([user.expand(len(items), -1), items], 1)
    one = torch.addmm(first["bias"], inputs, first["kernel"]).relu_()
    two = torch.addmm(second["bias"], one, second["kernel"]).relu_()
    residual = torch.addmm(third["bias"], two, third["kernel"]).add_(offset - target[:, None])
    by_output = residual.mul_(2 / len(items))
    by_two = (by_output @ third["kernel"].T).mul_(two > 0)
    by_one = (by_two @ second["kernel"].T).mul_(one > 0)
    layers = ((first, inputs, by_one), (second, one, by_two), (third, two, by_output))
    adapted: Sequence[Params] = [
        {
            "kernel": torch.addmm(layer["kernel"], below.T, above, alpha=-size),
            "bias": torch.sub(layer["bias"], above.sum(0), alpha=size),
        }
        for layer, below, above in layers
    ]
    return dict(zip(("layers_0", "layers_1", "output"), adapted, strict=True))
