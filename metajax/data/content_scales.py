"""Scales of a sum of kernels, and noise, that predict each item best from all others.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", eqs. 5.10 to 5.13.
"""

from collections.abc import Sequence

import numpy as np

from metajax.data.inverse import positive_inverse

LOG_BOUNDS = (-12.0, 3.0)


def leave_one_out(
    logs: np.ndarray, kernels: Sequence[np.ndarray], residual: np.ndarray, counts: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the weighted negative leave-one-out log-likelihood (without constants) and its gradient.

    Args:
        logs: `[kernels + 2]` of the scales and of the noise a, b of an item's mean, a + b / counts.
        kernels: each `[items, items]`.
        residual: `[items]` what is predicted.
        counts: `[items]` of ratings; an item weighs their root.
    """
    scales = np.exp(logs)
    covariance = summed_covariance(scales[:-2], kernels)
    covariance[np.diag_indices(len(residual))] += scales[-2] + scales[-1] / counts
    inverse = positive_inverse(covariance)
    dual, diagonal = inverse @ residual, np.diag(inverse)
    weight = np.sqrt(counts) * len(counts) / np.sqrt(counts).sum()
    value = 0.5 * np.sum(weight * (dual**2 / diagonal - np.log(diagonal)))
    # d inverse = -inverse (d covariance) inverse: one product of matrices serves all scales
    by_diagonal = 0.5 * weight * (dual**2 / diagonal**2 + 1 / diagonal)
    slope = (inverse * by_diagonal) @ inverse - np.outer(inverse @ (weight * dual / diagonal), dual)
    by_scale = [np.vdot(slope, kernel) for kernel in kernels]
    return value, np.array([*by_scale, np.trace(slope), np.sum(np.diag(slope) / counts)]) * scales


def summed_covariance(scales: np.ndarray, kernels: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of the scaled kernels, and 1 for what all items have in common."""
    covariance = np.ones_like(kernels[0])
    for scale, kernel in zip(scales, kernels, strict=True):
        covariance += scale * kernel
    return covariance


def choose_scales(
    kernels: Sequence[np.ndarray], *, residual: np.ndarray, counts: np.ndarray, start: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scales of the kernels, and the noise a, b; `start` holds both."""
    from scipy import optimize  # 13 MB that a service does not need

    found = optimize.minimize(
        leave_one_out,
        np.log(start),
        args=(kernels, residual, counts),
        jac=True,
        method="L-BFGS-B",
        bounds=[LOG_BOUNDS] * len(start),
        options={"maxiter": 20, "maxfun": 24},
    )
    return np.exp(found.x[:-2]), np.exp(found.x[-2:])
