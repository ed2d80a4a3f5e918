"""What is packed into bytes comes out in a program as it went in."""

import jax
import numpy as np
import pytest

from metajax.serving.packing import Packed, unpacked


@pytest.mark.parametrize("items", [5, 8, 1001])
def test_a_program_finds_what_was_packed(items):
    packed = Packed(3, 4, items)
    positions, target = np.array([4, 0, 2], np.int32), np.array([4.5, -1e-7, 3e8], np.float32)
    among = np.arange(items) % 2 == 0
    packed.rate(1, positions, target)
    packed.allow(1, among, positions[:1])
    packed.allow(2, among, positions[:0])
    found = jax.jit(unpacked, static_argnums=1)(packed.bytes, items)
    wanted = np.full((3, 4), -1, np.int32), np.zeros((3, 4), np.float32), np.zeros((3, items), bool)
    wanted[0][1, :3], wanted[1][1, :3] = positions, target
    wanted[2][1:] = among
    wanted[2][1, 4] = False
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert Packed(3, 4, items).positions.tolist() == [[-1] * 4] * 3, "one batch is nothing to the next"
