"""The softmax over a catalogue that names what a user takes up next.

References:
    Liang et al., 2018, "Variational autoencoders for collaborative filtering", eq. 2. https://arxiv.org/abs/1802.05814
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from metajax.errors import ConfigError
from metajax.losses import Loss, catalogue_softmax, masked_mean


def check_next(loss: Loss | None, name: str) -> None:
    """Refuse a loss that is another than this.

    Raises:
        ConfigError: with the name of the learner.
    """
    if loss is not None and loss.name != catalogue_softmax().name:
        raise ConfigError(f"{name} is trained by {catalogue_softmax().name}, got {loss.name}. Take CatalogueSoftmax.")


def loss_of_next(
    scores: Float[Array, " items"],
    taken: Int[Array, " support"],
    wanted: Int[Array, " query"],
    taken_mask: Float[Array, " support"],
    wanted_mask: Float[Array, " query"],
) -> Float[Array, ""]:
    """Return the mean of -log p of the wanted items among all but those taken; 0 if none is in the catalogue.

    Args:
        scores: of the whole catalogue.
        taken: places of the support in it, which are not named; one below 0 is not in it.
        wanted: places to be named. One that is not in the catalogue, or is taken, does not count.
        taken_mask: 1.0 for a real row, 0.0 for padding.
        wanted_mask: the same of `wanted`.
    """
    size = scores.shape[0]
    # a place beyond the end is dropped; below 0 it would count from there
    taken, wanted = (
        jnp.where((mask > 0) & (places >= 0), places, size)
        for places, mask in ((taken, taken_mask), (wanted, wanted_mask))
    )
    hidden = jnp.zeros(size, bool).at[taken].set(True, mode="drop")
    logs = jax.nn.log_softmax(jnp.where(hidden, -1e30, scores))
    place = jnp.minimum(wanted, size - 1)
    real = (wanted < size) & ~hidden[place]
    return -masked_mean(logs[place], real.astype(scores.dtype))


def squares(tree: object, *, factors: bool) -> Float[Array, ""]:
    """Sum the squares of tables of factors, or else of single terms: leaves with a last axis of 1."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if (leaf.ndim > 1 and leaf.shape[-1] > 1) == factors]
    return sum((jnp.sum(leaf**2) for leaf in leaves), start=jnp.zeros(()))
