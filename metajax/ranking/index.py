"""An approximate index of the catalogue, for learners whose score is linear in the item's representation.

A hierarchical navigable small-world graph by inner product, from usearch (extra "index"). It answers without reading
the whole catalogue, and may miss an item: measure its `recall` on your own before you use it.

References:
    Malkov and Yashunin, 2020, "Efficient and robust approximate nearest neighbor search using hierarchical navigable
    small world graphs". https://arxiv.org/abs/1603.09320
"""

from types import ModuleType

import jax
import numpy as np

from metajax.errors import ConfigError
from metajax.ranking.linear import LinearForm, check_linear, linear_form
from metajax.types import Learner, PyTree


class ItemIndex:
    """Finds the items of the highest linear scores, most of the time."""

    def __init__(
        self,
        learner: Learner,
        meta_params: PyTree,
        state: PyTree,
        representations: PyTree,
        *,
        neighbours: int = 16,
        build_breadth: int = 128,
        search_breadth: int = 128,
    ) -> None:
        """Build the index; a million items take minutes.

        Args:
            learner: its score must be linear in the representation.
            meta_params: of the learner.
            state: an adapted user, on whom linearity is checked.
            representations: `[items, d]`, of the catalogue.
            neighbours: edges of an item in the graph; more find more and need more memory.
            build_breadth: candidates that are kept while an item is inserted.
            search_breadth: candidates that are kept while a user is answered; more find more and take longer.

        Raises:
            ConfigError: if the score is not linear, or usearch is not installed.
        """
        check_linear(learner, meta_params, state, representations)
        vectors = np.ascontiguousarray(representations, np.float32)
        self._index = _usearch().Index(
            ndim=vectors.shape[1],
            metric="ip",
            dtype="f32",
            connectivity=neighbours,
            expansion_add=build_breadth,
            expansion_search=search_breadth,
        )
        self._index.add(np.arange(len(vectors)), vectors)
        self._form = jax.jit(lambda meta_params, state: linear_form(learner, meta_params, state, vectors.shape[1]))
        self._vectors = vectors

    def search(
        self, meta_params: PyTree, state: PyTree, k: int = 10, excluded: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return up to k positions and their scores, the best first.

        Args:
            meta_params: those that the index was built with.
            state: the adapted user.
            k: most items to return.
            excluded: positions that are left out; the search looks for as many more.
        """
        form: LinearForm = self._form(meta_params, state)
        left_out = np.unique([] if excluded is None else excluded[excluded >= 0]).astype(np.int64)
        wanted = min(k + len(left_out), len(self._vectors))
        found = self._index.search(np.asarray(form.weights, np.float32), wanted).keys.astype(np.int64)
        found = found[~np.isin(found, left_out)]
        scores = self._vectors[found] @ np.asarray(form.weights) + np.asarray(form.bias)
        order = np.lexsort((found, -scores))[:k]
        return found[order], scores[order]


def recall(found: np.ndarray, exact: jax.Array | np.ndarray) -> float:
    """Return the share of the `exact` positions (without -1, which is padding) that was found; 1.0 of none."""
    wanted = np.asarray(exact)[np.asarray(exact) >= 0]
    return float(np.isin(wanted, found).mean()) if len(wanted) else 1.0


def _usearch() -> ModuleType:
    try:
        from usearch import index
    except ImportError as error:
        raise ConfigError("An approximate index needs usearch: pip install 'metajax[index]'.") from error
    return index
