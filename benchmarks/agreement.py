"""Nothing is timed that does not compute the same: loss and meta-gradient of every peer against ours."""

from typing import NamedTuple

import numpy as np

LOSS, GRADIENT = 1e-5, 1e-4


class DisagreementError(Exception):
    """A peer computes something else, so that a comparison of speed would mean nothing."""


class Values(NamedTuple):
    """A loss, and its gradient by every parameter: path -> array."""

    loss: float
    gradient: dict[str, np.ndarray]


def check(peer: str, ours: Values, theirs: Values) -> None:
    """Refuse a peer whose loss or meta-gradient is another.

    Losses may differ by 1e-5, and entries of a gradient by 1e-4 of the largest of the same array, with a floor
    of 1e-4 of the 1000th part of the largest of all, below which float32 holds no digits.

    Raises:
        DisagreementError: naming peer, parameter and both values.
    """
    if not abs(ours.loss - theirs.loss) <= LOSS:
        raise DisagreementError(f"{peer}: its loss is {theirs.loss:.8f}, ours {ours.loss:.8f}; wanted within {LOSS}.")
    if ours.gradient.keys() != theirs.gradient.keys():
        different = sorted(ours.gradient.keys() ^ theirs.gradient.keys())
        raise DisagreementError(f"{peer}: gradients are of other parameters. Not of both: {', '.join(different)}.")
    largest = max(np.abs(array).max(initial=0) for array in ours.gradient.values())
    for path, array in ours.gradient.items():
        other = theirs.gradient[path]
        if array.shape != other.shape:
            raise DisagreementError(f"{peer}: the gradient of {path} is {other.shape}, ours {array.shape}.")
        difference = np.abs(array - other).max(initial=0)
        allowed = GRADIENT * max(np.abs(array).max(initial=0), 1e-3 * largest)
        if not difference <= allowed:
            raise DisagreementError(
                f"{peer}: the gradient of {path} is off by {difference:.2e}; wanted within {allowed:.2e}."
            )
