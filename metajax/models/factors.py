"""The tower of factor models: everything that is known about a user or an item, summed up as [own term, factors].

References:
    Kula, 2015, "Metadata embeddings for user and item cold-start recommendations", section 2.
    https://arxiv.org/abs/1507.08439
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from metajax.data.columns import Column
from metajax.models.embeddings import ColumnEmbeddings
from metajax.types import PyTree


class FactorTower(nnx.Module):
    """The sums, over the columns, of a weight and of a factor vector per value: [own term, factors].

    A bag counts as the mean of its values, a number or vector as its linear image; an unseen id counts as nothing.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        factors: int,
        *,
        scale: float,
        interactions: bool = False,
        keep_vectors: bool = False,
        rngs: nnx.Rngs,
    ):
        """Make the tables.

        Args:
            columns: all of one side.
            factors: length of a factor vector.
            scale: standard deviation of the factors at the start; weights start at 0.
            interactions: add to the own term the inner products of all pairs of factor vectors within this side.
            keep_vectors: append the factor vector of each column to the output.
            rngs: consumed.
        """
        self.interactions = interactions
        self.keep_vectors = keep_vectors
        self.weights = ColumnEmbeddings(columns, 1, scale=0.0, project_numbers=True, rngs=rngs)
        self.factors = ColumnEmbeddings(columns, factors, scale=scale, project_numbers=True, rngs=rngs)

    def __call__(self, encoded: PyTree) -> Float[Array, "*rows width"]:
        """Return [own term, factors], and then the columns' vectors if they are kept."""
        own = sum(self.weights.vectors(encoded))
        vectors = self.factors.vectors(encoded)
        total = sum(vectors)
        if self.interactions:  # Rendle, 2010, lemma 3.1: the sum over pairs in linear time
            squares = sum(vector**2 for vector in vectors)
            own = own + 0.5 * jnp.sum(total**2 - squares, axis=-1, keepdims=True)
        return jnp.concatenate([own, total, *(vectors if self.keep_vectors else [])], axis=-1)
