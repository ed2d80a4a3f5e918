"""Embedding tables whose every entry is a belief: a Gaussian with a mean and a deviation, under a learned prior.

A point estimate of thousands of item vectors fits the noise of the ratings that it was made of, and no early stop is
right for rare and frequent items alike. Here training draws a row's vector from N(mean, deviation^2) whenever it is
looked up, and pays the divergence from N(0, prior^2), the prior of each table learned as well; adaptation and
prediction use the means.

References:
    Lim and Teh, 2007, "Variational Bayesian approach to movie rating prediction", KDD Cup and Workshop.
    Kingma and Welling, 2014, "Auto-encoding variational Bayes", section 2.4 and appendix B.
    https://arxiv.org/abs/1312.6114
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.learners.selection import path_of
from metajax.types import Key, Model, PyTree


class ItemStart(NamedTuple):
    """Where training begins, and priors that it does not move, where ratings are all that is known of items.

    Attributes:
        priors: part of the item tower -> deviation of its tables' prior; positive. A learned one ends near the
            deviation of the means, which the priors before it had pulled to 0: of weak factors it leaves nothing.
        means: part -> its parameters; None for the model's own, where parameters are to be loaded.
        deviations: part -> deviations of the beliefs about its entries, `[rows, columns]`.
        user_level: of a user of whom nothing is known, in the units of the score; it is not learned either: in training
            those who rate much have the say.
    """

    priors: Mapping[str, float]
    means: Mapping[str, PyTree] | None = None
    deviations: Mapping[str, np.ndarray] = MappingProxyType({})
    user_level: float = 0.0


def start_beliefs(tables: PyTree, *, deviation: float | jax.Array, prior: float) -> PyTree:
    """Return the parameters of beliefs about tables, under one prior a table.

    Args:
        tables: a tree of arrays.
        deviation: at the start, of all entries or of each.
        prior: deviation of the priors at the start.
    """
    return {
        "log_deviations": jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.log(deviation)), tables),
        "log_priors": jax.tree.map(lambda leaf: jnp.log(jnp.asarray(prior, leaf.dtype)), tables),
    }


def start_of_tower(tower: Mapping[str, PyTree], start: ItemStart | None) -> dict[str, dict[str, PyTree]]:
    """Return `start_beliefs` of an item tower's parts: of priors that are given, and of those that are learned."""

    def beliefs_about(part: str) -> dict[str, PyTree]:
        if start is None or part not in start.priors:
            return start_beliefs(tower[part], deviation=0.1, prior=0.3)
        deviation = jnp.asarray(start.deviations.get(part, 0.2))
        return start_beliefs(tower[part], deviation=deviation, prior=start.priors[part])

    parts = {part: beliefs_about(part) for part in tower}
    return {name: {part: one[name] for part, one in parts.items()} for name in ("log_deviations", "log_priors")}


def draw_vectors(key: Key, model: Model, beliefs: PyTree, items: PyTree, vectors: jax.Array) -> jax.Array:
    """Return vectors `[rows, d]` drawn around the means `vectors`; the key is consumed.

    Args:
        key: one a task, in which an item is looked up once.
        model: its item tower sums rows of tables and linear maps: with variances for entries, and numbers squared, its
            vectors are variances (of a bag, which averages rows, the average variance: more than that of the average).
        beliefs: of `start_beliefs`.
        items: encoded items, leaves `[rows, ...]`.
        vectors: `[rows, d]` the means.
    """
    variances = jax.tree.map(lambda leaf: jnp.exp(2 * leaf), beliefs["log_deviations"])
    squared = jax.tree.map(lambda leaf: leaf**2 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, items)
    deviations = jnp.sqrt(model.embed_item(variances, squared) + 1e-12)
    return vectors + deviations * jax.random.normal(key, vectors.shape, vectors.dtype)


def beliefs_divergence(means: PyTree, beliefs: PyTree) -> jax.Array:
    """Return the sum over all entries of KL(N(mean, deviation^2) || N(0, prior^2)), in nats.

    Args:
        means: a tree that holds the tables at the same paths, and maybe other leaves.
        beliefs: of `start_beliefs`.
    """
    at = {path_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(means)}
    return sum(
        (
            _divergence(at[path_of(path)], log_deviation, _leaf(beliefs["log_priors"], path))
            for path, log_deviation in jax.tree_util.tree_leaves_with_path(beliefs["log_deviations"])
        ),
        start=jnp.zeros((), jax.tree.leaves(beliefs)[0].dtype),
    )


def _divergence(mean: jax.Array, log_deviation: jax.Array, log_prior: jax.Array) -> jax.Array:
    log_ratio = log_deviation - log_prior
    return jnp.sum(0.5 * (jnp.exp(2 * log_ratio) + (mean * jnp.exp(-log_prior)) ** 2 - 1) - log_ratio)


def _leaf(tree: PyTree, path: tuple) -> jax.Array:
    for key in path:
        tree = tree[key.key]
    return tree
