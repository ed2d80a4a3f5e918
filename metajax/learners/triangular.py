"""Cholesky factors and triangular systems of small matrices, many at once, that never block.

On CPU, jaxlib hands a batch of LAPACK calls to the very threads that wait for them: two such calls at once on two
cores wait for each other for ever (seen with jaxlib 0.10: every thread of the pool in `ParallelBatchMap` below
`lapack_strsm_ffi`). Here the loops over columns are XLA's own, in blocks, so that most of the work is products of
matrices. Other platforms use their library.

Derivatives come from the factor and its triangular systems, not from the loops.

References:
    Golub and Van Loan, 2013, "Matrix computations", algorithms 3.1.1 and 4.2.1, sections 3.1.4 and 4.2.5.
    Murray, 2016, "Differentiation of the Cholesky decomposition", eq. 8. https://arxiv.org/abs/1602.07527
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

BLOCK = 32
"""Rows that are solved for one by one; 16 run as fast and take a third longer to compile."""


@jax.custom_jvp
def cholesky(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Return the lower L with L L^T = matrix, of a symmetric positive definite matrix; NaN where it is not."""
    return jax.lax.platform_dependent(matrix, cpu=_cholesky_by_blocks, default=jnp.linalg.cholesky)


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
        cpu=partial(_substitute_by_blocks, transposed=transposed),
        default=partial(solve_triangular, trans=int(transposed), lower=True),
    )


def _cholesky_by_blocks(matrix: Array) -> Array:
    """Golub and Van Loan, section 4.2.5: of many matrices of 128 rows a quarter of the time of columns alone."""
    size, lower = matrix.shape[0], jnp.zeros_like(matrix)
    for first in range(0, size, BLOCK):
        last = min(first + BLOCK, size)
        done = lower[first:, :first]
        panel = matrix[first:, first:last] - done @ done[: last - first].T
        corner = _cholesky_by_columns(panel[: last - first])
        lower = lower.at[first:last, first:last].set(corner)
        if last < size:
            lower = lower.at[last:, first:last].set(panel[last - first :] @ _inverse_lower(corner).T)
    return lower


def _cholesky_by_columns(matrix: Array) -> Array:
    size = matrix.shape[0]
    rows = jnp.arange(size)

    def column(j: Array, lower: Array) -> Array:
        rest = matrix[:, j] - lower @ lower[j]
        below = jnp.where(rows >= j, rest / jnp.sqrt(rest[j]), 0)
        return lower.at[:, j].set(below)

    return jax.lax.fori_loop(0, size, column, jnp.zeros_like(matrix))


def _substitute_by_blocks(lower: Array, right: Array, *, transposed: bool) -> Array:
    size, x = lower.shape[0], jnp.zeros_like(right)
    for first in sorted(range(0, size, BLOCK), reverse=transposed):
        here, others = (
            slice(first, min(first + BLOCK, size)),
            slice(first + BLOCK, None) if transposed else slice(first),
        )
        inverse, off = _inverse_lower(lower[here, here]), lower[others, here].T if transposed else lower[here, others]
        x = x.at[here].set((inverse.T if transposed else inverse) @ (right[here] - off @ x[others]))
    return x


def _inverse_lower(lower: Array) -> Array:
    """Return the inverse of a small lower triangular matrix."""
    identity = jnp.eye(lower.shape[0], dtype=lower.dtype)

    def row(i: Array, inverse: Array) -> Array:
        return inverse.at[i].set((identity[i] - lower[i] @ inverse) / lower[i, i])

    return jax.lax.fori_loop(0, lower.shape[0], row, jnp.zeros_like(lower))
