"""What a smaller artifact costs: how far its predictions are from those before, and how much worse they are."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.evaluation.predict import predictor
from metajax.evaluation.protocols import lay_out
from metajax.experiment.artifact import Artifact
from metajax.experiment.assembly import Assembly
from metajax.ranking.neighbours import synthetic_predictions

COMPARED = 10


class Cost(NamedTuple):
    """What changes for a fixed set of synthetic users.

    Attributes:
        largest: absolute change of a predicted target within the scale (of what only ranks: of a score), over users and
            the catalogue.
        mean: the same, averaged.
        kept: share of the users' first ten items that stay among their first ten.
    """

    largest: float
    mean: float
    kept: float


def cost_of(before: Artifact, after: Artifact) -> Cost:
    """Compare the predictions of two artifacts of one experiment and catalogue."""
    one, other = (_predictions(artifact) for artifact in (before, after))
    first, second = (np.argsort(-rows, axis=1, kind="stable")[:, :COMPARED] for rows in (one, other))
    kept = np.mean([np.isin(a, b).mean() for a, b in zip(first, second, strict=True)])
    change = np.abs(np.clip(one, *before.bounds) - np.clip(other, *before.bounds))
    return Cost(float(change.max()), float(change.mean()), float(kept))


def mean_absolute_errors(assembly: Assembly, artifact: Artifact) -> dict[str, float]:
    """Return the MAE on the test tasks of every scenario, all draws pooled; for comparison with another artifact's."""
    predict = predictor(artifact.parts().learner)
    errors = {}
    for name, scenario in assembly.split.scenarios.items():
        tasks = lay_out(scenario, assembly.interactions)
        mean = np.clip(predict(artifact.meta_params, assembly.catalogue, tasks).mean, *artifact.scale)
        errors[name] = float(np.abs(mean - tasks.query_target)[tasks.query_mask > 0].mean())
    return errors


def _predictions(artifact: Artifact) -> np.ndarray:
    learner, items = artifact.parts().learner, jax.tree.map(jnp.asarray, artifact.items)
    return synthetic_predictions(
        learner,
        artifact.meta_params,
        jax.jit(learner.represent)(artifact.meta_params, items),
        user=artifact.new_user(),
        num_ratings=artifact.num_ratings,
        levels=artifact.levels,
    )
