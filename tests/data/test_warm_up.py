"""The warm-up split: what is old, new and left out, by hand and on the bundled ratings."""

from dataclasses import replace

import polars as pl
import pytest
from data.ratings import pairs

from metajax.data import Interactions, interactions_from_frame, load
from metajax.data.scenarios import hash_order
from metajax.data.warm_up import warm_up
from metajax.errors import ConfigError, DataError, LeakError
from metajax.evaluation.protocols import lay_out

SMALL = {"old_rows": 7, "min_rows": 4, "batch_rows": 1}


def film_world() -> Interactions:
    """Films 1 to 3 are old (raters 0 to 6), films 11 to 20 new (raters 0 to 4, the last at time 0), 30 is left out.

    Film 11 was rated by rater 99 too, whom no old film has.
    """
    rows = [(rater, film, rater) for film in (1, 2, 3) for rater in range(7)]
    rows += [(rater, film, (rater + 1) % 5) for film in range(11, 21) for rater in range(5)]
    rows += [(99, 11, 50), (0, 30, 7), (1, 30, 8), (2, 30, 9)]
    frame = pl.DataFrame([(*row, 1.0 + row[0] % 5) for row in rows], ["user", "item", "time", "target"], orient="row")
    return interactions_from_frame(frame.sample(fraction=1.0, shuffle=True, seed=0), timestamp="time", scale=(1, 5))


def films(ratings: pl.DataFrame) -> set[int]:
    return set(ratings["user"])


def test_by_hand():
    split = warm_up(film_world(), **SMALL)
    split.check()
    assert pairs(split.train) == {(film, rater) for film in (1, 2, 3) for rater in range(7)}
    assert split.cold_users.to_list() == hash_order(pl.Series("user", range(11, 21)), "validation").to_list()
    assert films(split.validation.ratings) == set(split.cold_users[:2])
    scenario = split.scenarios["warm_up"]
    assert pairs(scenario.ratings) == {(film, rater) for film in split.cold_users[2:] for rater in range(5)}
    assert split.meta_train().equals(split.train)


def test_batches_are_the_oldest_rows_and_the_query_what_is_left():
    split = warm_up(film_world(), **SMALL)
    tasks = lay_out(split.scenarios["warm_up"], split.interactions)
    names = split.interactions.items["item"]
    assert len(tasks) == 8
    for task in range(8):
        assert [names[int(at)] for at in tasks.support_items[task]] == [4, 0, 1]  # at times 0, 1, 2
        assert [names[int(at)] for at in tasks.query_items[task]] == [2, 3]
        assert tasks.query_target[task].tolist() == [3, 4]
    assert tasks.draw.tolist() == [0] * 8


def test_by_hash_in_five_draws():
    timeless = film_world()
    timeless = replace(timeless, ratings=timeless.ratings.drop("timestamp"))
    split = warm_up(timeless, **SMALL, order="hash")
    split.check()
    tasks = lay_out(split.scenarios["warm_up"], split.interactions)
    assert len(tasks) == 5 * 8
    assert len({tuple(row) for row in tasks.support_items.tolist()}) > 8


def test_equal_times_are_ordered_by_the_rater():
    world = film_world()
    world = replace(world, ratings=world.ratings.with_columns(timestamp=pl.lit(0, pl.Int64)))
    split = warm_up(world, **SMALL)
    tasks = lay_out(split.scenarios["warm_up"], split.interactions)
    assert (tasks.support_items == [[0, 1, 2]]).all()


def test_the_bundled_ratings():
    split = warm_up(load("ml-latest-small"), old_rows=60, min_rows=20, batch_rows=5)
    split.check()
    assert (split.train.height, split.train["user"].n_unique(), len(split.cold_users)) == (35080, 335, 962)
    tasks = lay_out(split.scenarios["warm_up"], split.interactions)
    assert (len(tasks), len(lay_out(split.validation, split.interactions))) == (770, 192)
    assert (tasks.support_mask.sum(axis=1) == 15).all()
    assert tasks.query_mask.sum() == 14453
    assert set(split.scenarios["warm_up"].ratings["item"]) <= set(split.train["item"])


@pytest.mark.data
def test_movielens_1m(data_root):
    data_root("ml-1m")
    split = warm_up(load("ml-1m"))
    split.check()
    assert (split.train["user"].n_unique(), len(split.cold_users)) == (1058, 1127)
    tasks = lay_out(split.scenarios["warm_up"], split.interactions)
    assert (len(tasks), tasks.support_mask.shape[1], int(tasks.query_mask.sum())) == (902, 60, 101062)
    assert len(lay_out(split.validation, split.interactions)) == 225


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (
            lambda s: replace(s, train=pl.concat([s.train, s.scenarios["warm_up"].ratings[:1]])),
            "a cold user's row is in",
        ),
        (lambda s: replace(s, cold_users=s.cold_users[:3]), "a user of warm_up is not among the cold users"),
        (lambda s: replace(s, scenarios={"warm_up": s.validation}), "a rating of validation is in validation"),
    ],
)
def test_a_planted_leak_is_caught(plant, message):
    with pytest.raises(LeakError, match=message):
        plant(warm_up(film_world(), **SMALL)).check()


def test_what_the_split_needs_is_told():
    with pytest.raises(ConfigError, match=r"wanted 0 < 3 \* batch_rows < min_rows < old_rows, got batch_rows=2, min_"):
        warm_up(film_world(), old_rows=9, min_rows=6, batch_rows=2)
    with pytest.raises(DataError, match="in the order of time needs timestamps"):
        warm_up(replace(film_world(), ratings=film_world().ratings.drop("timestamp")), **SMALL)
    with pytest.raises(DataError, match="The warm_up split of data leaves no rating to train on"):
        warm_up(film_world(), old_rows=90, min_rows=4, batch_rows=1)
