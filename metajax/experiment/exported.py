"""Adapting and ranking as one StableHLO program, for any runtime that reads it: no metajax, no Python of ours.

The program holds the meta-parameters and the catalogue. Its inputs are catalogue positions of rated items, int32
`[ROWS]` with -1 as padding, their ratings, float32 `[ROWS]`, and the user's encoded features; its outputs the positions
of the best items that are not rated and of at least as many training ratings as `min_ratings`, and their scores.

    from jax import export
    rank = export.deserialize(bytearray(Path("rank.stablehlo").read_bytes()))
    positions, scores = rank.call(rated, ratings, user, min_ratings)
"""

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.ranking.exact import adapt_to, predicted_score, ranker
from metajax.types import Learner, PyTree

PROGRAM = "rank.stablehlo"
PLATFORMS = ("cpu", "cuda")
ROWS, LENGTH = 128, 100
"""Most ratings that the program takes, and the length of its list."""


def export_program(
    learner: Learner, meta_params: PyTree, items: PyTree, *, user: PyTree, num_ratings: jax.Array
) -> bytes:
    """Return the serialized program.

    Args:
        learner: any.
        meta_params: of the learner.
        items: encoded features of the catalogue.
        user: of anybody, for the shapes of a user's features.
        num_ratings: `[items]`, of training.

    Raises:
        ConfigError: if flatbuffers is not installed.
    """
    try:
        import flatbuffers  # noqa: F401
    except ImportError as error:
        raise ConfigError("A StableHLO export needs flatbuffers: pip install 'metajax[serve]'.") from error
    from jax import export

    representations = jax.jit(learner.represent)(meta_params, items)
    adapt, rank = adapt_to(learner), ranker(predicted_score(learner), k=LENGTH)

    def program(
        rated: jax.Array, ratings: jax.Array, user: PyTree, min_ratings: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        state = adapt(meta_params, representations, user, rated, ratings)
        top = rank(meta_params, state, representations, rated, num_ratings >= min_ratings)
        return top.positions, top.scores

    shapes = (
        jax.ShapeDtypeStruct((ROWS,), jnp.int32),
        jax.ShapeDtypeStruct((ROWS,), jnp.float32),
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), user),
        jax.ShapeDtypeStruct((), jnp.int32),
    )
    return bytes(export.export(jax.jit(program), platforms=PLATFORMS)(*shapes).serialize())
