"""The inverse of a positive definite matrix."""

import numpy as np
import pytest

from metajax.data.inverse import positive_inverse


def test_the_inverse_is_symmetric_and_undoes_the_matrix():
    root = np.random.default_rng(0).normal(size=(9, 12))
    matrix = root @ root.T + np.eye(9)
    before = matrix.copy()
    inverse = positive_inverse(matrix)
    np.testing.assert_allclose(inverse @ matrix, np.eye(9), atol=1e-10)
    np.testing.assert_array_equal(inverse, inverse.T)
    np.testing.assert_array_equal(matrix, before)
    assert inverse.flags.c_contiguous  # products with sparse matrices copy any other order


def test_what_has_no_such_inverse_is_refused():
    with pytest.raises(np.linalg.LinAlgError):
        positive_inverse(-np.eye(3))
