"""How ratings become tasks: recomputed here from the text of the protocol."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import polars as pl
import pytest

from metajax.data import interactions_from_frame
from metajax.data.scenarios import Scenario
from metajax.errors import TaskError
from metajax.evaluation.protocols import lay_out


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    rows = [
        (u, int(i), float(rng.integers(1, 6)), int(rng.integers(0, 99)))
        for u in range(4)
        for i in rng.permutation(40)[: 8 + 6 * u]
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "target", "timestamp"], orient="row")
    return interactions_from_frame(frame, timestamp="timestamp")


def test_draws_are_those_of_the_hash(world):
    scenario = Scenario("toy", world.ratings, min_rows=13, query_rows=10, support_rows=5, draws=3)
    tasks = lay_out(scenario, world)
    assert len(tasks) == 3 * 3  # the user with 8 rows has too few
    for task in range(len(tasks)):
        user, draw = int(world.users["user"][int(tasks.user[task])]), int(tasks.draw[task])
        items = world.ratings.filter(pl.col("user") == user)["item"].to_list()
        order = sorted(items, key=lambda item, u=user, d=draw: sha256(f"{d}:{u}:{item}".encode()).hexdigest())
        names = world.items["item"]
        support = [names[int(p)] for p in tasks.support_items[task][tasks.support_mask[task] > 0]]
        query = [names[int(p)] for p in tasks.query_items[task][tasks.query_mask[task] > 0]]
        assert query == order[-10:]
        assert support == order[:-10][:5]


def test_targets_belong_to_their_items_and_row_order_does_not_matter(world):
    scenario = Scenario("toy", world.ratings, draws=2)
    tasks = lay_out(scenario, world)
    known = {(u, i): t for u, i, t in world.ratings.select("user", "item", "target").iter_rows()}
    for task in range(len(tasks)):
        user = world.users["user"][int(tasks.user[task])]
        for item, target in zip(tasks.query_items[task], tasks.query_target[task], strict=True):
            assert known[user, world.items["item"][int(item)]] == target
    turned = replace(scenario, ratings=scenario.ratings.sample(fraction=1, shuffle=True, seed=1))
    for name in ("user", "support_items", "query_items", "query_target"):
        np.testing.assert_array_equal(getattr(tasks, name), getattr(lay_out(turned, world), name))


def test_with_a_fixed_support_all_others_are_the_query(world):
    tasks = lay_out(Scenario("toy", world.ratings, min_rows=6, query_rows=None, support_rows=5, draws=1), world)
    np.testing.assert_array_equal(tasks.support_mask.sum(axis=1), 5)
    np.testing.assert_array_equal(np.sort(tasks.query_mask.sum(axis=1)), [3, 9, 15, 21])


def test_by_time_the_query_comes_after(world):
    tasks = lay_out(
        Scenario("toy", world.ratings, min_rows=2, query_rows=None, draws=1, arrangement="time", time=50), world
    )
    times = {(u, i): t for u, i, t in world.ratings.select("user", "item", "timestamp").iter_rows()}
    for task in range(len(tasks)):
        user = world.users["user"][int(tasks.user[task])]

        def of(part, task=task, user=user):
            real = getattr(tasks, f"{part}_mask")[task] > 0
            return [times[user, world.items["item"][int(p)]] for p in getattr(tasks, f"{part}_items")[task][real]]

        assert all(time < 50 for time in of("support"))
        assert all(time >= 50 for time in of("query"))
        assert of("support") == sorted(of("support"), reverse=True)


def test_too_few_rows_are_told(world):
    with pytest.raises(TaskError, match="No user has 99 to any number of ratings in toy"):
        lay_out(Scenario("toy", world.ratings, min_rows=99), world)
