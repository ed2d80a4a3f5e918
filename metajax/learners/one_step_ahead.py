"""The likelihood of ratings as a chain of predictions, each from the ratings before it.

References:
    Shah, Wilson and Ghahramani, 2014, "Student-t processes as alternatives to Gaussian processes", section 3.
    https://arxiv.org/abs/1402.4306
"""

import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from metajax.learners.triangular import cholesky, solve_lower


def chain_log_likelihood(
    covariance: Float[Array, "rows rows"],
    residual: Float[Array, "rows columns"],
    mask: Float[Array, " rows"],
    freedom: Float[Array, ""],
) -> Float[Array, " rows"]:
    """Return `[rows]` the Student-t log-likelihood of each row given those before it; 0 for padding.

    With one column of residuals the sum is the log-density of a multivariate t of `freedom` degrees of freedom with
    the covariance I + `covariance`.

    Args:
        covariance: of the signal, in units of each row's noise; zero where a row is padding.
        residual: over the deviation of each row's noise, zero for padding. One column, or as many as rows: column t
            then holds all residuals as they are when row t is predicted.
        mask: 1.0 for a real row.
        freedom: nu, above 2.
    """
    lower = cholesky(covariance + jnp.eye(len(mask), dtype=covariance.dtype))
    errors = solve_lower(lower, residual) ** 2
    if residual.shape[1] == 1:
        squares = errors[:, 0]
        before = jnp.cumsum(squares) - squares
    else:
        squares, before = jnp.diag(errors), jnp.sum(jnp.triu(errors, 1), axis=0)
    count = jnp.cumsum(mask) - mask
    nu = freedom + count
    level = freedom - 2 + before  # nu times the squared scale
    each = (
        gammaln(0.5 * (nu + 1))
        - gammaln(0.5 * nu)
        - 0.5 * jnp.log(jnp.pi * level)
        - jnp.log(jnp.diag(lower))
        - 0.5 * (nu + 1) * jnp.log1p(squares / level)
    )
    return each * mask
