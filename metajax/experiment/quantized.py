"""Parameters stored in fewer bytes; whoever reads them gets float32 back.

"bfloat16" keeps 8 bits of precision. "int8" keeps a whole number from -127 to 127 and a float32 scale for each row, the
last axis; rows of fewer than `SHORTEST` numbers stay as they are, for the scale would take what is saved.
"""

from typing import Literal

import ml_dtypes
import numpy as np

from metajax.errors import StorageError

Tables = Literal["float32", "bfloat16", "int8"]
SHORTEST = 8
SCALE = "scale/"
"""Before the name of an array of int8: its scales."""


def quantize(arrays: dict[str, np.ndarray], tables: Tables) -> dict[str, np.ndarray]:
    """Store every parameter of two axes or more in another type; scalars and vectors stay as they are.

    Of an ensemble every parameter has an axis more, and vectors count as tables of a row a member.
    """
    stored: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        is_table = name.startswith("params/") and array.ndim >= 2 and array.dtype == np.float32
        if is_table and tables == "bfloat16":
            stored[name] = array.astype(ml_dtypes.bfloat16)
        elif is_table and tables == "int8" and array.shape[-1] >= SHORTEST:
            scale = np.max(np.abs(array), axis=-1, keepdims=True) / np.float32(127)
            stored[name] = np.rint(array / np.where(scale > 0, scale, 1)).astype(np.int8)
            stored[SCALE + name] = scale
        else:
            stored[name] = array
    return stored


def dequantize(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays as float32 that `quantize` stored otherwise; all others as they are.

    Raises:
        StorageError: if an array of int8 has no scales.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, array in stored.items():
        if name.startswith(SCALE):
            continue
        if array.dtype == ml_dtypes.bfloat16:
            arrays[name] = array.astype(np.float32)
        elif array.dtype == np.int8 and name.startswith("params/"):
            scale = stored.get(SCALE + name)
            if scale is None or scale.shape != (*array.shape[:-1], 1):
                raise StorageError(f"The artifact's {name} is int8 but has no fitting {SCALE}{name}. Export it again.")
            arrays[name] = array.astype(np.float32) * scale.astype(np.float32)
        else:
            arrays[name] = array
    return arrays
