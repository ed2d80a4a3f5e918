"""Which baseline learners are tested against: the best on validation users, chosen before test users are looked at."""

from dataclasses import replace

import numpy as np
import polars as pl

from metajax.data import Interactions, Split
from metajax.data.splits import Scenario, hash_order
from metajax.errors import TaskError
from metajax.evaluation.baselines import Baseline, Training, training_of
from metajax.evaluation.metrics import clip, mean_absolute_error
from metajax.evaluation.protocols import lay_out

HIDDEN_SHARE = 0.2


def choose_references(split: Split, baselines: tuple[Baseline, ...]) -> dict[str, str]:
    """Return, for every scenario, the baseline of lowest mean absolute error on validation tasks of the same kind.

    Baselines are fitted without the validation users and, for scenarios of cold items, without a fifth of the training
    items (by the hash of "validation-item:<id>"), on which the validation tasks then are.
    """
    measured = [baseline for baseline in baselines if not baseline.ranks_only]
    rows = split.meta_train()
    for_users = _best(measured, split.interactions, rows, split.validation)
    chosen = dict.fromkeys(split.scenarios, for_users)
    if cold := [name for name in split.scenarios if name in ("item_cold", "both_cold")]:
        order = hash_order(rows["item"], "validation-item")
        hidden = order.head(int(HIDDEN_SHARE * len(order))).to_frame("item")
        tasks = replace(split.validation, ratings=split.validation.ratings.join(hidden, on="item", how="semi"))
        shown = rows.join(hidden, on="item", how="anti")
        try:
            chosen |= dict.fromkeys(cold, _best(measured, split.interactions, shown, tasks))
        except TaskError:  # no validation user has enough rows on hidden items: the choice for users stands
            return chosen
    return chosen


def _best(baselines: list[Baseline], interactions: Interactions, rows: pl.DataFrame, scenario: Scenario) -> str:
    tasks = lay_out(scenario, interactions)
    training: Training = training_of(interactions, rows)
    errors = {}
    for baseline in baselines:
        means = clip(baseline.fit(training)(tasks), interactions.scale)
        errors[baseline.name] = float(np.mean(mean_absolute_error(means, tasks.query_target, tasks.query_mask)))
    return min(errors, key=errors.__getitem__)
