"""DeepFM: a factorisation machine plus decision layers on the same factor vectors.

References:
    Guo et al., 2017, "DeepFM: a factorization-machine based neural network for CTR prediction", eqs. 1 to 4.
    https://arxiv.org/abs/1703.04247
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from metajax.data.columns import Column
from metajax.models.adapter import model
from metajax.models.embeddings import embedded_width, side
from metajax.models.factors import FactorTower
from metajax.models.heads import FactorHead, check_single_output, check_sizes
from metajax.models.two_tower import TwoTowerHead
from metajax.types import Model


class DeepFactorHead(nnx.Module):
    """The sum of a factor head ("wide") on [own term, factors] and decision layers ("deep") on the columns' vectors."""

    def __init__(self, wide: FactorHead, deep: TwoTowerHead, factors: int):
        """Join the two."""
        self.wide = wide
        self.deep = deep
        self.start = 1 + factors

    def __call__(self, user: Float[Array, " d_user"], items: Float[Array, "rows d_item"]) -> Float[Array, " rows"]:
        """Score each row."""
        user_sums, user_vectors = jnp.split(user, [self.start])
        item_sums, item_vectors = jnp.split(items, [self.start], axis=1)
        return self.wide(user_sums, item_sums) + self.deep(user_vectors, item_vectors)


def deepfm(
    columns: Sequence[Column],
    *,
    factors: int = 16,
    factor_scale: float = 0.1,
    hidden: tuple[int, ...] = (64, 64),
    outputs: int = 1,
    offset: float = 0.0,
) -> Model:
    """Build DeepFM.

    Args:
        columns: of both sides; each counts as one feature (a bag by the mean of its values).
        factors: length of a factor vector.
        factor_scale: its standard deviation at the start; weights start at 0.
        hidden: widths of the ReLU layers.
        outputs: 1, for other models take more.
        offset: constant added to the score, usually the mean training target.

    Raises:
        ConfigError: if the columns or sizes make no sense, or `outputs` is not 1.
    """
    check_single_output("deepfm", outputs)
    check_sizes(factors=factors, hidden=hidden)
    users, items = side(columns, "user"), side(columns, "item")
    user_width, item_width = (embedded_width(one, factors, project_numbers=True) for one in (users, items))

    def tower(of: Sequence[Column], rngs: nnx.Rngs) -> FactorTower:
        return FactorTower(of, factors, scale=factor_scale, interactions=True, keep_vectors=True, rngs=rngs)

    def head(rngs: nnx.Rngs) -> DeepFactorHead:
        wide = FactorHead(factors, scale=factor_scale, offset=offset, rngs=rngs)
        deep = TwoTowerHead(user_width, item_width, hidden, outputs=1, offset=0.0, rngs=rngs)
        return DeepFactorHead(wide, deep, factors)

    return model(lambda rngs: tower(users, rngs), lambda rngs: tower(items, rngs), head)
