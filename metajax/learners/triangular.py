"""Cholesky factors and triangular systems of small matrices, many at once, that never block.

On CPU, jaxlib hands a batch of LAPACK calls to the very threads that wait for them: two such calls at once on two
cores wait for each other for ever (seen with jaxlib 0.10: every thread of the pool in `ParallelBatchMap` below
`lapack_strsm_ffi`). Here the loops over columns are XLA's own, and a batch is one operation a column. Other platforms
use their library.

Derivatives come from the factor and its triangular systems, not from the loops.

References:
    Golub and Van Loan, 2013, "Matrix computations", algorithms 3.1.1 and 4.2.1.
    Murray, 2016, "Differentiation of the Cholesky decomposition", eq. 8. https://arxiv.org/abs/1602.07527
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float


@jax.custom_jvp
def cholesky(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Return the lower L with L L^T = matrix, of a symmetric positive definite matrix; NaN where it is not."""
    return jax.lax.platform_dependent(matrix, cpu=_cholesky_by_columns, default=jnp.linalg.cholesky)


@cholesky.defjvp
def _cholesky_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """DL = L Phi(L^-1 dA L^-T), with Phi the lower triangle and half of the diagonal."""
    (matrix,), (change,) = primals, tangents
    lower = cholesky(matrix)
    inner = solve_lower(lower, solve_lower(lower, 0.5 * (change + change.T)).T)
    half = jnp.tril(inner) - 0.5 * jnp.diag(jnp.diag(inner))
    return lower, lower @ half


def solve_lower(
    lower: Float[Array, "d d"], right: Float[Array, "d columns"], *, transposed: bool = False
) -> Float[Array, "d columns"]:
    """Solve L x = right, or L^T x = right if `transposed`, for a lower triangular L."""

    def times(x: Array) -> Array:
        return (lower.T if transposed else lower) @ x

    solve, other = partial(_substitute, lower, transposed), partial(_substitute, lower, not transposed)
    return jax.lax.custom_linear_solve(times, right, solve=lambda _, b: solve(b), transpose_solve=lambda _, b: other(b))


def solve_factored(lower: Float[Array, "d d"], right: Float[Array, "d columns"]) -> Float[Array, "d columns"]:
    """Solve (L L^T) x = right."""
    return solve_lower(lower, solve_lower(lower, right), transposed=True)


def _substitute(lower: Array, transposed: bool, right: Array) -> Array:
    return jax.lax.platform_dependent(
        lower,
        right,
        cpu=partial(_substitute_by_rows, transposed=transposed),
        default=partial(solve_triangular, trans=int(transposed), lower=True),
    )


def _cholesky_by_columns(matrix: Array) -> Array:
    size = matrix.shape[0]
    rows = jnp.arange(size)

    def column(j: Array, lower: Array) -> Array:
        rest = matrix[:, j] - lower @ lower[j]
        below = jnp.where(rows >= j, rest / jnp.sqrt(rest[j]), 0)
        return lower.at[:, j].set(below)

    return jax.lax.fori_loop(0, size, column, jnp.zeros_like(matrix))


def _substitute_by_rows(lower: Array, right: Array, *, transposed: bool) -> Array:
    size = lower.shape[0]
    matrix = lower.T if transposed else lower

    def row(step: Array, x: Array) -> Array:
        i = size - 1 - step if transposed else step
        return x.at[i].set((right[i] - matrix[i] @ x) / matrix[i, i])

    return jax.lax.fori_loop(0, size, row, jnp.zeros_like(right))
