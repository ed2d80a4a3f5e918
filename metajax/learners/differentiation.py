"""Two ways back through an inner loop that autodiff does not take by itself."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from metajax.types import PyTree


def forward_over_reverse_gradient(loss: Callable[[PyTree, PyTree], jax.Array]) -> Callable[[PyTree, PyTree], PyTree]:
    """Return the gradient of `loss` by its first argument, whose own way back is one directional derivative.

    The cotangent c of the gradient g(phi, rest) goes to (phi, rest) as d/de grad_{phi, rest} loss(phi + e c, rest).

    Args:
        loss: (fast parameters, rest) -> scalar. Leaves of `rest` that are not floating get no gradient.
    """

    def gradient(phi: PyTree, rest: PyTree) -> PyTree:
        floating, fixed, together = _parted(rest)

        @jax.custom_vjp
        def of_floating(phi: PyTree, floating: list, fixed: list) -> PyTree:
            return jax.grad(lambda one: loss(one, together(floating, fixed)))(phi)

        def forward(phi: PyTree, floating: list, fixed: list) -> tuple[PyTree, tuple]:
            return of_floating(phi, floating, fixed), (phi, floating, fixed)

        def backward(kept: tuple, cotangent: PyTree) -> tuple:
            phi, floating, fixed = kept
            both = jax.grad(lambda one, other: loss(one, together(other, fixed)), argnums=(0, 1))
            direction = (cotangent, jax.tree.map(jnp.zeros_like, floating))
            return (*jax.jvp(both, (phi, floating), direction)[1], None)

        of_floating.defvjp(forward, backward)
        return of_floating(phi, floating, fixed)

    return gradient


def implicit_solve(
    solver: Callable[[PyTree, PyTree], PyTree], objective: Callable[[PyTree, PyTree], jax.Array], cg_steps: int
) -> Callable[[PyTree, PyTree], PyTree]:
    """Return `solver` with the gradient of the minimiser of `objective` in place of that of the steps.

    Args:
        solver: (start, rest) -> phi*, near to where grad_phi objective(phi, rest) = 0. The start gets no gradient.
        objective: (phi, rest) -> scalar, strictly convex at phi*. Leaves of `rest` that are not floating get none.
        cg_steps: of the conjugate gradients that solve for the cotangent.
    """

    def solve(start: PyTree, rest: PyTree) -> PyTree:
        floating, fixed, together = _parted(rest)

        def stationary(phi: PyTree, floating: list, fixed: list) -> PyTree:
            return jax.grad(lambda one: objective(one, together(floating, fixed)))(phi)

        @jax.custom_vjp
        def of_floating(start: PyTree, floating: list, fixed: list) -> PyTree:
            return solver(start, together(floating, fixed))

        def forward(start: PyTree, floating: list, fixed: list) -> tuple[PyTree, tuple]:
            phi = of_floating(start, floating, fixed)
            return phi, (phi, floating, fixed)

        def backward(kept: tuple, cotangent: PyTree) -> tuple:
            phi, floating, fixed = kept

            def times_hessian(vector: PyTree) -> PyTree:
                return jax.jvp(lambda one: stationary(one, floating, fixed), (phi,), (vector,))[1]

            v = _conjugate_gradients(times_hessian, cotangent, cg_steps)
            _, back = jax.vjp(lambda one: stationary(phi, one, fixed), floating)
            (of_rest,) = back(jax.tree.map(jnp.negative, v))
            return jax.tree.map(jnp.zeros_like, phi), of_rest, None

        of_floating.defvjp(forward, backward)
        return of_floating(start, floating, fixed)

    return solve


def _conjugate_gradients(times: Callable[[PyTree], PyTree], right: PyTree, steps: int) -> PyTree:
    """Solve times(x) = right in some steps, no further than to rounding; x goes as `right` does.

    Steps beyond that, as for a user without ratings, who is solved after one, would divide by what underflows:
    `jax.scipy.sparse.linalg.cg` does, and is NaN in float32 wherever the compiler flushes small numbers to zero.
    """
    flat, unravel = ravel_pytree(right)
    enough = jnp.vdot(flat, flat) * jnp.finfo(flat.dtype).eps ** 2

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        x, residual, direction, squared = carry
        image = ravel_pytree(times(unravel(direction)))[0]
        curvature = jnp.vdot(direction, image)
        goes_on = (squared > enough) & (curvature != 0)
        length = jnp.where(goes_on, squared / jnp.where(goes_on, curvature, 1), 0)
        residual = residual - length * image
        after = jnp.vdot(residual, residual)
        turned = residual + jnp.where(goes_on, after / jnp.where(goes_on, squared, 1), 0) * direction
        return (x + length * direction, residual, turned, after), None

    begun = (jnp.zeros_like(flat), flat, flat, jnp.vdot(flat, flat))
    return unravel(jax.lax.scan(step, begun, length=steps)[0][0])


def _parted(tree: PyTree) -> tuple[list, list, Callable[[list, list], PyTree]]:
    """Part the leaves into floating ones and others, and say how to put them together again."""
    leaves, structure = jax.tree.flatten(tree)
    is_floating = [jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves]

    def together(floating: list, fixed: list) -> PyTree:
        parts = iter(floating), iter(fixed)
        return jax.tree.unflatten(structure, [next(parts[0] if wanted else parts[1]) for wanted in is_floating])

    floating = [leaf for leaf, wanted in zip(leaves, is_floating, strict=True) if wanted]
    return floating, [leaf for leaf, wanted in zip(leaves, is_floating, strict=True) if not wanted], together
