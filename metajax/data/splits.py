"""Splits: who is cold, by each of the protocols. What a split is: `metajax.data.scenarios`."""

from dataclasses import replace
from functools import partial
from importlib.resources import files

import polars as pl

from metajax.data.interactions import Interactions
from metajax.data.scenarios import Scenario, Split, hash_order, not_of, not_of_items, of, of_items
from metajax.errors import ConfigError, DataError

MELU_FIRST_COLD_YEAR = 1998
ENOUGH_USERS = 20


def user_cold(interactions: Interactions, *, draws: int = 5) -> Split:
    """Hold out users: by the hash of "user:<id>", the first 70 % train, the next 10 % validate, the last 20 % test.

    Cuts are rounded down. The items are those of training users: rows on others are dropped from validation and test
    before a user's rows are counted. Test tasks: 13 rows or more, query the last 10, support at most 100. Where fewer
    than 20 users to validate or to test have so many, and the median training user has not, the query is half of what
    that one has, and tasks have a row more than the query, or more.
    """
    ratings = interactions.ratings
    train_users, validation_users, test_users = cut_users(hash_order(ratings["user"], "user"))
    train = of(ratings, train_users)
    known = of_items(ratings, train["item"].unique())
    scenarios = {
        name: Scenario(name, of(known, users), draws=draws)
        for name, users in {"validation": validation_users, "user_cold": test_users}.items()
    }
    median = int(train.group_by("user").len()["len"].median() or 0)  # pyright: ignore[reportArgumentType]
    if median < 13 and min(len(one.task_users()) for one in scenarios.values()) < ENOUGH_USERS:
        query_rows = max(median // 2, 1)
        shorter = partial(replace, query_rows=query_rows, min_rows=query_rows + 1)
        scenarios = {name: shorter(one) for name, one in scenarios.items()}
    return Split(
        name="user_cold",
        interactions=interactions,
        train=train,
        validation=scenarios.pop("validation"),
        scenarios=scenarios,
        cold_users=pl.concat([validation_users, test_users]),
        cold_items=pl.Series("item", [], ratings["item"].dtype),
    )


def tanp(interactions: Interactions, *, draws: int = 5) -> Split:
    """Split as TaNP does: users with 30 to 200 ratings, 70/10/20; 20 rows are the support, all others the query.

    References:
        Lin et al., 2021, "Task-adaptive neural process for user cold-start recommendation", section 5.1.
        https://arxiv.org/abs/2103.06137
    """
    counts = interactions.ratings.group_by("user").len().filter(pl.col("len").is_between(30, 200))
    inside = replace(interactions, ratings=of(interactions.ratings, counts["user"]))
    split = user_cold(inside, draws=draws)
    shape = {"min_rows": 21, "query_rows": None, "support_rows": 20}
    return replace(
        split,
        name="tanp",
        interactions=interactions,
        validation=replace(split.validation, **shape),
        scenarios={"user_cold": replace(split.scenarios["user_cold"], **shape)},
    )


def melu(interactions: Interactions) -> Split:
    """Split MovieLens-1M as MeLU published it: 1,208 listed cold users, cold items released in 1998 or later.

    Tasks have 13 to 100 ratings in their state, 10 of them the query; ten draws. Training may use all warm ratings; for
    validation, of three draws, a fifth of the warm users is held out, the first by the hash of "validation:<id>".

    Raises:
        DataError: if the items have no column "year", or none of the listed users is there.

    References:
        Lee et al., 2019, section 5.1. https://arxiv.org/abs/1908.00413
    """
    if "year" not in interactions.items.columns or interactions.users["user"].dtype != pl.Int64:
        raise DataError("The melu split needs MovieLens-1M: integer user ids and a column `year` of items. Use ml-1m.")
    listed = files("metajax.data").joinpath("bundled/melu_cold_users.txt").read_text(encoding="utf-8").split()
    cold_users = pl.Series("user", [int(one) for one in listed])
    ratings = interactions.ratings
    if of(ratings, cold_users).is_empty():
        raise DataError(f"None of MeLU's cold users is in {interactions.name}. Use ml-1m.")
    new = interactions.items.filter(pl.col("year") >= MELU_FIRST_COLD_YEAR)["item"]
    cold_items = new.filter(new.is_in(ratings["item"].unique().implode()))
    warm_users = not_of(ratings, cold_users)
    train = not_of_items(warm_users, cold_items)
    order = hash_order(train["user"], "validation")
    tasks = partial(Scenario, min_rows=13, max_rows=100, draws=10)
    states = {
        "user_cold": not_of_items(of(ratings, cold_users), cold_items),
        "item_cold": of_items(warm_users, cold_items),
        "both_cold": of_items(of(ratings, cold_users), cold_items),
    }
    return Split(
        name="melu",
        interactions=interactions,
        train=train,
        validation=tasks("validation", of(train, order.head(len(order) // 5)), draws=3),
        scenarios={name: tasks(name, rows) for name, rows in states.items()},
        cold_users=cold_users,
        cold_items=cold_items,
    )


def item_cold(interactions: Interactions, *, by: str = "hash", share: float = 0.2, draws: int = 5) -> Split:
    """Hold out items; their raters stay warm.

    Args:
        interactions: the data.
        by: "hash" (of "item:<id>"), "first_appearance" (the newest items by first rating), or a column of the item
            table, such as "year", of which the highest values are cold.
        share: of the rated items that are cold.
        draws: of every task's rows.

    Raises:
        ConfigError: if `share` is not between 0 and 1.
        DataError: if there is no such column, or no timestamp to know the first appearance by.
    """
    cold_items = _cold_items(interactions, by, share)
    return _cold(
        interactions, "item_cold", pl.Series("user", [], interactions.ratings["user"].dtype), cold_items, draws
    )


def both_cold(interactions: Interactions, *, by: str = "hash", share: float = 0.2, draws: int = 5) -> Split:
    """Hold out the last `share` of users by the hash of "user:<id>", and of items; test all three cold states.

    Arguments and errors are those of `item_cold`.
    """
    _check_share("share", share)
    users = hash_order(interactions.ratings["user"], "user")
    cold_users = users.tail(int(share * len(users)))
    return _cold(interactions, "both_cold", cold_users, _cold_items(interactions, by, share), draws)


def temporal(interactions: Interactions, *, quantile: float = 0.8, time: int | None = None) -> Split:
    """Split at a time point: a task's support is what the user did before it, the query what came after.

    Args:
        interactions: the data, with timestamps.
        quantile: of all timestamps, where the point lies.
        time: the point itself, in seconds; overrides `quantile`.

    Raises:
        ConfigError: if `quantile` is not between 0 and 1.
        DataError: if there are no timestamps.
    """
    _check_share("quantile", quantile)
    ratings = interactions.ratings
    if "timestamp" not in ratings.columns:
        raise DataError("A temporal split needs timestamps. Name their column, or split by user_cold.")
    if time is None:
        time = int(ratings["timestamp"].quantile(quantile) or 0)
    train = ratings.filter(pl.col("timestamp") < time)
    known = of_items(ratings, train["item"].unique())
    active = known.filter(pl.col("timestamp") >= time)["user"].unique()
    shape = {"min_rows": 2, "query_rows": None, "draws": 1}
    scenario = Scenario("temporal", of(known, active), arrangement="time", time=time, **shape)
    order = hash_order(train["user"], "validation")
    validation = Scenario("validation", of(train, order.head(len(order) // 10)), draws=1)
    none = {side: pl.Series(side, [], ratings[side].dtype) for side in ("user", "item")}
    return Split(
        "temporal", interactions, train, validation, {"temporal": scenario}, none["user"], none["item"], time=time
    )


def _cold(interactions: Interactions, name: str, cold_users: pl.Series, cold_items: pl.Series, draws: int) -> Split:
    ratings = interactions.ratings
    train = not_of_items(not_of(ratings, cold_users), cold_items)
    known = of_items(ratings, train["item"].unique())
    states = {
        "user_cold": of(known, cold_users),
        "item_cold": of_items(not_of(ratings, cold_users), cold_items),
        "both_cold": of_items(of(ratings, cold_users), cold_items),
    }
    if train.is_empty() or not len(cold_items):
        raise DataError(
            f"Of {ratings['item'].n_unique()} items {len(cold_items)} would be cold, and {train.height} ratings left "
            "to train on. Choose another share, or use more data."
        )
    order = hash_order(train["user"], "validation")
    return Split(
        name=name,
        interactions=interactions,
        train=train,
        validation=Scenario("validation", of(train, order.head(len(order) // 10)), draws=draws),
        scenarios={state: Scenario(state, rows, draws=draws) for state, rows in states.items() if rows.height},
        cold_users=cold_users,
        cold_items=cold_items,
    )


def _cold_items(interactions: Interactions, by: str, share: float) -> pl.Series:
    _check_share("share", share)
    ratings = interactions.ratings
    if by == "hash":
        order = hash_order(ratings["item"], "item")
    else:
        if by == "first_appearance":
            if "timestamp" not in ratings.columns:
                raise DataError("Splitting items by first appearance needs timestamps. Use by='hash'.")
            values = ratings.group_by("item").agg(pl.col("timestamp").min().alias("value"))
        elif by in interactions.items.columns:
            values = interactions.items.select("item", value=by).join(
                ratings.select("item").unique(), on="item", how="semi"
            )
        else:
            raise DataError(f"Items have no column {by!r} to split by; they have {interactions.items.columns}.")
        order = values.sort("value", "item", nulls_last=False)["item"]
    return order.tail(int(share * len(order)))


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise ConfigError(f"Got {name}={share}; a share of the data lies between 0 and 1, such as {name}=0.2.")


def cut_users(users: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Cut ordered users into the first 70 % (training), the next 10 % (validation) and the rest, rounded down."""
    first, second = 7 * len(users) // 10, 8 * len(users) // 10  # 0.7 * 90 is less than 63
    return users[:first], users[first:second], users[second:]
