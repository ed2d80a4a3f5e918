"""From methods and tasks to the results frame: every metric of every user, averaged over the protocol's draws."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from metajax.evaluation.config import EvaluationConfig
from metajax.evaluation.metrics import clip
from metajax.evaluation.predict import Predictions
from metajax.evaluation.values import Scale, Values, catalogue_rankings, errors, probabilities, rankings
from metajax.tasks.taskset import TaskSet


@dataclass(frozen=True)
class Method:
    """A learner of one training seed, or a baseline.

    Attributes:
        name: in tables.
        kind: "learner" or "baseline".
        predict: tasks -> predictive means and, where the method has them, variances of every query row.
        score_catalogue: tasks -> `[tasks, num_items]` scores of every item.
        noise: of each scenario, one constant variance: the mean squared error on validation tasks of that kind.
        seed: of training, or None.
        ranks_only: the scores have no unit, so that errors are left out.
    """

    name: str
    kind: str
    predict: Callable[[TaskSet], Predictions]
    score_catalogue: Callable[[TaskSet], np.ndarray]
    noise: Mapping[str, float] = field(default_factory=dict)
    seed: int | None = None
    ranks_only: bool = False


@dataclass(frozen=True)
class Setting:
    """What is known about the data when methods are measured.

    Attributes:
        user_ids: the data's own ids, by position in the user table.
        num_ratings: float `[num_items]`, of each item in training.
        scale: which targets there can be.
        candidates: of each scenario, bool `[num_items]`: what the catalogue regime ranks.
        rated: user positions -> bool `[users, num_items]`: all that these users have rated, in whatever state.
        config: what is measured.
    """

    user_ids: pl.Series
    num_ratings: np.ndarray
    scale: Scale
    candidates: Mapping[str, np.ndarray]
    rated: Callable[[np.ndarray], np.ndarray]
    config: EvaluationConfig


def results_frame(
    scenarios: Mapping[str, TaskSet],
    methods: Sequence[Method],
    setting: Setting,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> pl.DataFrame:
    """Measure every method in every scenario at every support size.

    Args:
        scenarios: tasks by scenario.
        methods: what is measured.
        setting: what is known about the data.
        progress: called with the name of what is measured next.

    Returns:
        The frame that `metajax.evaluation.results` describes.
    """
    return pl.concat(_frames(scenarios, methods, setting, progress), how="diagonal_relaxed")


def measure(method: "Method", shot: TaskSet, setting: Setting) -> Values:
    """Return every metric of the query regime of one method, the tasks' support as it is."""
    means, variance = method.predict(shot)
    if method.ranks_only:
        return rankings(means, shot, setting.scale, setting.config)
    means = clip(means, (setting.scale.low, setting.scale.high))
    return (
        errors(means, shot, setting.scale)
        | rankings(means, shot, setting.scale, setting.config)
        | probabilities(means, variance, method.noise[shot.name], shot, setting.scale)
    )


def measure_catalogue(score: Callable[[TaskSet], np.ndarray], tasks: TaskSet, setting: Setting) -> Values:
    """Return every metric of the catalogue regime: the scenario's candidates that the user has not rated are ranked."""
    candidates = setting.candidates[tasks.name]
    return catalogue_rankings(score, tasks, candidates, setting.rated, setting.num_ratings, setting.config)


def _frames(
    scenarios: Mapping[str, TaskSet],
    methods: Sequence[Method],
    setting: Setting,
    progress: Callable[[str], None],
) -> Iterator[pl.DataFrame]:
    config = setting.config
    for name, tasks in scenarios.items():
        first_draw = tasks.take(np.flatnonzero(tasks.draw == 0))
        for method in methods:
            progress(f"{name}: {method.name}")
            for k in (*config.all_shots, None):
                shot = tasks if k is None else tasks.k_shot(k)
                values = measure(method, shot, setting)
                frame = _per_user(name, method, k, tasks, values, setting)
                if config.catalogue_cutoffs and (k is None or k in config.catalogue_shots):
                    shot = first_draw if k is None else first_draw.k_shot(k)
                    ranked = measure_catalogue(method.score_catalogue, shot, setting)
                    ranked = {"user": setting.user_ids.gather(first_draw.user)} | ranked
                    frame = frame.join(pl.DataFrame(ranked), on="user", how="left")
                yield frame


def _per_user(
    scenario: str, method: Method, k: int | None, tasks: TaskSet, values: dict[str, np.ndarray], setting: Setting
) -> pl.DataFrame:
    """Average over draws; a draw in which a metric is undefined is left out."""
    mask = tasks.query_mask
    popularity = (np.log1p(setting.num_ratings)[tasks.query_items] * mask).sum(axis=1) / mask.sum(axis=1)
    described = {
        "user": setting.user_ids.gather(tasks.user),
        "history": tasks.support_mask.sum(axis=1),
        "popularity": popularity,
    }
    frame = pl.DataFrame(described | values).with_columns(pl.col(*values).fill_nan(None))
    frame = frame.group_by("user", maintain_order=True).mean()
    return frame.select(
        pl.lit(scenario).alias("scenario"),
        pl.lit(method.name).alias("method"),
        pl.lit(method.kind).alias("kind"),
        pl.lit(k, pl.Int32).alias("k"),
        pl.lit(method.seed, pl.Int32).alias("seed"),
        "user",
        pl.col("history").cast(pl.Int32),
        pl.exclude("user", "history"),
    )
