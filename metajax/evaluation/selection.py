"""What is decided on validation users, before test users are looked at.

Which hyper-parameters a tuned baseline takes, which baseline learners are tested against, and the one constant
variance that every method's predictions are scored with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metajax.data import Split
from metajax.evaluation.baselines import Baseline, Training, training_of
from metajax.evaluation.baselines.base import Predict
from metajax.evaluation.baselines.methods import score_catalogue
from metajax.evaluation.metrics import clip
from metajax.evaluation.protocols import lay_out
from metajax.evaluation.validate import catalogue_validation_of, validation_of, wants_something
from metajax.tasks.taskset import TaskSet

COLD_ITEMS = ("item_cold", "both_cold")


@dataclass(frozen=True)
class Judged:
    """What validation tasks said of a method.

    Attributes:
        value: what model selection lowers (see `validation_of`).
        variance: mean squared error over tasks, at full support.
    """

    value: float
    variance: float


@dataclass(frozen=True)
class Selection:
    """What was decided, of every scenario.

    Attributes:
        references: the baseline that learners are tested against.
        rank_references: the same where the whole catalogue is ranked: the best of those that only rank.
        tuned: name -> scenario -> the candidate that was chosen.
        noise: name -> scenario -> the constant variance; of fixed and tuned baselines.
    """

    references: dict[str, str] = field(default_factory=dict)
    rank_references: dict[str, str] = field(default_factory=dict)
    tuned: dict[str, dict[str, Baseline]] = field(default_factory=dict)
    noise: dict[str, dict[str, float]] = field(default_factory=dict)


def selects_on_items(split: Split) -> bool:
    """Say whether cold items are tested and training users have rated enough held-out items to select on."""
    tested = any(name in COLD_ITEMS for name in split.scenarios)
    return tested and not split.validation_items.task_users().is_empty()


def validation_tasks(split: Split) -> tuple[TaskSet, ...]:
    """Return the tasks that are selected on: of validation users and, if items are held out, on those."""
    scenarios = [split.validation, *([split.validation_items] if split.holds_out_items else [])]
    return tuple(lay_out(scenario, split.interactions) for scenario in scenarios)


def kind_of(scenario: str, tasks: Sequence[TaskSet]) -> int:
    """Return which of `validation_tasks` are like the scenario: for cold items those on held-out ones, if there are."""
    return len(tasks) - 1 if scenario in COLD_ITEMS else 0


def select(
    split: Split,
    fixed: Sequence[Baseline],
    families: Mapping[str, Sequence[Baseline]],
    *,
    shots: tuple[int, ...],
    relevant: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Selection:
    """Judge all baselines on validation tasks and decide.

    Baselines are fitted without the validation users and, for scenarios of cold items, without the held-out items. What
    only ranks knows nothing of cold items: it is judged once, on validation users, for all scenarios.

    Args:
        split: whose validation tasks are used.
        fixed: baselines with given hyper-parameters.
        families: name of a tuned baseline -> its candidates.
        shots: support sizes beside the full one that the validation value averages over.
        relevant: targets from here on are wanted, where the whole catalogue is ranked; None judges what only ranks by
            the user's own held-out items, and so does one that no validation user gave.
        progress: called with what is done next.
    """
    chosen = Selection()
    tasks = validation_tasks(split)
    if relevant is not None and not wants_something(tasks[0], relevant):
        relevant = None
    for kind in range(len(tasks)):
        scenarios = [name for name in split.scenarios if kind_of(name, tasks) == kind]
        rows = (split if kind else replace(split, holds_out_items=False)).meta_train()
        judge = _judge_on(
            tasks[kind],
            training_of(split.interactions, rows),
            split.interactions.scale,
            shots=shots,
            relevant=relevant,
            progress=progress,
        )
        if kind == 0:
            everywhere = list(split.scenarios)
            chosen.rank_references.update(_decide(chosen, everywhere, judge, *_ranking(fixed, families, True)))
        if scenarios:
            chosen.references.update(_decide(chosen, scenarios, judge, *_ranking(fixed, families, False)))
    if not chosen.references:
        chosen.references.update(chosen.rank_references)
    return chosen


def _ranking(
    fixed: Sequence[Baseline], families: Mapping[str, Sequence[Baseline]], ranks_only: bool
) -> tuple[list[Baseline], dict[str, Sequence[Baseline]]]:
    """Return the baselines and families that only rank, or the others."""
    only = {name: all(one.ranks_only for one in candidates) for name, candidates in families.items()}
    return (
        [one for one in fixed if one.ranks_only == ranks_only],
        {name: candidates for name, candidates in families.items() if only[name] == ranks_only},
    )


def _judge_on(
    tasks: TaskSet,
    training: Training,
    scale: tuple[float, float],
    *,
    shots: tuple[int, ...],
    relevant: float | None,
    progress: Callable[[str], None],
) -> Callable[[Baseline], Judged]:
    """Return baseline -> what these tasks say of it when it is fitted to the training ratings."""

    def judge(baseline: Baseline) -> Judged:
        progress(f"{tasks.name}: {baseline.name}")
        predict = baseline.fit(training)
        if baseline.ranks_only and relevant is not None:
            candidates = training.counts("items") > 0
            value = catalogue_validation_of(tasks, shots=shots, relevant=relevant, candidates=candidates)
            return Judged(value(lambda some: score_catalogue(predict, some, training.num_items)), float("nan"))
        return judge_predictions(predict, tasks, shots=shots, scale=scale, ranks_only=baseline.ranks_only)

    return judge


def _decide(
    chosen: Selection,
    scenarios: list[str],
    judge: Callable[[Baseline], Judged],
    fixed: Sequence[Baseline],
    families: Mapping[str, Sequence[Baseline]],
) -> dict[str, str]:
    """Write down what was decided for these scenarios, and return the best baseline of each that knows anything."""
    judged = {baseline.name: judge(baseline) for baseline in fixed}
    for name, candidates in families.items():
        trials = [judge(candidate) for candidate in candidates]
        best = min(range(len(trials)), key=lambda position: trials[position].value)
        judged[name] = trials[best]
        chosen.tuned.setdefault(name, {}).update(dict.fromkeys(scenarios, candidates[best]))
    for name, one in judged.items():
        chosen.noise.setdefault(name, {}).update(dict.fromkeys(scenarios, one.variance))
    rivals = [name for name in judged if name not in {one.name for one in fixed if one.is_chance}]
    return dict.fromkeys(scenarios, min(rivals, key=lambda name: judged[name].value)) if rivals else {}


def judge_predictions(
    predict: Predict, tasks: TaskSet, *, shots: tuple[int, ...], scale: tuple[float, float], ranks_only: bool = False
) -> Judged:
    """Judge a fitted method on validation tasks; the variance of what only ranks is NaN."""
    value = validation_of(tasks, shots=shots, scale=scale, ranking_only=ranks_only)(predict)
    if ranks_only:
        return Judged(value, float("nan"))
    error = np.where(tasks.query_mask > 0, clip(predict(tasks), scale) - tasks.query_target, 0)
    return Judged(value, float(np.mean((error**2).sum(axis=1) / tasks.query_mask.sum(axis=1))))
