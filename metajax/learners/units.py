"""A learner of targets in another unit than its own, such as ratings of 0 to 100 for choices made on stars."""

import jax

from metajax.errors import ConfigError
from metajax.types import Examples, Key, Learner, Metrics, Prediction, PyTree, Task


def in_units(learner: Learner, unit: float) -> Learner:
    """Divide targets by the unit before the learner sees them, and multiply what it predicts.

    Its loss stays in the learner's own unit, and so do its priors, noise and learning rate.

    Args:
        learner: any whose predictions are on the scale of the targets.
        unit: targets that one of the learner's own is worth; positive.

    Raises:
        ConfigError: if the unit is not positive and finite.
    """
    if not 0 < unit < float("inf"):
        raise ConfigError(f"A unit of targets wants a positive number, got {unit}.")

    def own(examples: Examples) -> Examples:
        return examples._replace(target=examples.target / unit)

    def adapt(meta_params: PyTree, state: PyTree, support: Examples) -> PyTree:
        return learner.adapt(meta_params, state, own(support))

    def predict(meta_params: PyTree, state: PyTree, representations: PyTree) -> Prediction:
        found = learner.predict(meta_params, state, representations)
        return Prediction(found.mean * unit, None if found.variance is None else found.variance * unit**2)

    def loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        task = task._replace(support=own(task.support), query=own(task.query))
        return learner.loss(meta_params, task, key, progress)

    changed = learner._replace(adapt=adapt, predict=predict, loss=loss)
    if (leave := learner.left_out) is None:
        return changed
    return changed._replace(left_out=lambda meta, state, support, items: unit * leave(meta, state, own(support), items))
