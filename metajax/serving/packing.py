"""What a batch's users rated and may be shown, in one array of bytes.

A thread that hands an array to JAX, or copies more than 500 numbers in numpy, lets go of the interpreter, and waits
until the event loop lets go of it again: 0.2 to 0.4 ms each where sixteen clients ask. So one array is handed over, not
three, and what fills it keeps the interpreter.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np


class Packed:
    """Rows of users, to be filled.

    Attributes:
        bytes: uint8 `[users, size]`, what a program takes.
        positions: int32 `[users, rows]`, what was rated; -1 is padding.
        target: float32 `[users, rows]`.
        allowed: bool `[users, items]`, what may be listed.
    """

    def __init__(self, users: int, rows: int, items: int) -> None:
        """Begin without ratings, and with nothing that may be listed."""
        self._items = items
        self._memory = memoryview(bytearray(_empty(users, rows, items)))
        batch = np.frombuffer(self._memory, _layout(rows, items))
        self.positions, self.target, self.allowed = (batch[name] for name in ("positions", "target", "allowed"))
        self.bytes = np.frombuffer(self._memory, np.uint8).reshape(users, -1)

    def rate(self, row: int, positions: np.ndarray, target: np.ndarray) -> None:
        """Set a user's ratings, no more than there are rows."""
        self.positions[row, : len(positions)] = positions
        self.target[row, : len(target)] = target

    def allow(self, row: int, among: np.ndarray, without: np.ndarray) -> None:
        """Set what may be listed for a user: bool `[items]` and positions that may not all the same."""
        end = (row + 1) * self.bytes.shape[1]
        self._memory[end - self._items : end] = among.view(np.uint8).data
        self.allowed[row, without] = False


def unpacked(packed: jax.Array, items: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return positions, target and allowed of `Packed.bytes`, in a program."""
    rows = (packed.shape[1] - items) // 8
    numbers = packed[:, : 8 * rows].reshape(len(packed), 2, rows, 4)
    positions = jax.lax.bitcast_convert_type(numbers[:, 0], jnp.int32)
    target = jax.lax.bitcast_convert_type(numbers[:, 1], jnp.float32)
    return positions, target, packed[:, 8 * rows :] > 0


def _layout(rows: int, items: int) -> np.dtype:
    return np.dtype([("positions", np.int32, rows), ("target", np.float32, rows), ("allowed", np.bool_, items)])


@cache
def _empty(users: int, rows: int, items: int) -> bytes:
    batch = np.zeros(users, _layout(rows, items))
    batch["positions"] = -1
    return batch.tobytes()
