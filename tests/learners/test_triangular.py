"""Cholesky factors and triangular systems against the library, values and derivatives, alone and in a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.learners.triangular import BLOCK, cholesky, solve_factored, solve_lower


def definite(key, size=7):
    root = jax.random.normal(key, (size, size))
    return root @ root.T + jnp.eye(size)


@pytest.fixture(scope="module")
def matrices():
    return jax.vmap(definite)(jax.random.split(jax.random.key(0), 5))


def test_the_factor_is_the_librarys(matrices):
    found = jax.jit(jax.vmap(cholesky))(matrices)
    np.testing.assert_allclose(found, np.linalg.cholesky(matrices), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("transposed", [False, True])
def test_systems_are_solved(matrices, transposed):
    lower = jnp.linalg.cholesky(matrices)
    right = jax.random.normal(jax.random.key(1), (5, 7, 3))
    found = jax.vmap(lambda one, b: solve_lower(one, b, transposed=transposed))(lower, right)
    matrix = jnp.swapaxes(lower, 1, 2) if transposed else lower
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-10, atol=1e-12)
    both = jax.vmap(solve_factored)(lower, right)
    np.testing.assert_allclose(both, np.linalg.solve(matrices, right), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("transposed", [False, True])
def test_several_blocks_the_last_not_whole_are_as_one(transposed):
    size = 2 * BLOCK + 5
    matrix, right = definite(jax.random.key(2), size), jax.random.normal(jax.random.key(1), (size, 3))
    lower = jax.jit(cholesky)(matrix)
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), rtol=1e-9, atol=1e-11)
    found = jax.jit(lambda one, b: solve_lower(one, b, transposed=transposed))(lower, right)
    np.testing.assert_allclose((lower.T if transposed else lower) @ found, right, rtol=1e-9, atol=1e-9)


def test_derivatives_are_the_librarys_forward_and_back(matrices):
    right = jax.random.normal(jax.random.key(1), (7, 2))

    def ours(matrix):
        lower = cholesky(matrix)
        return jnp.sum(jnp.sin(lower)) + jnp.sum(solve_lower(lower, right) ** 3) + jnp.sum(solve_factored(lower, right))

    def theirs(matrix):
        lower = jnp.linalg.cholesky(matrix)
        half = jax.scipy.linalg.solve_triangular(lower, right, lower=True)
        return jnp.sum(jnp.sin(lower)) + jnp.sum(half**3) + jnp.sum(jnp.linalg.solve(matrix, right))

    symmetric = lambda gradient: gradient + gradient.T  # noqa: E731
    for matrix in matrices[:2]:
        np.testing.assert_allclose(
            symmetric(jax.grad(ours)(matrix)), symmetric(jax.grad(theirs)(matrix)), rtol=1e-8, atol=1e-9
        )
        direction = definite(jax.random.key(3))
        one, other = (jax.jvp(function, (matrix,), (direction,))[1] for function in (ours, theirs))
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_second_derivatives_are_finite_differences_of_the_first(matrices):
    def value(step):
        lower = cholesky(matrices[0] + step * jnp.eye(7))
        return jnp.sum(solve_lower(lower, jnp.ones((7, 1))) ** 2)

    numeric = (jax.grad(value)(1e-5) - jax.grad(value)(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(jax.grad(value))(0.0), numeric, rtol=1e-6)


def test_no_lapack_call_is_left_on_cpu(matrices):
    """A batch of them can wait for ever; see the module."""
    text = jax.jit(jax.vmap(lambda one: solve_factored(cholesky(one), one))).lower(matrices).compile().as_text()
    assert "custom-call" not in text
