"""Directions in which items are alike."""

import jax.numpy as jnp
import numpy as np

from metajax.ranking.neighbours import item_directions, nearest


def test_one_array_of_floats_has_cosines():
    directions = item_directions(jnp.array([[3.0, 0.0], [0.0, 0.0], [2.0, 2.0], [0.0, 5.0]]))
    assert directions is not None
    np.testing.assert_allclose(directions @ directions[0], [1, 0, np.sqrt(0.5), 0], atol=1e-6)
    found, cosines = nearest(directions, 0, 2, np.array([True, True, True, False]))
    assert found.tolist() == [2, 1]
    np.testing.assert_allclose(cosines, [np.sqrt(0.5), 0], atol=1e-6)


def test_arrays_on_scales_of_their_own_have_none():
    """In a row, how popular two items are would decide."""
    assert item_directions({"level": jnp.array([9.0, 9.0]), "factors": jnp.array([[0.1], [-0.1]])}) is None
    assert item_directions(jnp.array([[1], [2]])) is None
