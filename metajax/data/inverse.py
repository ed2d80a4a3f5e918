"""The inverse of a large positive definite matrix."""

import numpy as np


def positive_inverse(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of a symmetric positive definite `[n, n]` matrix, by Cholesky's factor.

    A third of the arithmetic of `numpy.linalg.inv`.

    Raises:
        numpy.linalg.LinAlgError: if the matrix is not positive definite.
    """
    from scipy import linalg  # a service, which fits nothing, does without

    lower = linalg.cholesky(matrix, lower=True)
    (invert,) = linalg.get_lapack_funcs(("potri",), (lower,))
    inverse = invert(lower, lower=1, overwrite_c=1)[0]
    for row in range(len(inverse) - 1):  # potri writes the lower triangle
        inverse[row, row + 1 :] = inverse[row + 1 :, row]
    return inverse.T  # the same matrix, with rows that lie together
