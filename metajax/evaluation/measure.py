"""From methods and tasks to the results frame: every metric of every user, averaged over the protocol's draws."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from metajax.evaluation import catalogue, metrics
from metajax.evaluation.config import EvaluationConfig
from metajax.tasks.taskset import TaskSet


@dataclass(frozen=True)
class Method:
    """A learner of one training seed, or a baseline.

    Attributes:
        name: in tables.
        kind: "learner" or "baseline".
        predict: tasks -> `[tasks, query_rows]` predictive means.
        score_catalogue: tasks -> `[tasks, num_items]` scores of every item.
        seed: of training, or None.
        ranks_only: the scores have no unit, so that errors are left out.
    """

    name: str
    kind: str
    predict: Callable[[TaskSet], np.ndarray]
    score_catalogue: Callable[[TaskSet], np.ndarray]
    seed: int | None = None
    ranks_only: bool = False


@dataclass(frozen=True)
class Setting:
    """What is known about the data when methods are measured.

    Attributes:
        user_ids: the data's own ids, by position in the user table.
        num_ratings: float `[num_items]`, of each item in training.
        scale: (lowest, highest) target.
        rated: user positions -> bool `[users, num_items]`: all that these users have rated, in whatever state.
        config: what is measured.
    """

    user_ids: pl.Series
    num_ratings: np.ndarray
    scale: tuple[float, float]
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


def measure(means: np.ndarray, tasks: TaskSet, setting: Setting, *, ranks_only: bool = False) -> dict[str, np.ndarray]:
    """Return float64 `[tasks]` values of every metric of the query regime."""
    target, mask, config = tasks.query_target, tasks.query_mask, setting.config
    values = {}
    if not ranks_only:
        means = metrics.clip(means, setting.scale)
        values["mae"] = metrics.mean_absolute_error(means, target, mask)
        values["mse"] = metrics.mean_squared_error(means, target, mask)
    judged = {
        "precision": metrics.precision,
        "recall": metrics.recall,
        "hit_rate": metrics.hit_rate,
        "mrr": metrics.reciprocal_rank,
        "map": metrics.average_precision,
    }
    for k in config.cutoffs:
        values[f"ndcg@{k}"] = metrics.ndcg(means, target, mask, k=k)
        for name, metric in judged.items():
            values[f"{name}@{k}"] = metric(means, target, mask, k=k, relevant=config.relevant)
    values["auc"] = metrics.auc(means, target, mask, relevant=config.relevant)
    return values


def measure_catalogue(scores: np.ndarray, tasks: TaskSet, setting: Setting) -> dict[str, np.ndarray]:
    """Return float64 `[tasks]` values of the catalogue regime: relevant query items among all that are unrated.

    Left out of the ranking are items that training never saw (unless they are in the query) and all that the user has
    rated outside the query.
    """
    relevant = (tasks.query_target >= setting.config.relevant) & (tasks.query_mask > 0)
    in_query = np.zeros(scores.shape, bool)
    rows, columns = np.nonzero(tasks.query_mask > 0)  # padding holds item 0, which is not in the query
    in_query[rows, tasks.query_items[rows, columns]] = True
    excluded = (setting.rated(tasks.user) | (setting.num_ratings == 0)) & ~in_query
    ranks = catalogue.catalogue_ranks(scores, tasks.query_items, relevant, excluded)
    values = {"catalogue_mrr": catalogue.reciprocal_rank_from_ranks(ranks)}
    for k in setting.config.catalogue_cutoffs:
        values[f"catalogue_ndcg@{k}"] = catalogue.ndcg_from_ranks(ranks, k)
        values[f"catalogue_recall@{k}"] = catalogue.recall_from_ranks(ranks, k)
        values[f"catalogue_hit_rate@{k}"] = catalogue.hit_rate_from_ranks(ranks, k)
    return values


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
            for k in (*config.shots, None):
                shot = tasks if k is None else tasks.k_shot(k)
                values = measure(method.predict(shot), tasks, setting, ranks_only=method.ranks_only)
                frame = _per_user(name, method, k, tasks, values, setting)
                if config.catalogue_cutoffs and (k is None or k in config.catalogue_shots):
                    shot = first_draw if k is None else first_draw.k_shot(k)
                    ranked = measure_catalogue(method.score_catalogue(shot), first_draw, setting)
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
