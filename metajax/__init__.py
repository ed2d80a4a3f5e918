"""metajax: meta-learned recommendation in JAX.

The names below are imported on first use, so that `import metajax` alone costs nothing.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metajax.experiment import Experiment as Experiment
    from metajax.recommender import Recommender as Recommender

__version__ = version("metajax")

_LAZY = {"Experiment": "metajax.experiment", "Recommender": "metajax.recommender"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'metajax' has no attribute {name!r}")
