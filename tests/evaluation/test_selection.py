"""What validation users decide: candidates, the reference, and the kind of tasks for cold items."""

import numpy as np
import pytest
from data.ratings import world

from metajax.data import splits
from metajax.errors import DataError
from metajax.evaluation.baselines import Baseline, damped_bias, global_mean, popularity, random_scores
from metajax.evaluation.selection import kind_of, select, selects_on_items, validation_tasks
from metajax.evaluation.validate import catalogue_validation_of


def constant(value):
    return Baseline(f"always {value}", lambda training: lambda tasks: np.full(tasks.query_mask.shape, float(value)))


@pytest.fixture(scope="module")
def split():
    """Everybody's ratings are of the kind that the world draws; a hundred users make validation tasks."""
    return splits.item_cold(world(0, num_users=100, num_items=100, density=0.7), share=0.2)


def test_the_best_candidate_and_reference_on_validation_tasks_are_taken(split):
    families = {"tuned": [constant(1), constant(3), constant(5)]}
    chosen = select(split, [random_scores(), global_mean()], families, shots=(5,))
    assert chosen.tuned["tuned"]["item_cold"].name == "always 3"
    assert chosen.references["item_cold"] in ("global mean", "tuned")
    assert chosen.noise["tuned"]["item_cold"] > 0
    assert np.isnan(chosen.noise["random"]["item_cold"])


def test_cold_items_are_selected_for_on_held_out_items(split):
    assert selects_on_items(split)
    held = split.held_out()
    tasks = validation_tasks(held)
    assert [one.name for one in tasks] == ["validation", "validation_items"]
    assert (kind_of("user_cold", tasks), kind_of("item_cold", tasks), kind_of("both_cold", tasks)) == (0, 1, 1)
    known = set(held.meta_train()["item"])
    asked = set(held.interactions.items["item"].gather(np.unique(tasks[1].query_items)))
    assert asked
    assert not asked & known
    assert not asked & set(split.cold_items)
    assert set(split.meta_train()["item"]) > known


def test_baselines_for_cold_items_are_fitted_without_the_held_out_ones(split):
    seen = []

    def fit(training):
        seen.append(training.counts("items") > 0)
        return damped_bias().fit(training)

    select(split.held_out(), [Baseline("spy", fit)], {}, shots=())
    hidden = split.interactions.items["item"].is_in(split.validation_items.ratings["item"].implode()).to_numpy()
    assert len(seen) == 1  # no scenario here is of warm items
    assert not (seen[0] & hidden).any()


def test_what_only_ranks_is_tuned_and_referred_to_by_the_whole_catalogue(split):
    popular, rare = popularity(), rarity()
    families = {"tuned": [rare, replaced(popular, "frequent")], "rated": [constant(3)]}
    chosen = select(split, [rare, global_mean()], families, shots=(5,), relevant=4.0)
    assert chosen.tuned["tuned"]["item_cold"].name == "frequent"
    assert chosen.rank_references == {"item_cold": "tuned"}
    assert chosen.references["item_cold"] in ("global mean", "rated")


def test_without_ratings_the_reference_is_what_ranks_best(split):
    chosen = select(split, [rarity(), popularity()], {}, shots=(5,), relevant=4.0)
    assert chosen.references == chosen.rank_references == {"item_cold": "popularity"}


def test_chance_is_no_reference(split):
    """Where nobody of a few validation users is served by anything, chance may look best."""
    lucky = random_scores()._replace(fit=lambda _: lambda tasks: tasks.query_target)
    assert select(split, [lucky, popularity()], {}, shots=(5,)).references == {"item_cold": "popularity"}


def test_where_no_validation_user_wants_anything_own_items_tell(split):
    """Else every ranking had the value NaN, and the first would be the reference."""
    with pytest.raises(DataError, match="holds a rating of 99 or more"):
        catalogue_validation_of(validation_tasks(split)[0], shots=(), relevant=99.0, candidates=np.ones(9, bool))
    worst = Baseline("worst", lambda _: lambda tasks: -tasks.query_target, True)
    best = Baseline("best", lambda _: lambda tasks: tasks.query_target, True)
    assert select(split, [worst, best], {}, shots=(5,), relevant=99.0).rank_references == {"item_cold": "best"}


def rarity():
    return Baseline("rare", lambda one: lambda tasks: -counts(one)[tasks.query_items], True)


def counts(training):
    return training.counts("items")


def replaced(baseline, name):
    return baseline._replace(name=name)
