"""Inner steps on a head of dense layers, without a copy of any kernel for a task: the Gram form.

A gradient step moves a kernel by outer products: W' = W - a X^T D, of the layer's inputs X `[rows, in]` and the loss's
derivative D `[rows, out]` by its outputs. Inputs Z then give

    Z W' = Z W - a (Z X^T) D,

where Z W is one product for all tasks of a meta-batch, and what is the task's own costs rows x rows. The first layer's
inputs are the same at every step, so that the sum of its D is all that there is to keep. Other layers take this form
where there is one step, and a kernel of their own where there are more, as does the output, which is narrow.

The same numbers as copying kernels, and the same derivatives; what it buys is measured by `make bench`, interleaved.

References:
    Irie et al., 2022, "The dual form of neural networks revisited", section 3. https://arxiv.org/abs/2202.05798
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.losses import Loss
from metajax.types import DenseHead, Examples, PyTree

MOST_STEPS = 8
"""Steps are written out one after the other; beyond, compilation would cost more than is gained."""


class Layer(NamedTuple):
    """A dense layer as inner steps left it: x W + b, and (x X^T) C where it is in the Gram form.

    Attributes:
        kernel: `[in, out]` shared, or the task's own.
        bias: `[out]` the task's own.
        inputs: X `[rows, in]`, or None.
        changes: C = -a D `[rows, out]`, or None.
    """

    kernel: jax.Array
    bias: jax.Array
    inputs: jax.Array | None = None
    changes: jax.Array | None = None


def pays(head: DenseHead, params: PyTree, rows: int, steps: int) -> bool:
    """Tell whether the Gram form of the first layer is less work than a kernel for each task.

    Args:
        head: the layers.
        params: of the head.
        rows: of the support.
        steps: inner steps.
    """
    inputs = params[head.layers[0]]["kernel"].shape[0]
    return steps == 1 or (steps <= MOST_STEPS and rows <= 2 * inputs)


def adapted_query_loss(
    head: DenseHead,
    loss: Loss,
    params: PyTree,
    user: jax.Array,
    support: Examples,
    query: Examples,
    *,
    step_size: jax.Array | float,
    steps: int,
    cut: Callable[[PyTree], PyTree],
) -> jax.Array:
    """Return the loss of the query after `steps` steps of gradient descent on the head by the support.

    Args:
        head: the layers.
        loss: what a row costs.
        params: of the head, where the descent begins.
        user: `[d_user]` vector.
        support: with item vectors `[rows, d_item]`; without a real row nothing moves.
        query: likewise.
        step_size: a.
        steps: 1 or more.
        cut: inputs and derivatives of a step -> the same, constants where nothing is to come back; alike for all steps.
    """
    first, *rest = (Layer(params[name]["kernel"], params[name]["bias"]) for name in head.layers)
    kept = cut((user, support.items))
    on_support, on_query = (_first_layer(first.kernel, user, rows.items, kept) for rows in (support, query))
    changes = None
    for _ in range(steps):

        def cost(taps: Sequence[jax.Array], first=first, rest=tuple(rest), changes=changes) -> tuple:
            scores, inputs = _forward(on_support(first.bias, changes) + taps[0], rest, taps[1:], head.offset)
            return loss.value(scores, support.target, support.mask), inputs

        dtype, rows = support.target.dtype, support.mask.shape[0]
        taps = [jnp.zeros((rows, layer.bias.shape[0]), dtype) for layer in (first, *rest)]
        derivatives, inputs = cut(jax.grad(cost, has_aux=True)(taps))
        change = -jnp.asarray(step_size, dtype) * derivatives[0]
        changes = change if changes is None else changes + change
        first = first._replace(bias=first.bias + jnp.sum(change, axis=0))
        rest = [
            _move(layer, step_size, *pair, in_gram_form=steps == 1 and layer is not rest[-1])
            for layer, *pair in zip(rest, inputs, derivatives[1:], strict=True)
        ]
    scores, _ = _forward(on_query(first.bias, changes), rest, [0.0] * len(rest), head.offset)
    return loss.value(scores, query.target, query.mask)


class _FirstLayer(NamedTuple):
    """The layer on concat(user, item) for some rows: what no step changes, computed once.

    Attributes:
        outputs: `[rows, width]` of the shared kernel, without the bias.
        products: `[rows, support rows]` of the layer's inputs with those of the support.
    """

    outputs: jax.Array
    products: jax.Array

    def __call__(self, bias: jax.Array, changes: jax.Array | None) -> jax.Array:
        """Return `[rows, width]` before the ReLU."""
        outputs = self.outputs + bias[None, :]
        return outputs if changes is None else outputs + self.products @ changes


def _first_layer(kernel: jax.Array, user: jax.Array, items: jax.Array, support: tuple[jax.Array, ...]) -> _FirstLayer:
    """Apply the kernel to one user and each item; `support` are the user and the items of the support, maybe cut."""
    of_user, of_items = jnp.split(kernel, [user.shape[0]])
    support_user, support_items = support
    outputs = items @ of_items + (user @ of_user)[None, :]
    return _FirstLayer(outputs, items @ support_items.T + user @ support_user)


def _forward(
    hidden: jax.Array, layers: Sequence[Layer], taps: Sequence[jax.Array | float], offset: float
) -> tuple[jax.Array, list[jax.Array]]:
    """Return scores, and the inputs of every layer; derivatives by the taps are those by the layers' outputs."""
    inputs = []
    for layer, tap in zip(layers, taps, strict=True):
        hidden = jax.nn.relu(hidden)
        inputs.append(hidden)
        outputs = hidden @ layer.kernel + layer.bias[None, :] + tap
        if layer.inputs is not None:
            outputs = outputs + (hidden @ layer.inputs.T) @ layer.changes
        hidden = outputs
    scores = offset + hidden
    return scores[:, 0] if scores.shape[1] == 1 else scores, inputs


def _move(
    layer: Layer, step_size: jax.Array | float, inputs: jax.Array, derivative: jax.Array, *, in_gram_form: bool
) -> Layer:
    change = -jnp.asarray(step_size, derivative.dtype) * derivative
    bias = layer.bias + jnp.sum(change, axis=0)
    if in_gram_form:
        return Layer(layer.kernel, bias, inputs, change)
    return Layer(layer.kernel + inputs.T @ change, bias)
