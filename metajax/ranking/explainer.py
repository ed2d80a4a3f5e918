"""Explains predictions for an adapted user, by catalogue positions, in one compiled program a number of rows."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from metajax.errors import ConfigError
from metajax.ranking.explain import additive_contributions, check_additive, leave_one_out_effects
from metajax.ranking.padding import SMALLEST, padded
from metajax.types import Examples, Learner, PyTree

METHODS = ("leave_one_out", "additive")


class Explainer:
    """Tells what each rating did to a prediction; see `metajax.ranking.explain` for the two methods."""

    def __init__(
        self,
        learner: Learner,
        meta_params: PyTree,
        representations: PyTree,
        *,
        user: PyTree,
        scale: tuple[float, float],
    ) -> None:
        """Keep the catalogue.

        Args:
            learner: any.
            meta_params: of the learner.
            representations: of the catalogue.
            user: features of somebody of whom nothing is known, on whom it is checked whether contributions sum.
            scale: (lowest, highest) target.
        """
        self._learner, self._meta_params, self._representations = learner, meta_params, representations
        self._user, self._scale = user, scale
        self._compiled = {method: jax.jit(explanation(learner, method)) for method in METHODS}
        self._is_additive = False

    def effects(
        self,
        user: PyTree,
        rated: np.ndarray,
        target: np.ndarray,
        explained: np.ndarray,
        *,
        method: str = "leave_one_out",
    ) -> np.ndarray:
        """Return `[explained, rated]` what each of a user's ratings did to the predictions of some items.

        Args:
            user: features.
            rated: int32 catalogue positions of the rated items.
            target: their ratings.
            explained: int32 catalogue positions of the explained items.
            method: "leave_one_out" or "additive".

        Raises:
            ConfigError: for another method, or an additive one of a learner whose predictions are not affine in the
                ratings.
        """
        if method not in METHODS:
            raise ConfigError(f"Predictions are explained by one of {METHODS}, got {method=}.")
        if method == "additive":
            self._check_additive()
        found = self._compiled[method](
            self._meta_params,
            self._representations,
            user,
            padded(rated, -1),
            padded(target, 0),
            padded(explained, 0),
        )
        return np.asarray(found)[: len(explained), : len(rated)]

    def _check_additive(self) -> None:
        if self._is_additive:
            return
        num_items = jax.tree.leaves(self._representations)[0].shape[0]
        spread = np.linspace(0, num_items - 1, 2 * SMALLEST).astype(np.int32)
        rated, explained = (_rows(self._representations, part) for part in (spread[::2], spread[1::2]))
        target = jnp.asarray(np.resize(np.array(self._scale, np.float32), SMALLEST))
        examples = Examples(rated, target, jnp.ones_like(target))
        check_additive(self._learner, self._meta_params, examples, self._user, explained)
        self._is_additive = True


def explanation(learner: Learner, method: str = METHODS[0]) -> Callable[..., jax.Array]:
    """Return (meta_params, catalogue, user, rated positions, target, explained positions) -> `[explained, rows]`."""
    effects, parts = leave_one_out_effects(learner), additive_contributions(learner)

    def explain(
        meta_params: PyTree, catalogue: PyTree, user: PyTree, rated: jax.Array, target: jax.Array, explained: jax.Array
    ) -> jax.Array:
        items = _rows(catalogue, jnp.maximum(rated, 0))
        examples = Examples(items, target, (rated >= 0).astype(target.dtype))
        if method == "leave_one_out":
            return effects(meta_params, examples, user, _rows(catalogue, explained))
        found = parts(meta_params, examples, user, _rows(catalogue, explained))
        return found.rating + found.presence

    return explain


def _rows(tree: PyTree, positions: jax.Array | np.ndarray) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[positions], tree)
