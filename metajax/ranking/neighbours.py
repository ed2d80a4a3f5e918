"""Which items are alike, to a learner: by their representations, or by whom it predicts to like them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from metajax.ranking.exact import adapt_to
from metajax.ranking.questions import met_items
from metajax.types import Learner, PyTree

SYNTHETIC_USERS, SYNTHETIC_RATINGS = 128, 8


def synthetic_predictions(
    learner: Learner,
    meta_params: PyTree,
    representations: PyTree,
    *,
    user: PyTree,
    num_ratings: np.ndarray,
    levels: tuple[float, ...],
) -> np.ndarray:
    """Return `[SYNTHETIC_USERS, items]` predictions for the users of `synthetic_ratings`.

    Arguments are those of `metajax.ranking.questioner.Questioner`.
    """
    given = synthetic_ratings(num_ratings, levels)
    return np.asarray(jax.jit(predicting_each(learner))(meta_params, representations, user, *given))


def synthetic_ratings(num_ratings: np.ndarray, levels: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and ratings, `[SYNTHETIC_USERS, rated]`: always the same users, who rate what many rate."""
    rng = np.random.default_rng(0)
    met = np.unique(met_items(num_ratings, 512))
    size = min(SYNTHETIC_RATINGS, len(met))
    positions = np.array([rng.choice(met, size, replace=False) for _ in range(SYNTHETIC_USERS)], np.int32)
    return positions, rng.choice(levels, positions.shape).astype(jnp.result_type(float))


def predicting_each(learner: Learner) -> Callable[..., jax.Array]:
    """Return `(meta_params, representations, user, positions, target) -> means`, `[users, items]`: one after another.

    `positions` and `target` are `[users, rated]`; nothing else is known of any of them than of `user`.
    """

    def predictions(
        meta_params: PyTree, representations: PyTree, user: PyTree, positions: jax.Array, target: jax.Array
    ) -> jax.Array:
        def predict(one: tuple[jax.Array, jax.Array]) -> jax.Array:
            state = adapt_to(learner)(meta_params, representations, user, *one)
            return learner.predict(meta_params, state, representations).mean

        return jax.lax.map(predict, (positions, target))

    return predictions


def item_directions(representations: PyTree) -> np.ndarray | None:
    """Return `[items, d]` unit vectors, of representations that are one array of floats; None of any others.

    Their products are cosines; an item without any length is like none. Several arrays are on scales of their own: in a
    row, the largest numbers would decide.
    """
    leaves = jax.tree.leaves(representations)
    if len(leaves) != 1 or not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        return None
    return _unit(np.asarray(leaves[0], np.float32).reshape(len(leaves[0]), -1))


def prediction_directions(predictions: np.ndarray) -> np.ndarray:
    """Return `[items, users]` unit vectors whose products are the correlations of predictions `[users, items]`."""
    return _unit((predictions - predictions.mean(axis=0)).T.astype(np.float32))


def nearest(directions: np.ndarray, position: int, n: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of up to n other items that are `allowed` and their cosines, the most alike first."""
    cosines = directions @ directions[position]
    order = np.argsort(-cosines, kind="stable")
    order = order[allowed[order] & (order != position)][:n]
    return order, cosines[order]


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
