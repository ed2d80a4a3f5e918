"""Inner steps on a head of dense layers, without a copy of any kernel for a task: the Gram form.

A gradient step moves a kernel by outer products: W' = W - a X^T D, of the layer's inputs X `[rows, in]` and the loss's
derivative D `[rows, out]` by its outputs. Inputs Z then give

    Z W' = Z W - a (Z X^T) D,

where Z W is one product for all tasks of a meta-batch, and what is the task's own costs rows x rows. The first layer's
inputs are the same at every step, so that the sum of its D is all that there is to keep. Other layers take this form
where there is one step, and a kernel of their own where there are more, as does the output, which is narrow.

The same numbers as copying kernels, and the same derivatives: MeLU's outer gradient of 32 tasks takes 1 / 1.6 of the
time with one step, and 1 / 3 with five (`make bench`, interleaved).

References:
    Irie et al., 2022, "The dual form of neural networks revisited", section 3. https://arxiv.org/abs/2202.05798
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.losses import Loss
from metajax.rows import dense_layer, product
from metajax.types import DenseHead, Examples, PyTree

MOST_STEPS = 8
"""Steps are written out one after the other; beyond, compilation would cost more than is gained."""


class Layer(NamedTuple):
    """A dense layer as inner steps left it: x W + b, and (x X^T + 1) C where it is in the Gram form.

    Attributes:
        kernel: `[in, out]` shared, or the task's own.
        bias: `[out]` likewise.
        inputs: X `[rows, in]`, or None.
        changes: C = -a D `[rows, out]`, or None; the 1 above moves the bias.
    """

    kernel: jax.Array
    bias: jax.Array
    inputs: jax.Array | None = None
    changes: jax.Array | None = None

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Apply the layer to `[rows, in]`."""
        outputs = dense_layer(inputs, self.kernel, self.bias)
        if self.inputs is None or self.changes is None:
            return outputs
        return outputs + (inputs @ self.inputs.T + 1) @ self.changes


class FirstLayer(NamedTuple):
    """The layer on concat(user, item) for some rows: what no step changes, computed once.

    Attributes:
        outputs: `[rows, width]` of the shared kernel and bias.
        products: `[rows, support rows]` of the layer's inputs, the bias' 1 among them, with those of the support.
    """

    outputs: jax.Array
    products: jax.Array

    def __call__(self, changes: jax.Array | None) -> jax.Array:
        """Return `[rows, width]`, `changes` being the sum over the steps so far."""
        return self.outputs if changes is None else self.outputs + self.products @ changes


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
    rows: Examples,
    *,
    num_support: int,
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
        rows: with item vectors `[rows, d_item]`: the support, then the query. Without a real row in the support nothing
            moves.
        num_support: rows of the support, padding included.
        step_size: a.
        steps: 1 or more.
        cut: inputs and derivatives of a step -> the same, constants where nothing is to come back; alike for all steps.
    """
    layers = [Layer(params[name]["kernel"], params[name]["bias"]) for name in head.layers]
    support, query = (jax.tree.map(lambda leaf, part=part: leaf[part], rows) for part in _parts(num_support))
    on_support, on_query = _first_layer(layers[0], user, rows.items, num_support, steps, cut)
    rest, changes = layers[1:], None
    for _ in range(steps):
        outputs = _forward(on_support(changes), rest)
        by_scores = jax.grad(loss.value)(_scores(outputs, head.offset), support.target, support.mask)
        by_outputs = _backward(outputs, rest, by_scores.reshape(num_support, -1))
        outputs, by_outputs = cut((outputs, by_outputs))
        change, *others = (-jnp.asarray(step_size, by.dtype) * by for by in by_outputs)
        changes = change if changes is None else changes + change
        rest = [
            _move(layer, jax.nn.relu(below), other, in_gram_form=steps == 1 and layer is not rest[-1])
            for layer, below, other in zip(rest, outputs, others, strict=False)
        ]
    outputs = _forward(on_query(changes), rest)
    return loss.value(_scores(outputs, head.offset), query.target, query.mask)


def _parts(num_support: int) -> tuple[slice, slice]:
    return slice(None, num_support), slice(num_support, None)


def _first_layer(
    layer: Layer, user: jax.Array, items: jax.Array, num_support: int, steps: int, cut: Callable[[PyTree], PyTree]
) -> tuple[FirstLayer, FirstLayer]:
    """Return the layer for the support and for the query, by one product for both."""
    of_user, of_items = jnp.split(layer.kernel, [user.shape[0]])
    outputs = dense_layer(items, of_items, layer.bias) + (user @ of_user)[None, :]
    support_user, support_items = cut((user, items[:num_support]))
    passed_over = num_support if steps == 1 else 0  # the support of a single step is not looked at again
    products = items[passed_over:] @ support_items.T + (user @ support_user + 1)
    parts = zip(_parts(num_support), _parts(num_support - passed_over), strict=True)
    on_support, on_query = (FirstLayer(outputs[of_rows], products[of_products]) for of_rows, of_products in parts)
    return on_support, on_query


def _forward(outputs: jax.Array, layers: Sequence[Layer]) -> list[jax.Array]:
    """Return the outputs of every layer, before their ReLU; those of the first are given."""
    all_outputs = [outputs]
    for layer in layers:
        all_outputs.append(layer(jax.nn.relu(all_outputs[-1])))
    return all_outputs


def _backward(outputs: Sequence[jax.Array], layers: Sequence[Layer], by_last: jax.Array) -> list[jax.Array]:
    """Return the loss's derivatives by the outputs of every layer; none of `layers` is in the Gram form."""
    derivatives = [by_last]
    for below, layer in zip(reversed(outputs[:-1]), reversed(layers), strict=True):
        derivatives.append(jnp.where(below > 0, product(derivatives[-1], layer.kernel.T), 0))
    return derivatives[::-1]


def _scores(outputs: Sequence[jax.Array], offset: float) -> jax.Array:
    """Return `[rows]` scores, or `[rows, outputs]` of several."""
    scores = offset + outputs[-1]
    return scores[:, 0] if scores.shape[1] == 1 else scores


def _move(layer: Layer, inputs: jax.Array, change: jax.Array, *, in_gram_form: bool) -> Layer:
    if in_gram_form:
        return layer._replace(inputs=inputs, changes=change)
    return Layer(layer.kernel + inputs.T @ change, layer.bias + jnp.sum(change, axis=0))
