"""Gaussian predictions: their likelihood, their divergence, and a variance that never gets to 0."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.errors import ConfigError
from metajax.losses import Loss, masked_mean
from metajax.types import Examples, Prediction


def negative_log_likelihood(prediction: Prediction, rows: Examples) -> Float[Array, ""]:
    """Average -log N(target; mean, variance) over the real rows; 0, with a gradient of zeros, if there are none."""
    assert prediction.variance is not None  # nosec B101 # for the type checker; without it the next line fails
    error = jnp.where(rows.mask > 0, rows.target, prediction.mean) - prediction.mean
    return masked_mean(0.5 * (jnp.log(2 * jnp.pi * prediction.variance) + error**2 / prediction.variance), rows.mask)


def bounded_variance(raw: Float[Array, " rows"], min_deviation: float) -> Float[Array, " rows"]:
    """Return (min_deviation + softplus(raw))^2: the likelihood cannot be driven up by a variance that goes to 0."""
    return (min_deviation + jax.nn.softplus(raw)) ** 2


def divergence(
    mean: Float[Array, " d"],
    variance: Float[Array, " d"],
    prior_mean: Float[Array, " d"],
    prior_variance: Float[Array, " d"],
) -> Float[Array, ""]:
    """Return KL(N(mean, variance) || N(prior_mean, prior_variance)), summed over independent dimensions."""
    ratio = variance / prior_variance
    return 0.5 * jnp.sum(ratio + (mean - prior_mean) ** 2 / prior_variance - 1 - jnp.log(ratio))


def check_likelihood(loss: Loss | None) -> None:
    """Raise `ConfigError` if the loss is not squared error, which the likelihood of a Gaussian generalises."""
    if loss is not None and loss.name != "squared error":
        raise ConfigError(
            f"This learner is trained by the likelihood of a Gaussian, got the loss {loss.name}. "
            "Choose squared error; the spread is learned beside the mean."
        )


def check_neural_process(loss: Loss | None, **positive: float) -> None:
    """Raise `ConfigError` if the loss is not squared error, or a size is not positive.

    Args:
        loss: what the experiment chose; None is taken for squared error.
        positive: hyper-parameters that must be above 0, by name.
    """
    check_likelihood(loss)
    for name, value in positive.items():
        if not value > 0:
            raise ConfigError(f"{name} of a neural process must be positive, got {value}.")
