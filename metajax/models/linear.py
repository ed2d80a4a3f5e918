"""A linear model on embeddings: score = offset + bias + w_u^T user + w_i^T item."""

from collections.abc import Sequence

from flax import nnx
from jaxtyping import Array, Float

from metajax.data.columns import Column
from metajax.models.adapter import model
from metajax.models.embeddings import ColumnEmbeddings, embedded_width, side
from metajax.models.heads import SMALL, ConcatenatedLinear, check_sizes, squeeze_single
from metajax.types import Model


class LinearHead(nnx.Module):
    """One dense layer, "output", on concat(user vector, item vector)."""

    def __init__(self, user_width: int, item_width: int, *, outputs: int, offset: float, rngs: nnx.Rngs):
        """Make the head; `rngs` is consumed."""
        self.offset = offset
        self.output = ConcatenatedLinear(user_width, item_width, outputs, kernel_init=SMALL, rngs=rngs)

    def __call__(self, user: Float[Array, " d_user"], items: Float[Array, "rows d_item"]) -> Float[Array, "rows ..."]:
        """Score each row."""
        return squeeze_single(self.offset + self.output(user, items))


def linear(
    columns: Sequence[Column],
    *,
    embedding_dim: int = 8,
    embedding_scale: float = 0.1,
    outputs: int = 1,
    offset: float = 0.0,
) -> Model:
    """Build the linear model. User and item do not interact: a user moves all scores alike until w_i is adapted.

    Args:
        columns: of both sides.
        embedding_dim: length of the embedding of a column.
        embedding_scale: its standard deviation at the start.
        outputs: scores per row, as the loss wants.
        offset: constant added to the score, usually the mean training target.

    Raises:
        ConfigError: if the columns or sizes make no sense.
    """
    check_sizes(embedding_dim=embedding_dim, outputs=outputs, offset=offset)
    users, items = side(columns, "user"), side(columns, "item")
    widths = embedded_width(users, embedding_dim), embedded_width(items, embedding_dim)
    return model(
        user=lambda rngs: ColumnEmbeddings(users, embedding_dim, scale=embedding_scale, rngs=rngs),
        item=lambda rngs: ColumnEmbeddings(items, embedding_dim, scale=embedding_scale, rngs=rngs),
        head=lambda rngs: LinearHead(*widths, outputs=outputs, offset=offset, rngs=rngs),
    )
