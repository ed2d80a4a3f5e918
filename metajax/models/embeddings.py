"""From encoded columns to vectors: one embedding a column, whatever its kind."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from metajax.data.columns import TOKENS, Column, Side
from metajax.errors import ConfigError
from metajax.types import Model, PyTree


class ColumnEmbeddings(nnx.Module):
    """One vector per column: of one user (no rows axis) or of many items (a leading rows axis).

    - category: a row of a table. Of the "id" column, id 0 (an item or user that training has not seen) is exactly zero,
      so that whoever is unseen consists of content alone; of any other category, "unknown" is a value like all others.
    - bag: the mean of the rows of its ids, 0 being padding; an empty bag is exactly zero.
    - vector: a linear map without bias.
    - number: itself, one value long; a linear map without bias if `project_numbers`.

    Without columns (nothing is known about users) there is one learned vector, the same for all.

    Attributes:
        width: length of the concatenation of all vectors.
    """

    def __init__(
        self, columns: Sequence[Column], dim: int, *, scale: float, project_numbers: bool = False, rngs: nnx.Rngs
    ):
        """Make the tables.

        Args:
            columns: all of one side.
            dim: length of an embedding.
            scale: standard deviation of an embedding at the start; 0 starts at zero.
            project_numbers: give numbers `dim` values too, so that all vectors are equally long.
            rngs: consumed.
        """
        self.kinds = {column.name: _kind(column, project_numbers) for column in columns}
        layers = {
            column.name: _layer(column, dim, scale, rngs) for column in columns if self.kinds[column.name] != "number"
        }
        self.columns = nnx.data(layers)
        self.constant = None if columns else nnx.Param(scale * jax.random.normal(rngs.params(), (dim,), jnp.float32))
        self.width = embedded_width(columns, dim, project_numbers=project_numbers)

    def vectors(self, encoded: PyTree) -> list[Float[Array, "*rows _"]]:
        """Embed each column, in the order of the columns.

        Args:
            encoded: encoded columns by name; more than the declared ones do no harm.

        Raises:
            ConfigError: if a column is missing (while tracing).
        """
        if self.constant is not None:
            return [self.constant[...]]
        if missing := sorted(self.kinds.keys() - encoded.keys()):
            raise ConfigError(
                f"The model embeds the columns {missing}, but the data have only {sorted(encoded)}. "
                "Encode the data with the columns that the model was made with."
            )
        return [self._vector(name, jnp.asarray(encoded[name])) for name in self.kinds]

    def __call__(self, encoded: PyTree) -> Float[Array, "*rows width"]:
        """Embed each column and concatenate."""
        return jnp.concatenate(self.vectors(encoded), axis=-1)

    def _vector(self, name: str, values: Array) -> Array:
        kind = self.kinds[name]
        if kind == "number":
            return values[..., None]
        layer = self.columns[name]
        if kind == "projected number":
            return layer(values[..., None])
        if kind == "id":
            return masked_embedding(layer, values[..., None])
        return masked_embedding(layer, values) if kind == "bag" else layer(values)


class Table(nnx.Module):
    """One row per id, in the precision of its parameter (`nnx.Embed` keeps the one it was made in)."""

    def __init__(self, size: int, dim: int, *, scale: float, rngs: nnx.Rngs):
        """Draw the rows with standard deviation `scale`; `rngs` is consumed."""
        self.embedding = nnx.Param(scale * jax.random.normal(rngs.params(), (size, dim), jnp.float32))

    def __call__(self, ids: Int[Array, "*shape"]) -> Float[Array, "*shape dim"]:
        """Look the ids up; an id beyond the table gives NaN, which stops training, and never another id's row."""
        return jnp.take(self.embedding[...], ids, axis=0, mode="fill")


def masked_embedding(table: Callable[[Array], Array], ids: Int[Array, "*rows width"]) -> Float[Array, "*rows dim"]:
    """Average the rows of the ids that are not 0; exactly zero if there are none."""
    rows = table(ids)
    real = (ids > 0).astype(rows.dtype)[..., None]
    return jnp.sum(rows * real, axis=-2) / jnp.maximum(jnp.sum(real, axis=-2), 1)


def embedded_width(columns: Sequence[Column], dim: int, *, project_numbers: bool = False) -> int:
    """Return the length of the concatenated embeddings of these columns."""
    lengths = [1 if column.kind == "number" and not project_numbers else dim for column in columns]
    return sum(lengths) if columns else dim


def side(columns: Sequence[Column], of: Side) -> tuple[Column, ...]:
    """Keep the columns of one side that are embedded.

    Raises:
        ConfigError: if a side has two columns of one name, or there is no column of items.
    """
    kept = tuple(column for column in columns if column.of == of and column.kind != TOKENS)
    names = [column.name for column in kept]
    if len(set(names)) < len(names):
        raise ConfigError(f"Two {of} columns have one name among {names}. Rename one.")
    if of == "item" and not kept:
        raise ConfigError(
            "A model needs at least one item column, got none. Declare an item feature, or the item's id."
        )
    return kept


def example(columns: Sequence[Column], of: Side, *, rows: int | None = None) -> dict[str, np.ndarray]:
    """Make encoded columns of zeros, to show a model its shapes; bags are one id wide.

    Args:
        columns: of both sides.
        of: the side to make.
        rows: length of the leading axis; no such axis by default, as for one user.
    """
    leading = () if rows is None else (rows,)
    trailing = {"category": (), "bag": (1,), "number": ()}
    return {
        column.name: np.zeros(
            leading + trailing.get(column.kind, (column.size,)),
            np.int32 if column.kind in ("category", "bag") else np.float32,
        )
        for column in columns
        if column.of == of
    }


def item_width(model: Model, columns: Sequence[Column]) -> int:
    """Return d, the length of the model's item vectors `[rows, d]`; nothing is computed."""
    shapes = jax.eval_shape(
        lambda key: model.embed_item(model.init(key)["item"], example(columns, "item", rows=1)), jax.random.key(0)
    )
    return shapes.shape[-1]


def user_width(model: Model, columns: Sequence[Column]) -> int:
    """Return the length of the model's user vector; nothing is computed."""
    shapes = jax.eval_shape(
        lambda key: model.embed_user(model.init(key)["user"], example(columns, "user")), jax.random.key(0)
    )
    return shapes.shape[-1]


def _kind(column: Column, project_numbers: bool) -> str:
    if column.kind == "number" and project_numbers:
        return "projected number"
    return "id" if column.kind == "category" and column.name == "id" else column.kind


def _layer(column: Column, dim: int, scale: float, rngs: nnx.Rngs) -> nnx.Module:
    if column.kind in ("category", "bag"):
        return Table(column.size, dim, scale=scale, rngs=rngs)
    spread = nnx.initializers.normal(scale / column.size**0.5)  # a vector of unit variances gets `scale` too
    return nnx.Linear(column.size, dim, use_bias=False, kernel_init=spread, rngs=rngs)
