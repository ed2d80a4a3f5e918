"""Few lengths for what a user brings, so that few programs compile."""

import numpy as np

SMALLEST = 8
"""Rows that ratings, exclusions and lists are padded to at least."""


def sizes(most: int) -> list[int]:
    """Return the lengths 8, 16, 32 and so on, up to the first that holds `most`: few, so that few programs compile."""
    return [SMALLEST << power for power in range((max(most - 1, 0) // SMALLEST).bit_length() + 1)]


def padded(values: np.ndarray, fill: float) -> np.ndarray:
    """Fill `[rows]` up to the next of `sizes`."""
    return np.pad(values, (0, sizes(len(values))[-1] - len(values)), constant_values=fill)
