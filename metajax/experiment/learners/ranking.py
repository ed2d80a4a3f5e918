"""Choices of learner: what is taken up next."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from metajax import learners, models
from metajax.data.columns import Column
from metajax.data.taken import SIZE, Leading
from metajax.errors import ConfigError
from metajax.losses import Loss
from metajax.models import item_width
from metajax.types import Learner, Model, PyTree


@dataclass(frozen=True)
class Autoencoder:
    """A sum of what each rating says of a user, trained to name the next items among the whole catalogue.

    Its model sees nothing of items but their ids: --data.features without any of items.
    """

    middle: float = 0.0
    """A rating that says nothing but that it was given, such as 3.6 for stars; 1.0 for clicks."""
    dropout: float = 0.5
    """Share of the ratings that training hides."""
    strength: float = 3.0
    """Ratings by which a user of few is held near the mean user, at the start; learned."""
    deviation: float = 0.3
    """Of the prior of factors, which counts for less the more ratings there are."""
    priors: float = 0.0
    """Weight of the priors; 1 is Bayes, 0 is none."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner.

        Raises:
            ConfigError: if the model sees more of items than their ids.
        """
        own = _only_ids("An Autoencoder", columns)
        width = item_width(model, columns)
        return learners.autoencoder(
            model,
            loss,
            encoder=models.matrix_factorization([own], factors=2 * width - 1, factor_scale=0.1),
            item_width=width,
            catalogue=_catalogue(own),
            position=_before,
            middle=self.middle,
            dropout=self.dropout,
            strength=self.strength,
            deviation=self.deviation,
            training_rows=_prior_rows(own, self.priors),
        )


@dataclass(frozen=True)
class Uptake:
    """A regression, in closed form, of who takes what, trained to name the next items among the whole catalogue.

    It begins at the leading factors of who took what in training. Its model is matrix factorisation, whose number of
    factors is theirs, and sees nothing of items but their ids: --data.features without any of items.
    """

    middle: float = 0.0
    """A rating that says nothing but that it was given, such as 3.6 for stars; 1.0 for clicks."""
    relevant: float | None = None
    """Ratings below this are not to be named, such as 4.0 for stars; all are by default."""
    deviation: float = 0.3
    """Of the prior of what is learned of an item beyond where it starts; counts for less the more ratings there are."""
    priors: float = 1.0
    """Weight of the priors; 1 is Bayes, 0 is none."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner.

        Raises:
            ConfigError: if the model sees more of items than their ids, or is no matrix factorisation.
        """
        own = _only_ids("An Uptake", columns)
        factors = item_width(model, columns) - 1
        parts = jax.eval_shape(model.init, jax.random.key(0))["item"]
        if set(parts) != {"weights", "factors"} or factors < 2:
            raise ConfigError("An Uptake wants MatrixFactorization with 2 factors or more as its model.")
        nothing = Leading(*(np.zeros((own.size, *shape)) for shape in ((), (factors,), (), ())))
        start = nothing if own.taken is None else own.taken.leading(factors)
        return learners.uptake(
            model,
            loss,
            start=learners.UptakeStart(*start, size=SIZE),
            catalogue=_catalogue(own),
            position=_before,
            middle=self.middle,
            relevant=self.relevant,
            deviation=self.deviation,
            training_rows=_prior_rows(own, self.priors),
        )


def _only_ids(name: str, columns: Sequence[Column]) -> Column:
    """Return the column of the items' own ids.

    Raises:
        ConfigError: if it is not the only one of items.
    """
    seen = [column for column in columns if column.of == "item"]
    if not seen:
        raise ConfigError(f"{name} knows items by their id alone, and there is none: --data.identity item.")
    if [column.name for column in seen] != ["id"]:
        raise ConfigError(
            f"{name} knows items by their id alone, got {[column.name for column in seen]}. "
            "Name no feature of items in --data.features, and leave --data.estimate-content off."
        )
    return seen[0]


def _prior_rows(ids: Column, weight: float) -> int:
    """Return the number of ratings that priors are weighed against; 0 for none.

    Raises:
        ConfigError: if the weight is negative.
    """
    if weight < 0:
        raise ConfigError(f"A weight of priors is 0 or more, got {weight}.")
    return max(1, round(ids.rows / weight)) if weight and ids.rows else 0


def _catalogue(ids: Column) -> PyTree:
    return {"id": np.arange(1, ids.size, dtype=np.int32)}


def _before(items: PyTree) -> jax.Array:
    """Return an id's place: ids count from 1, and 0 is an item that training has not seen."""
    return jnp.asarray(items["id"]) - 1
