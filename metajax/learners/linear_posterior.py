"""The posterior of a linear model with Gaussian noise, in square-root form.

With w ~ N(weights, root root^T) in units of the noise variance and rows y = x^T w + noise, conditioning keeps
`root`, not the covariance: every system that is solved has eigenvalues of 1 or more, so float32 streams safely.
Conditioning on A and then on B is exactly conditioning on A and B together.

References:
    Bertinetto et al., 2019, "Meta-learning with differentiable closed-form solvers", eqs. 4 to 6.
    https://arxiv.org/abs/1805.08136
    Andrews, 1968, "A square root formulation of the Kalman covariance equations" (the dual update of `root`).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.learners.triangular import cholesky, solve_factored, solve_lower


class LinearPosterior(NamedTuple):
    """Beliefs about one user's weights.

    Attributes:
        weights: `[features]` the posterior mean.
        root: `[features, features]` any square root of the posterior covariance over the noise variance.
    """

    weights: Float[Array, " features"]
    root: Float[Array, "features features"]


def condition(
    prior: LinearPosterior,
    features: Float[Array, "rows features"],
    target: Float[Array, " rows"],
    mask: Float[Array, " rows"],
) -> LinearPosterior:
    """Update the beliefs by observed rows, in the primal or the dual form, whichever system is smaller.

    Args:
        prior: beliefs before these rows.
        features: `[rows, features]`.
        target: `[rows]`; only rows with mask 1.0 are read.
        mask: `[rows]` 1.0 for a real row, 0.0 for padding.
    """
    rows, width = features.shape
    return (condition_dual if rows < width else condition_primal)(prior, features, target, mask)


def condition_primal(prior: LinearPosterior, features: Array, target: Array, mask: Array) -> LinearPosterior:
    """Condition by a system of features x features: weights + root (I + Z^T Z)^-1 Z^T r, with Z = X root."""
    whitened, residual = _whiten(prior, features, target, mask)
    lower = cholesky(jnp.eye(whitened.shape[1], dtype=whitened.dtype) + whitened.T @ whitened)
    weights = prior.weights + prior.root @ solve_factored(lower, (whitened.T @ residual)[:, None])[:, 0]
    root = solve_lower(lower, prior.root.T).T  # root C^-T, so root root^T = P - P X^T S^-1 X P
    return LinearPosterior(weights, root)


def condition_dual(prior: LinearPosterior, features: Array, target: Array, mask: Array) -> LinearPosterior:
    """Condition by a system of rows x rows: weights + root Z^T (I + Z Z^T)^-1 r, with Z = X root."""
    whitened, residual = _whiten(prior, features, target, mask)
    identity = jnp.eye(whitened.shape[0], dtype=whitened.dtype)
    lower = cholesky(identity + whitened @ whitened.T)
    weights = prior.weights + prior.root @ (whitened.T @ solve_factored(lower, residual[:, None])[:, 0])
    half = solve_lower(lower + identity, whitened)  # Andrews: I - Z^T C^-T (C + I)^-1 Z
    root = prior.root - prior.root @ (solve_lower(lower, whitened).T @ half)
    return LinearPosterior(weights, root)


def relative_variance(posterior: LinearPosterior, features: Float[Array, "rows features"]) -> Float[Array, " rows"]:
    """Return `[rows]` variance of x^T w over the noise variance; a prediction's is noise (1 + this)."""
    return jnp.sum((features @ posterior.root) ** 2, axis=-1)


def _whiten(prior: LinearPosterior, features: Array, target: Array, mask: Array) -> tuple[Array, Array]:
    residual = jnp.where(mask > 0, target - features @ prior.weights, 0)
    return (features * mask[:, None]) @ prior.root, residual
