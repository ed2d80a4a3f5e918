"""Scores that are linear in the item's representation: one product of the catalogue with one vector.

Nothing here knows a learner: a user's weights are the derivative of `predict` by the representation, and whether that
is the whole of it is checked on numbers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.errors import ConfigError
from metajax.ranking.exact import ItemScore
from metajax.types import Learner, PyTree

CHECKED = 256
"""Items on which the linear form is compared with the prediction."""


class LinearForm(NamedTuple):
    """One user: score = bias + representation . weights."""

    weights: Float[Array, "*users d"]
    bias: Float[Array, "*users"]


def linear_form(learner: Learner, meta_params: PyTree, state: PyTree, width: int) -> LinearForm:
    """Return a user's score at the representation 0, of length `width`, and its derivative there."""

    def mean(representation: jax.Array) -> jax.Array:
        return learner.predict(meta_params, state, representation[None]).mean[0]

    dtype = jnp.result_type(*jax.tree.leaves(state))
    bias, weights = jax.value_and_grad(mean)(jnp.zeros((width,), dtype))
    return LinearForm(weights, bias)


def linear_score(learner: Learner) -> ItemScore:
    """Return the score of a learner that `check_linear` lets pass: equal to `predicted_score` up to rounding.

    It reads the representations once and makes nothing of their size: over a million items a ridge on matrix
    factorisation ranks in less than half of the time of `predict` in blocks, at about the speed at which memory is
    read. Blocks cost it a copy of each: rank one user with `block=None`, a batch in blocks.
    """

    def score(meta_params: PyTree, state: PyTree, representations: PyTree) -> jax.Array:
        form = linear_form(learner, meta_params, state, representations.shape[1])
        return representations @ form.weights + form.bias

    return score


def check_linear(learner: Learner, meta_params: PyTree, state: PyTree, representations: PyTree) -> None:
    """Raise unless a user's score is linear in the item's representation.

    Args:
        learner: any.
        meta_params: of the learner.
        state: a user who was adapted to some ratings: before them much looks linear that is not.
        representations: of the catalogue; up to `CHECKED` items, evenly spread, are compared.

    Raises:
        ConfigError: if a representation is not one vector, or the linear form misses a prediction by more than 1e-4
            of the spread of the predictions (and what rounding explains).
    """
    shapes = [leaf.shape for leaf in jax.tree.leaves(representations)]
    if len(shapes) != 1 or len(shapes[0]) != 2 or not jnp.issubdtype(representations.dtype, jnp.floating):
        raise ConfigError(
            f"Linear scores need a single vector of floats as an item's representation, got arrays of shapes {shapes}. "
            "Rank exactly by predicted_score, which takes any learner."
        )
    sample = representations[:: max(1, shapes[0][0] // CHECKED)]
    predicted = learner.predict(meta_params, state, sample).mean
    error = float(jnp.max(jnp.abs(linear_score(learner)(meta_params, state, sample) - predicted)))
    spread = float(jnp.max(predicted) - jnp.min(predicted))
    if not error <= 1e-4 * spread + 16 * float(jnp.finfo(predicted.dtype).eps) * float(jnp.max(jnp.abs(predicted))):
        raise ConfigError(
            f"The scores of this learner are not linear in the item's representation: a linear form misses them by "
            f"{error:.2g}, of a spread of {spread:.2g}. Rank exactly by predicted_score, which takes any learner."
        )


def is_linear(learner: Learner, meta_params: PyTree, state: PyTree, representations: PyTree) -> bool:
    """Say whether `check_linear` lets the learner pass."""
    try:
        check_linear(learner, meta_params, state, representations)
    except ConfigError:
        return False
    return True
