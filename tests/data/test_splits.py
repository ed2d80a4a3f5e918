from dataclasses import replace
from hashlib import sha256
from importlib.resources import files

import polars as pl
import pytest
from data.ratings import pairs, world
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metajax.data import Interactions, Scenario, Split, interactions_from_frame, load
from metajax.data.scenarios import hash_order
from metajax.data.splits import both_cold, item_cold, melu, tanp, temporal, user_cold
from metajax.errors import ConfigError, DataError, LeakError
from metajax.evaluation.protocols import sentence


def test_no_more_users_than_wanted_are_tested():
    """The first by their hash, in every scenario; who is trained on, and who is cold, stay as they are."""
    whole = user_cold(world(num_users=100, num_items=40))
    split = whole.limited(5)
    order = hash_order(whole.scenarios["user_cold"].task_users(), "user")
    assert len(order) > 5
    scenario = split.scenarios["user_cold"]
    assert scenario.task_users().to_list() == sorted(order.head(5))
    assert len(split.validation.task_users()) == 5
    assert contents(split) == contents(whole)
    assert f"Of {len(order)} users with enough ratings, the first 5" in sentence("user_cold", split.scenarios)
    assert sentence("user_cold", whole.limited(len(order)).scenarios).endswith("at most 100.")


def melu_world(seed: int) -> Interactions:
    """A world whose last ten users are on MeLU's list, and whose items are of 1985 to 2024."""
    interactions = world(seed)
    listed = files("metajax.data").joinpath("bundled/melu_cold_users.txt").read_text().split()
    cold = dict(zip(range(21, 31), map(int, listed), strict=False))
    rename = pl.col("user").replace(list(cold), list(cold.values()))
    warm = pl.when(pl.col("user") <= 20).then(pl.col("user") + 10_000).otherwise(rename)
    return replace(
        interactions,
        ratings=interactions.ratings.with_columns(user=warm),
        users=interactions.users.with_columns(user=warm).sort("user"),
        items=interactions.items.with_columns(year=pl.col("year") + 5),
    )


SPLITS = {
    "user_cold": (user_cold, world),
    "tanp": (tanp, lambda seed: world(seed, num_items=80)),
    "item_cold": (item_cold, world),
    "item_cold by year": (lambda data: item_cold(data, by="year"), world),
    "item_cold by first appearance": (lambda data: item_cold(data, by="first_appearance"), world),
    "both_cold": (both_cold, world),
    "temporal": (temporal, world),
    "melu": (melu, melu_world),
}
every_split = pytest.mark.parametrize(("split", "make"), SPLITS.values(), ids=SPLITS)


def shuffled(interactions: Interactions, seed: int) -> Interactions:
    mix = {"fraction": 1.0, "shuffle": True, "seed": seed}
    return replace(interactions, ratings=interactions.ratings.sample(**mix), items=interactions.items.sample(**mix))


def contents(split: Split) -> dict[str, set]:
    """All that a split says, whatever the order of rows."""
    scenarios = {name: pairs(scenario.ratings) for name, scenario in split.scenarios.items()}
    return scenarios | {
        "train": pairs(split.train),
        "meta_train": pairs(split.meta_train()),
        "validation": pairs(split.validation.ratings),
        "cold_users": set(split.cold_users),
        "cold_items": set(split.cold_items),
        "time": {split.time},
    }


@every_split
@settings(max_examples=8)
@given(seed=st.integers(0, 1000))
def test_nothing_leaks_and_the_order_of_rows_does_not_matter(split, make, seed):
    interactions = make(seed)
    made = split(interactions)
    made.check()
    train = pairs(made.train)
    for scenario in made.scenarios.values():
        rows = scenario.ratings
        tested = rows.filter(pl.col("timestamp") >= made.time) if made.time is not None else rows
        assert not train & pairs(tested)
        assert not pairs(made.validation.ratings) & pairs(tested)
        assert pairs(rows) <= pairs(interactions.ratings)
        assert rows.height
    assert not {user for user, _ in train} & set(made.cold_users)
    assert not {item for _, item in train} & set(made.cold_items)
    assert not {user for user, _ in pairs(made.meta_train())} & set(made.validation.ratings["user"])
    assert pairs(made.meta_train()) <= train
    assert contents(split(shuffled(interactions, seed))) == contents(made)


def by_hash(ids, prefix):
    return sorted(ids, key=lambda one: sha256(f"{prefix}:{one}".encode()).hexdigest())


@given(st.sets(st.integers() | st.text(max_size=3), max_size=20))
def test_hash_order_is_that_of_the_sha256(ids):
    texts = {str(one) for one in ids}
    assert hash_order(pl.Series("user", sorted(texts), pl.String), "user").to_list() == by_hash(texts, "user")


def test_hash_order_by_hand():
    """As sha256sum prints: user:1 has abc3..., user:2 0195..., user:3 4bb4..., user:4 96f0...."""
    assert hash_order(pl.Series("user", [3, 1, 4, 2, 2, 1]), "user").to_list() == [2, 3, 4, 1]


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), num_users=st.integers(11, 40))
@example(seed=0, num_users=90)  # 0.7 * 90 is less than 63 in floating point
def test_user_cold_by_hand(seed, num_users):
    """70/10/20 with the cuts rounded down, and rows on items that training does not know dropped before counting."""
    interactions = world(seed, num_users=num_users, density=0.4)
    split = user_cold(interactions)
    order = by_hash(set(interactions.ratings["user"]), "user")
    first, second = 7 * num_users // 10, 8 * num_users // 10
    rows = pairs(interactions.ratings)
    train = {row for row in rows if row[0] in order[:first]}
    known = {item for _, item in train}
    assert pairs(split.train) == train
    assert pairs(split.validation.ratings) == {r for r in rows if r[0] in order[first:second] and r[1] in known}
    tested = {row for row in rows if row[0] in order[second:] and row[1] in known}
    assert pairs(split.scenarios["user_cold"].ratings) == tested
    assert pairs(split.meta_train()) == train
    users = [user for user, _ in tested]
    assert split.scenarios["user_cold"].task_users().to_list() == sorted(
        user for user in set(users) if users.count(user) >= 13
    )
    scenario = split.scenarios["user_cold"]
    assert (scenario.query_rows, scenario.support_rows, scenario.draws) == (10, 100, 5)


@pytest.mark.parametrize(("num_rows", "query_rows"), [(1, 1), (2, 1), (5, 2), (12, 6), (13, 10)])
def test_short_histories_have_short_queries(num_rows, query_rows):
    """300 users with as many ratings each; where one is all there is, no task can be made."""
    rows = [(user, (user + item) % 20, 3.0) for user in range(300) for item in range(num_rows)]
    split = user_cold(interactions_from_frame(pl.DataFrame(rows, ["user", "item", "target"], orient="row")))
    scenario = split.scenarios["user_cold"]
    assert scenario.query_rows == split.validation.query_rows == query_rows
    assert len(scenario.task_users()) == (0 if num_rows == 1 else 60)
    assert f"the last {query_rows} of" in sentence("user_cold", split.scenarios)


def test_an_item_that_training_does_not_know_does_not_make_a_task():
    """A test user with 13 rows, one of them on an item that nobody in training rated, has 12 and no task."""
    order = by_hash(range(1, 11), "user")
    rows = [(user, item, 3.0) for user in order for item in range(13)]
    rows = [(user, 99 if user == order[9] and item == 0 else item, target) for user, item, target in rows]
    split = user_cold(interactions_from_frame(pl.DataFrame(rows, ["user", "item", "target"], orient="row")))
    assert split.scenarios["user_cold"].task_users().to_list() == [order[8]]


def test_ids_as_text_are_split_like_ids_as_numbers():
    interactions = world()
    text = interactions_from_frame(interactions.ratings.with_columns(pl.col("user").cast(pl.String)))
    assert set(user_cold(text).cold_users) == {str(user) for user in user_cold(interactions).cold_users}


def test_tanp_by_hand():
    interactions = world(3, num_users=60, num_items=80, density=0.4)
    counts = dict(interactions.ratings.group_by("user").len().iter_rows())
    inside = by_hash([user for user, count in counts.items() if 30 <= count <= 200], "user")
    assert len(inside) < len(counts)
    split = tanp(interactions)
    first, second = 7 * len(inside) // 10, 8 * len(inside) // 10
    assert set(split.train["user"]) == set(inside[:first])
    assert set(split.validation.ratings["user"]) == set(inside[first:second])
    scenario = split.scenarios["user_cold"]
    assert set(scenario.ratings["user"]) == set(inside[second:])
    assert (scenario.support_rows, scenario.query_rows, scenario.min_rows) == (20, None, 21)


@pytest.mark.parametrize("by", ["year", "first_appearance"])
def test_cold_items_are_the_newest(by):
    interactions = world(5)
    split = item_cold(interactions, by=by, share=0.25)
    value = dict(interactions.items.select("item", "year").iter_rows())
    if by == "first_appearance":
        value = dict(interactions.ratings.group_by("item").agg(pl.col("timestamp").min()).iter_rows())
    assert len(split.cold_items) == 10
    assert min(value[item] for item in split.cold_items) >= max(value[item] for item in set(split.train["item"]))
    assert set(split.scenarios) == {"item_cold"}


def test_an_item_of_unknown_year_stays_warm():
    interactions = world(5)
    items = interactions.items.with_columns(year=pl.when(pl.col("item") > 125).then("year"))
    split = item_cold(replace(interactions, items=items), by="year", share=0.2)
    assert split.cold_items.sort().to_list() == list(range(132, 140))


def test_both_cold_tests_three_states():
    split = both_cold(world(2), share=0.3)
    cold_users, cold_items = set(split.cold_users), set(split.cold_items)
    assert (len(cold_users), len(cold_items)) == (9, 12)
    for name, scenario in split.scenarios.items():
        for user, item in pairs(scenario.ratings):
            assert (user in cold_users, item in cold_items) == (name != "item_cold", name != "user_cold")
    assert set(split.scenarios) == {"user_cold", "item_cold", "both_cold"}


def test_temporal_by_hand():
    split = temporal(world(2), time=700)
    assert set(split.train["timestamp"] < 700) == {True}
    scenario = split.scenarios["temporal"]
    assert scenario.time == split.time == 700
    after = scenario.ratings.filter(pl.col("timestamp") >= 700)
    assert set(after["user"]) == set(scenario.ratings["user"])
    before = temporal(world(2), quantile=0.5)
    assert before.train.height == pytest.approx(world(2).ratings.height / 2, rel=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 7.0])
def test_shares_lie_between_nothing_and_everything(share):
    for make in (item_cold, both_cold):
        with pytest.raises(ConfigError, match=f"Got share={share}; a share of the data lies between 0 and 1"):
            make(world(), share=share)
    with pytest.raises(ConfigError, match=f"Got quantile={share}"):
        temporal(world(), quantile=share)


def test_a_share_that_leaves_nothing_cold_is_told():
    with pytest.raises(DataError, match="Of 30 items 0 would be cold"):
        item_cold(world(num_items=30), share=0.02)


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"min_rows": 0}])
def test_tasks_have_a_draw_and_a_rating(wrong):
    with pytest.raises(ConfigError, match="one draw or more, of users with one rating or more"):
        Scenario("user_cold", world().ratings, **wrong)


def test_what_a_split_needs_is_told():
    timeless = replace(world(), ratings=world().ratings.drop("timestamp"))
    with pytest.raises(DataError, match="A temporal split needs timestamps"):
        temporal(timeless)
    with pytest.raises(DataError, match="by first appearance needs timestamps"):
        item_cold(timeless, by="first_appearance")
    with pytest.raises(DataError, match=r"Items have no column 'yaer' to split by; they have \['item', 'title'"):
        item_cold(world(), by="yaer")
    with pytest.raises(DataError, match=r"None of MeLU's cold users is in data. Use ml-1m"):
        melu(replace(world(), ratings=world().ratings.with_columns(pl.col("user") + 10_000)))
    with pytest.raises(DataError, match="The melu split needs MovieLens-1M"):
        melu(replace(world(), items=world().items.drop("year")))
    with pytest.raises(DataError, match="The user_cold split of data leaves no rating to train on"):
        user_cold(world(num_users=1))
    with pytest.raises(DataError, match="The temporal split of data leaves no rating to train on"):
        temporal(world(), time=0)


LEAKS = {
    "a test row in training": (
        user_cold,
        lambda split: replace(split, train=pl.concat([split.train, split.scenarios["user_cold"].ratings.head(1)])),
        r"a cold user's row is in training: user \d+, item \d+ \(1 rows\)\. Build the split anew",
    ),
    "a validation row in training": (
        user_cold,
        lambda split: replace(split, train=pl.concat([split.train, split.validation.ratings.tail(2)])),
        "a cold user's row is in training",
    ),
    "a cold item in training": (
        item_cold,
        lambda split: replace(split, train=pl.concat([split.train, split.scenarios["item_cold"].ratings.head(1)])),
        "a cold item's row is in training",
    ),
    "a cold item in validation": (
        melu,
        lambda split: replace(
            split, validation=replace(split.validation, ratings=split.scenarios["item_cold"].ratings)
        ),
        "a cold item's row is in validation",
    ),
    "a cold user who is not declared": (
        user_cold,
        lambda split: replace(split, cold_users=split.cold_users.head(1)),
        "a user of user_cold is not among the cold users",
    ),
    "a warm item in a cold state": (
        both_cold,
        lambda split: replace(split, cold_items=split.cold_items.head(1)),
        "an item of item_cold is not among the cold items",
    ),
    "a validation user who is tested": (
        user_cold,
        lambda split: replace(
            split, validation=replace(split.validation, ratings=split.scenarios["user_cold"].ratings.head(1))
        ),
        "a rating of user_cold is in validation",
    ),
    "other rows of a validation user tested": (
        user_cold,
        lambda split: replace(
            split,
            scenarios={"user_cold": Scenario("user_cold", split.validation.ratings.tail(1))},
            validation=replace(split.validation, ratings=split.validation.ratings.head(-1)),
        ),
        "a validation user is a test user of user_cold",
    ),
    "a row after the time point": (
        temporal,
        lambda split: replace(split, time=(split.time or 0) - 100),
        r"a row of training is not before the time point",
    ),
    "a query row in training": (
        temporal,
        lambda split: replace(split, time=None, train=split.interactions.ratings),
        "a rating of temporal is in training",
    ),
}


@pytest.mark.parametrize(("make", "plant", "message"), LEAKS.values(), ids=LEAKS)
def test_a_planted_leak_is_caught(make, plant, message):
    split = make(melu_world(4) if make is melu else world(4))
    split.check()
    with pytest.raises(LeakError, match=message):
        plant(split).check()


def test_the_bundled_ratings_split():
    split = user_cold(load("ml-latest-small"))
    split.check()
    assert len(split.cold_users) == 610 - 427
    assert len(split.scenarios["user_cold"].task_users()) == 122
    assert len(split.validation.task_users()) == 61


@pytest.mark.data
def test_melu_gives_every_rating_the_published_state(data_root):
    folder = data_root("ml-1m")
    if not (folder / "melu_split.parquet").is_file():
        pytest.skip("needs melu_split.parquet of the MeLU repository beside MovieLens-1M")
    published = pl.read_parquet(folder / "melu_split.parquet").cast(
        {"user": pl.Int64, "item": pl.Int64, "state": pl.String}
    )
    split = melu(load("ml-1m"))
    split.check()
    ours = pl.concat(
        [split.train.select("user", "item", ours=pl.lit("warm"))]
        + [scenario.ratings.select("user", "item", ours=pl.lit(name)) for name, scenario in split.scenarios.items()]
    )
    assert ours.height == published.height == 1_000_209
    both = published.join(ours, on=["user", "item"], validate="1:1")
    assert both.height == published.height
    assert both.filter(pl.col("state") != pl.col("ours")).height == 0
    assert len(split.cold_items) == 740
    warm = Scenario("warm", split.train, min_rows=13, max_rows=100)
    counts = {name: len(scenario.task_users()) for name, scenario in split.scenarios.items()}
    assert len(warm.task_users()) == 2653
    assert counts == {"user_cold": 668, "item_cold": 2863, "both_cold": 723}
    assert {scenario.draws for scenario in split.scenarios.values()} == {10}
    users = set(split.train["user"])
    assert set(split.validation.ratings["user"]) == set(by_hash(users, "validation")[: len(users) // 5])
