"""Biased matrix factorisation with features: score = offset + b + b_u + b_i + (p_u + p)^T q_i.

Biases and factors are sums over what is known, the id included, so that a cold user or item is made of its content.

References:
    Koren et al., 2009, "Matrix factorization techniques for recommender systems", eq. 4. https://doi.org/10.1109/MC.2009.263
    Kula, 2015, "Metadata embeddings for user and item cold-start recommendations". https://arxiv.org/abs/1507.08439
"""

from collections.abc import Sequence

from metajax.data.columns import Column
from metajax.models.adapter import model
from metajax.models.embeddings import side
from metajax.models.factors import FactorTower
from metajax.models.heads import FactorHead, check_single_output, check_sizes
from metajax.types import Model


def matrix_factorization(
    columns: Sequence[Column], *, factors: int = 16, factor_scale: float = 0.1, outputs: int = 1, offset: float = 0.0
) -> Model:
    """Build matrix factorisation; an item's vector is [b_i, q_i], a user's [b_u, p_u].

    Args:
        columns: of both sides.
        factors: length of p and q.
        factor_scale: standard deviation of a factor vector at the start; biases start at 0.
        outputs: 1, for other models take more.
        offset: constant added to the score, usually the mean training target.

    Raises:
        ConfigError: if the columns or sizes make no sense, or `outputs` is not 1.
    """
    check_single_output("matrix_factorization", outputs)
    check_sizes(factors=factors)
    users, items = side(columns, "user"), side(columns, "item")
    return model(
        user=lambda rngs: FactorTower(users, factors, scale=factor_scale, rngs=rngs),
        item=lambda rngs: FactorTower(items, factors, scale=factor_scale, rngs=rngs),
        head=lambda rngs: FactorHead(factors, scale=factor_scale, offset=offset, rngs=rngs),
    )
