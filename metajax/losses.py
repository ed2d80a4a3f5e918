"""What a row costs: losses on a model's scores, and the target that scores predict.

A loss is a choice of the experiment. It says how many scores a row needs (`num_outputs`), which the model's
`outputs` must match, and which score stands for a given target (`link`), which is the model's `offset`.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.errors import ConfigError


class Loss(NamedTuple):
    """What a row costs.

    Attributes:
        value: (scores `[rows]` or `[rows, num_outputs]`, target `[rows]`, mask `[rows]`) -> scalar, the mean over real
            rows (or pairs of them); 0 with a gradient of zeros if there are none. What padding holds is never read.
        mean: scores -> `[rows]` predicted targets, in units of the target.
        link: a target -> the score that predicts it on its own; 0 where one number cannot. A model whose `offset` is
            link(mean training target) begins by predicting that mean.
        num_outputs: scores per row; with 1, scores are `[rows]`.
        name: for reports and errors.
    """

    value: Callable[[Array, Array, Array], Array]
    mean: Callable[[Array], Array]
    link: Callable[[float], float]
    num_outputs: int
    name: str

    @property
    def regresses(self) -> bool:
        """Whether a score is on the scale of the target, so that targets may be told in any unit."""
        return self.name in ("squared error", "ordinal")

    @property
    def ranks_only(self) -> bool:
        """Whether scores order items and are on no scale."""
        return self.name in ("pairwise ranking", "catalogue softmax")

    @property
    def ranks_catalogue(self) -> bool:
        """Whether scores say what is taken up, which only a ranking of the whole catalogue shows."""
        return self.name == "catalogue softmax"


def masked_mean(values: Float[Array, "*shape"], mask: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Average the values whose mask is 1.0; 0 with a gradient of zeros if there are none.

    Args:
        values: any shape; what stands where the mask is 0 is not read, be it NaN.
        mask: of the same shape, 1.0 or 0.0.
    """
    return jnp.sum(jnp.where(mask > 0, values, 0)) / jnp.maximum(jnp.sum(mask), 1)


def squared_error() -> Loss:
    """Regress: (score - target)^2. The score is the predicted target."""
    return Loss(
        _over_rows(lambda scores, target: (scores - target) ** 2), lambda scores: scores, float, 1, "squared error"
    )


def binary_cross_entropy() -> Loss:
    """Classify targets 1.0 and 0.0: -log of the Bernoulli likelihood whose logit is the score.

    log(1 + e^s) - y s is the stable form; a target between 0 and 1 is a soft label. `mean` is the probability of 1.0.
    """

    def link(target: float) -> float:
        probability = min(max(target, 1e-6), 1 - 1e-6)
        return math.log(probability / (1 - probability))

    value = _over_rows(lambda scores, target: jax.nn.softplus(scores) - target * scores)
    return Loss(value, jax.nn.sigmoid, link, 1, "binary cross-entropy")


def softmax_cross_entropy(levels: Sequence[float]) -> Loss:
    """Classify into levels without an order: -log softmax(scores) at the target's level.

    `mean` is the expected level. A target between two levels counts as the nearest (the lower on a tie).

    Args:
        levels: the targets there are, ascending, such as (1, 2, 3, 4, 5); a row has one score for each.

    Raises:
        ConfigError: if there are fewer than two levels or they do not ascend.
    """
    levels = _ascending(levels)

    def row_loss(scores: Array, target: Array) -> Array:
        distance = jnp.abs(target[:, None] - jnp.asarray(levels, target.dtype)[None, :])
        chosen = jnp.argmin(distance, axis=1)[:, None]
        return -jnp.take_along_axis(jax.nn.log_softmax(scores), chosen, axis=1)[:, 0]

    def mean(scores: Array) -> Array:
        return jax.nn.softmax(scores) @ jnp.asarray(levels, scores.dtype)

    return Loss(_over_rows(row_loss), mean, lambda _: 0.0, len(levels), "softmax cross-entropy")


def ordinal(levels: Sequence[float], *, spread: float = 0.5) -> Loss:
    """Classify into ordered levels by one score: the cumulative-logit model with fixed thresholds.

    P(target > level_k) = sigmoid((score - threshold_k) / spread), with the thresholds half way between neighbouring
    levels, so that the score lives on the scale of the target. `mean` is the expected level: close to the score, and
    never off the scale. A target between two levels counts as above every threshold that it exceeds.

    Args:
        levels: the targets there are, ascending, such as (1, 2, 3, 4, 5).
        spread: scale of the logistic noise, in units of the target; positive.

    Raises:
        ConfigError: if there are fewer than two levels, they do not ascend, or `spread` is not positive.

    References:
        McCullagh, 1980, "Regression models for ordinal data", section 2. https://doi.org/10.1111/j.2517-6161.1980.tb01109.x
    """
    levels = _ascending(levels)
    if not spread > 0:
        raise ConfigError(f"The spread of an ordinal loss must be positive, got {spread=}.")
    thresholds = [(low + high) / 2 for low, high in pairwise(levels)]
    gaps = [high - low for low, high in pairwise(levels)]
    shrink = [math.log(-math.expm1((low - high) / spread)) for low, high in pairwise(thresholds)]

    def logits(scores: Array) -> Array:
        return (scores[:, None] - jnp.asarray(thresholds, scores.dtype)[None, :]) / spread

    def row_loss(scores: Array, target: Array) -> Array:
        num_above = jnp.sum(target[:, None] > jnp.asarray(thresholds, target.dtype)[None, :], axis=1)
        # P(level) = sigmoid(a) - sigmoid(b), with the logits a of the threshold below it and b of the one over it (none
        # at the ends); its logarithm, stable far out, is log sigmoid(a) + log sigmoid(-b) + log(1 - e^(b - a)).
        below = jnp.pad(jax.nn.log_sigmoid(logits(scores)), ((0, 0), (1, 0)))
        over = jnp.pad(jax.nn.log_sigmoid(-logits(scores)), ((0, 0), (0, 1)))
        log_probability = below + over + jnp.pad(jnp.asarray(shrink, scores.dtype), 1)[None, :]
        return -jnp.take_along_axis(log_probability, num_above[:, None], axis=1)[:, 0]

    def mean(scores: Array) -> Array:
        return levels[0] + jax.nn.sigmoid(logits(scores)) @ jnp.asarray(gaps, scores.dtype)

    return Loss(_over_rows(row_loss), mean, float, 1, "ordinal")


def pairwise_ranking() -> Loss:
    """Rank: -log sigmoid(s_i - s_j), averaged over all pairs of real rows with target_i > target_j (BPR).

    0 where no pair of targets differs. `mean` is the score, which orders items but is on no scale.

    References:
        Rendle et al., 2009, "BPR: Bayesian personalized ranking from implicit feedback", eq. BPR-Opt of section 4.1.
        https://arxiv.org/abs/1205.2618
    """

    def value(scores: Array, target: Array, mask: Array) -> Array:
        scores, target = _blank_padding(scores, target, mask)
        preferred = (target[:, None] > target[None, :]).astype(mask.dtype)
        pairs = preferred * mask[:, None] * mask[None, :]
        return masked_mean(jax.nn.softplus(scores[None, :] - scores[:, None]), pairs)

    return Loss(value, lambda scores: scores, float, 1, "pairwise ranking")


def catalogue_softmax() -> Loss:
    """Name what is taken up next: -log softmax over the whole catalogue, which the learner computes, not this.

    `mean` is the score, which orders items but is on no scale.
    """

    def value(scores: Array, target: Array, mask: Array) -> Array:
        raise ConfigError("A softmax over the catalogue is no loss of a user's rows. Take the learner Uptake.")

    return Loss(value, lambda scores: scores, lambda _: 0.0, 1, "catalogue softmax")


def _over_rows(row_loss: Callable[[Array, Array], Array]) -> Callable[[Array, Array, Array], Array]:
    def value(scores: Array, target: Array, mask: Array) -> Array:
        scores, target = _blank_padding(scores, target, mask)
        return masked_mean(row_loss(scores, target), mask)

    return value


def _blank_padding(scores: Array, target: Array, mask: Array) -> tuple[Array, Array]:
    """Put zeros where there is padding: masking the loss alone would let NaN there into the gradient."""
    real = mask > 0
    return jnp.where(real[:, None] if scores.ndim == 2 else real, scores, 0), jnp.where(real, target, 0)


def _ascending(levels: Sequence[float]) -> tuple[float, ...]:
    if len(levels) < 2 or any(low >= high for low, high in pairwise(levels)):
        raise ConfigError(f"Levels must be two or more and ascend, got {levels!r}. Give such as (1, 2, 3, 4, 5).")
    return tuple(float(level) for level in levels)
