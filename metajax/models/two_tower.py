"""The two-tower network in MeLU's shape: concatenated embeddings, then decision layers 64-64-1.

References:
    Lee et al., 2019, "MeLU: meta-learned user preference estimator for cold-start recommendation", section 3.1.
    https://arxiv.org/abs/1908.00413
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from metajax.data.columns import Column
from metajax.errors import ConfigError
from metajax.models.adapter import model
from metajax.models.embeddings import ColumnEmbeddings, embedded_width, side
from metajax.models.heads import SMALL, DecisionLayers, Dense, check_sizes, squeeze_single
from metajax.types import DenseHead, Model


class TwoTowerHead(DecisionLayers):
    """Decision layers "layers_0", "layers_1" and so on, and the linear "output".

    With a context of some length, the vector "context", zero at the start, is concatenated to the user's.
    """

    def __init__(
        self,
        user_width: int,
        item_width: int,
        hidden: tuple[int, ...],
        *,
        outputs: int,
        offset: float,
        context: int = 0,
        rngs: nnx.Rngs,
    ):
        """Make the head; `rngs` is consumed."""
        super().__init__(user_width + context, item_width, hidden, rngs=rngs)
        self.offset = offset
        self.has_context = context > 0
        if self.has_context:
            self.context = nnx.Param(jnp.zeros((context,), jnp.float32))
        self.output = Dense(hidden[-1], outputs, kernel_init=SMALL, rngs=rngs)

    def __call__(self, user: Float[Array, " d_user"], items: Float[Array, "rows d_item"]) -> Float[Array, "rows ..."]:
        """Score each row."""
        if self.has_context:
            user = jnp.concatenate([user, self.context[...].astype(user.dtype)])
        return squeeze_single(self.offset + self.output(self.hidden(user, items)))


def two_tower(
    columns: Sequence[Column],
    *,
    embedding_dim: int = 32,
    embedding_scale: float = 0.1,
    hidden: tuple[int, ...] = (64, 64),
    context: int = 0,
    outputs: int = 1,
    offset: float = 0.0,
) -> Model:
    """Build the network. "head/*" are the decision layers that MeLU and ANIL adapt, "head/output/*" the last of them.

    Args:
        columns: of both sides.
        embedding_dim: length of the embedding of a column.
        embedding_scale: its standard deviation at the start.
        hidden: widths of the ReLU layers.
        context: length of "head/context", for learners that adapt such a vector (CAVIA); 0 leaves it out.
        outputs: scores per row, as the loss wants.
        offset: constant added to the score, usually the mean training target.

    Raises:
        ConfigError: if the columns or sizes make no sense.
    """
    if context < 0:
        raise ConfigError(f"The length of a context must be 0 or more, got {context=}.")
    check_sizes(embedding_dim=embedding_dim, hidden=hidden, outputs=outputs, offset=offset)
    users, items = side(columns, "user"), side(columns, "item")
    widths = embedded_width(users, embedding_dim), embedded_width(items, embedding_dim)
    layers = (*(f"layers_{number}" for number in range(len(hidden))), "output")
    made = model(
        user=lambda rngs: ColumnEmbeddings(users, embedding_dim, scale=embedding_scale, rngs=rngs),
        item=lambda rngs: ColumnEmbeddings(items, embedding_dim, scale=embedding_scale, rngs=rngs),
        head=lambda rngs: TwoTowerHead(*widths, hidden, outputs=outputs, offset=offset, context=context, rngs=rngs),
    )
    return made._replace(dense_head=None if context else DenseHead(layers, offset))
