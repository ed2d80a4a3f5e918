"""Pruning: the smallest weights of a trained model are set to 0, and the others trained on for a while.

Zeros are stored as they are: what is saved shows once the artifact is compressed.

References:
    Han et al., 2015, "Learning both weights and connections for efficient neural networks", section 3.
    https://arxiv.org/abs/1506.02626
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.experiment.artifact import Artifact
from metajax.experiment.assembly import Assembly
from metajax.experiment.running import train_seed
from metajax.types import Learner, PyTree

SLOWER = 0.1
"""Of the learning rate of the run: the weights are near where they should be."""


def weight_masks(meta_params: PyTree, share: float) -> PyTree:
    """Return 0.0 for the `share` of smallest magnitudes in each of the model's matrices, 1.0 for all else.

    Raises:
        ConfigError: if `share` is not in (0, 1).
    """
    if not 0 < share < 1:
        raise ConfigError(f"The share of weights to prune lies between 0 and 1, got {share:g}.")

    def mask(leaf: jax.Array) -> jax.Array:
        if leaf.ndim < 2:
            return jnp.ones_like(leaf)
        return (jnp.abs(leaf) > jnp.quantile(jnp.abs(leaf), share)).astype(leaf.dtype)

    return jax.tree.map(jnp.ones_like, meta_params) | {"model": jax.tree.map(mask, meta_params["model"])}


def pruned(artifact: Artifact, share: float) -> Artifact:
    """Set the smallest weights to 0 and train nothing."""
    masks = weight_masks(artifact.meta_params, share)
    return replace(artifact, meta_params=jax.tree.map(jnp.multiply, artifact.meta_params, masks))


def fine_tuned(before: Artifact, share: float, assembly: Assembly, *, outer_steps: int) -> Artifact:
    """Prune and train on as the run was trained, at a tenth of its learning rate; what is 0 stays 0.

    Args:
        before: not pruned.
        share: of the weights to prune.
        assembly: of the run's experiment, with its data.
        outer_steps: how many.
    """
    masks = weight_masks(before.meta_params, share)
    learner = _masked(assembly.parts.learner, masks, pruned(before, share).meta_params)
    experiment = assembly.experiment
    training = replace(experiment.training, outer_steps=outer_steps, validate_every=outer_steps, patience=0)
    optimizer = experiment.optimizer
    if hasattr(optimizer, "learning_rate"):
        optimizer = replace(optimizer, learning_rate=SLOWER * optimizer.learning_rate)
    assembly = replace(
        assembly,
        experiment=replace(experiment, training=training, optimizer=optimizer),
        parts=replace(assembly.parts, learner=learner),
    )
    with TemporaryDirectory() as scratch:
        best = train_seed(assembly, Path(scratch), _seed(before.training), validate=None, show_progress=False)
    return replace(before, meta_params=jax.tree.map(jnp.multiply, jax.tree.map(jnp.asarray, best.meta_params), masks))


def _masked(learner: Learner, masks: PyTree, start: PyTree) -> Learner:
    """Return the learner that begins at `start` and reads its weights through the masks."""

    def loss(meta_params: PyTree, *given: Any) -> Any:
        return learner.loss(jax.tree.map(jnp.multiply, meta_params, masks), *given)

    return learner._replace(init=lambda key: start, loss=loss)


def _seed(training: dict[str, Any]) -> int:
    return int(training.get("seed", 0)) + 1_000_000  # other tasks than those of the run's first steps
