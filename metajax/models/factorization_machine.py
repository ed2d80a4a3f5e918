"""The factorisation machine: a weight for every feature and an inner product for every pair of features.

Pairs within a side are settled by its tower and pairs across by the head, so the two-tower contract holds exactly:
sum over pairs = pairs within the user + pairs within the item + (sum of the user's factors)^T (sum of the item's).

References:
    Rendle, 2010, "Factorization machines", eqs. 1 and lemma 3.1. https://doi.org/10.1109/ICDM.2010.127
"""

from collections.abc import Sequence

from metajax.data.columns import Column
from metajax.models.adapter import model
from metajax.models.embeddings import side
from metajax.models.factors import FactorTower
from metajax.models.heads import FactorHead, check_single_output, check_sizes
from metajax.types import Model


def factorization_machine(
    columns: Sequence[Column], *, factors: int = 16, factor_scale: float = 0.1, outputs: int = 1, offset: float = 0.0
) -> Model:
    """Build the factorisation machine, in time linear in the number of columns.

    The head's own factors are those of one more feature, which every user has and which meets the item's features.

    Args:
        columns: of both sides; each counts as one feature (a bag by the mean of its values).
        factors: length of a factor vector.
        factor_scale: its standard deviation at the start; weights start at 0.
        outputs: 1, for other models take more.
        offset: constant added to the score, usually the mean training target.

    Raises:
        ConfigError: if the columns or sizes make no sense, or `outputs` is not 1.
    """
    check_single_output("factorization_machine", outputs)
    check_sizes(factors=factors)
    users, items = side(columns, "user"), side(columns, "item")
    return model(
        user=lambda rngs: FactorTower(users, factors, scale=factor_scale, interactions=True, rngs=rngs),
        item=lambda rngs: FactorTower(items, factors, scale=factor_scale, interactions=True, rngs=rngs),
        head=lambda rngs: FactorHead(factors, scale=factor_scale, offset=offset, rngs=rngs),
    )
