"""Neural matrix factorisation: the elementwise product of factors (GMF) beside decision layers (MLP), one output layer.

References:
    He et al., 2017, "Neural collaborative filtering", eq. 12. https://arxiv.org/abs/1708.05031
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from metajax.data.columns import Column
from metajax.models.adapter import model
from metajax.models.embeddings import ColumnEmbeddings, embedded_width, side
from metajax.models.heads import SMALL, DecisionLayers, Dense, check_sizes, squeeze_single
from metajax.types import Model, PyTree


class NeumfTower(nnx.Module):
    """[factors, embeddings]: the sum of the columns' factor vectors, then their embeddings, of tables of their own."""

    def __init__(self, columns: Sequence[Column], factors: int, embedding_dim: int, *, scale: float, rngs: nnx.Rngs):
        """Make the tables; `rngs` is consumed."""
        self.factors = ColumnEmbeddings(columns, factors, scale=scale, project_numbers=True, rngs=rngs)
        self.embeddings = ColumnEmbeddings(columns, embedding_dim, scale=scale, rngs=rngs)

    def __call__(self, encoded: PyTree) -> Float[Array, "*rows width"]:
        """Embed one user, or each row."""
        return jnp.concatenate([sum(self.factors.vectors(encoded)), self.embeddings(encoded)], axis=-1)


class NeumfHead(DecisionLayers):
    """The linear "output" on [product of the factors, last of the decision layers]."""

    def __init__(
        self,
        user_width: int,
        item_width: int,
        hidden: tuple[int, ...],
        *,
        factors: int,
        outputs: int,
        offset: float,
        rngs: nnx.Rngs,
    ):
        """Make the head; the widths are those of the embeddings alone, `rngs` is consumed."""
        super().__init__(user_width, item_width, hidden, rngs=rngs)
        self.start = factors
        self.offset = offset
        self.output = Dense(factors + hidden[-1], outputs, kernel_init=SMALL, rngs=rngs)

    def __call__(self, user: Float[Array, " d_user"], items: Float[Array, "rows d_item"]) -> Float[Array, "rows ..."]:
        """Score each row."""
        user_factors, user_embeddings = jnp.split(user, [self.start])
        item_factors, item_embeddings = jnp.split(items, [self.start], axis=1)
        product = user_factors[None, :] * item_factors
        hidden = self.hidden(user_embeddings, item_embeddings)
        return squeeze_single(self.offset + self.output(jnp.concatenate([product, hidden], axis=1)))


def neumf(
    columns: Sequence[Column],
    *,
    factors: int = 16,
    embedding_dim: int = 32,
    embedding_scale: float = 0.1,
    hidden: tuple[int, ...] = (64, 32),
    outputs: int = 1,
    offset: float = 0.0,
) -> Model:
    """Build NeuMF, trained as one (the paper's pretraining of the two halves is not part of a model).

    Args:
        columns: of both sides.
        factors: length of a factor vector of the product.
        embedding_dim: length of the embedding of a column for the decision layers.
        embedding_scale: standard deviation of both at the start.
        hidden: widths of the ReLU layers.
        outputs: scores per row, as the loss wants.
        offset: constant added to the score, usually the mean training target.

    Raises:
        ConfigError: if the columns or sizes make no sense.
    """
    check_sizes(factors=factors, embedding_dim=embedding_dim, hidden=hidden, outputs=outputs, offset=offset)
    users, items = side(columns, "user"), side(columns, "item")
    widths = embedded_width(users, embedding_dim), embedded_width(items, embedding_dim)
    return model(
        user=lambda rngs: NeumfTower(users, factors, embedding_dim, scale=embedding_scale, rngs=rngs),
        item=lambda rngs: NeumfTower(items, factors, embedding_dim, scale=embedding_scale, rngs=rngs),
        head=lambda rngs: NeumfHead(*widths, hidden, factors=factors, outputs=outputs, offset=offset, rngs=rngs),
    )
