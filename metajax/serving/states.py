"""Users' states as bytes, and what a stored state does not know yet."""

from collections.abc import Sequence

import msgspec
import numpy as np

from metajax.serving.store import StoredState, UserRecord

Leaves = list[np.ndarray]

_decoder = msgspec.msgpack.Decoder(list[bytes])


def state_to_bytes(leaves: Sequence[np.ndarray]) -> bytes:
    """Write the values; shapes and types are the version's."""
    return msgspec.msgpack.encode([leaf.tobytes() for leaf in leaves])


def state_from_bytes(content: bytes, like: Sequence[np.ndarray]) -> Leaves | None:
    """Undo `state_to_bytes`; None if it is not a state of such shapes, or one that is not finite."""
    try:
        values = _decoder.decode(content)
    except msgspec.MsgspecError:
        return None
    if [len(value) for value in values] != [leaf.nbytes for leaf in like]:
        return None
    leaves = [np.frombuffer(value, leaf.dtype).reshape(leaf.shape) for value, leaf in zip(values, like, strict=True)]
    return leaves if all(np.isfinite(leaf).all() for leaf in leaves) else None


def unknown_to(state: StoredState, record: UserRecord) -> dict[str, float] | None:
    """Return the ratings that a state must be adapted to.

    None if it cannot be: it knows one that no longer holds, or that is newer now, after which others came.
    """
    ratings = list(record.ratings().items())
    if state.revision > record.revision:
        return None
    known = list(record.ratings(state.revision).items()) if state.revision < record.revision else ratings
    return dict(ratings[len(known) :]) if ratings[: len(known)] == known else None
