"""Splits: which ratings may be trained on, who is cold, and a proof that nothing leaks.

A `Split` says which rows make the tasks of each scenario; how a task's rows become support and query is the
protocol's part (`metajax.evaluation.protocols`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from importlib.resources import files
from typing import Literal

import polars as pl

from metajax.data.interactions import Interactions
from metajax.errors import ConfigError, DataError, LeakError

MELU_FIRST_COLD_YEAR = 1998
ENOUGH_USERS = 20
Arrangement = Literal["hash", "time", "oldest_first", "domain"]


@dataclass(frozen=True)
class Scenario:
    """The tasks of one test state: users with min_rows..max_rows of these ratings.

    Attributes:
        name: such as "user_cold".
        ratings: the rows that support and query come from.
        min_rows: fewest rows of a task's user; for "domain", in each of the two.
        max_rows: most rows, or None.
        query_rows: rows at the end of the order that are the query; None: all that `support_rows` leaves.
        support_rows: most rows of the support.
        draws: how many orders are drawn.
        arrangement: "hash": the order is drawn (see protocols); "time": the support is what came before `time`;
            "oldest_first": the order is that of time, in one draw; "domain": the order is drawn, and the support is
            what lies in the first of `domains`, the query what lies in the second.
        time: for "time", seconds; rows at or after it are the query.
        domains: for "domain", (source, target).
        most_users: tasks are of no more users than this: the first by the hash of "user:<id>"; None: of all.
    """

    name: str
    ratings: pl.DataFrame
    min_rows: int = 13
    max_rows: int | None = None
    query_rows: int | None = 10
    support_rows: int = 100
    draws: int = 5
    arrangement: Arrangement = "hash"
    time: int | None = None
    domains: tuple[str, str] | None = None
    most_users: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.draws < 1 or self.min_rows < 1:
            raise ConfigError(
                f"Tasks have one draw or more, of users with one rating or more; got draws={self.draws} and "
                f"min_rows={self.min_rows}."
            )

    def task_users(self) -> pl.Series:
        """Return the users that tasks are of, sorted: of those with as many rows as a task needs, `most_users`."""
        users = self.eligible_users()
        if self.most_users is None or len(users) <= self.most_users:
            return users
        return hash_order(users, "user").head(self.most_users).sort()

    def eligible_users(self) -> pl.Series:
        """Return the users that have as many rows as a task needs, sorted."""
        most = self.max_rows if self.max_rows is not None else self.ratings.height
        count = pl.min_horizontal((pl.col("domain") == one).sum() for one in self.domains) if self.domains else pl.len()
        rows = (
            self.ratings.group_by("user").agg(count.alias("len")).filter(pl.col("len").is_between(self.min_rows, most))
        )
        return rows["user"].sort()


@dataclass(frozen=True)
class Split:
    """Who may be trained on, and who is cold.

    Attributes:
        name: the protocol's.
        interactions: all ratings and tables.
        train: every rating that the final fit may use.
        validation: tasks for model selection; of users inside `train` (melu) or of users of their own (user_cold).
        scenarios: the test states, by name.
        cold_users: users that training must not know.
        cold_items: items that training must not know.
        time: no training row may be at or after it, or None.
        holds_out_items: `meta_train` leaves out the rows of `validation_items` too.
    """

    name: str
    interactions: Interactions
    train: pl.DataFrame
    validation: Scenario
    scenarios: dict[str, Scenario]
    cold_users: pl.Series
    cold_items: pl.Series
    time: int | None = None
    holds_out_items: bool = False

    def __post_init__(self) -> None:
        if self.train.is_empty():
            raise DataError(
                f"The {self.name} split of {self.interactions.name} leaves no rating to train on. "
                "Hold out less, or use more data."
            )

    def meta_train(self) -> pl.DataFrame:
        """Return the training rows without those of validation users and, if they are held out, validation items."""
        rows = _not_of(self.train, self.validation.ratings["user"].unique())
        return _not_of_items(rows, self._hidden_items()) if self.holds_out_items else rows

    def limited(self, most_users: int | None) -> "Split":
        """Make tasks of no more users than this, in every scenario and in validation."""
        scenarios = {name: replace(one, most_users=most_users) for name, one in self.scenarios.items()}
        return replace(self, scenarios=scenarios, validation=replace(self.validation, most_users=most_users))

    def held_out(self) -> "Split":
        """Hold validation items out of `meta_train` as well, for what is selected for cold items."""
        return replace(self, holds_out_items=True)

    @property
    def validation_items(self) -> Scenario:
        """Tasks of training users on a fifth of the training items, the first by the hash of "validation-item:<id>".

        One draw: training validates many times, and there are as many tasks as training users.
        """
        rows = _of_items(self.train, self._hidden_items())
        return replace(self.validation, name="validation_items", ratings=rows, draws=1)

    def _hidden_items(self) -> pl.Series:
        order = hash_order(self.train["item"], "validation-item")
        return order.head(len(order) // 5)

    def check(self) -> None:
        """Prove that nothing of a test state is in training.

        Raises:
            LeakError: naming what leaked.
        """
        seen = {"training": self.train, "validation": self.validation.ratings}
        _refuse(_of(self.train, self.cold_users), "a cold user's row is in training")
        for place, rows in seen.items():
            _refuse(_of_items(rows, self.cold_items), f"a cold item's row is in {place}")
            if self.time is not None:
                _refuse(rows.filter(pl.col("timestamp") >= self.time), f"a row of {place} is not before the time point")
        for scenario in self.scenarios.values():
            self._check_scenario(scenario, seen)

    def _check_scenario(self, scenario: Scenario, seen: dict[str, pl.DataFrame]) -> None:
        """Compare one test state with the rows that training and validation have seen."""
        name, tested = scenario.name, scenario.ratings
        if scenario.arrangement == "time":
            tested = tested.filter(pl.col("timestamp") >= scenario.time)
        for place, rows in seen.items():
            _refuse(rows.join(tested, on=["user", "item"], how="semi"), f"a rating of {name} is in {place}")
        if scenario.domains is not None:
            _refuse(
                tested.filter(pl.col("domain").is_in(scenario.domains).not_()), f"a row of {name} is in neither domain"
            )
        if name in ("user_cold", "both_cold", "warm_up", "cross_domain"):
            _refuse(_not_of(tested, self.cold_users), f"a user of {name} is not among the cold users")
            _refuse(
                _of(tested, self.validation.ratings["user"].unique()), f"a validation user is a test user of {name}"
            )
        if name in ("item_cold", "both_cold"):
            _refuse(_not_of_items(tested, self.cold_items), f"an item of {name} is not among the cold items")


def _refuse(leaked: pl.DataFrame, what: str) -> None:
    if not leaked.is_empty():
        first = leaked.select("user", "item").row(0)
        raise LeakError(f"{what}: user {first[0]!r}, item {first[1]!r} ({leaked.height} rows). Build the split anew.")


def hash_order(ids: pl.Series, prefix: str) -> pl.Series:
    """Order distinct ids by the hexadecimal sha256 of `prefix:<id>`, ascending, whatever order they came in."""
    distinct = ids.unique().to_list()
    return pl.Series(
        ids.name, sorted(distinct, key=lambda one: sha256(f"{prefix}:{one}".encode()).hexdigest()), ids.dtype
    )


def user_cold(interactions: Interactions, *, draws: int = 5) -> Split:
    """Hold out users: by the hash of "user:<id>", the first 70 % train, the next 10 % validate, the last 20 % test.

    Cuts are rounded down. The items are those of training users: rows on others are dropped from validation and test
    before a user's rows are counted. Test tasks: 13 rows or more, query the last 10, support at most 100. Where fewer
    than 20 users to validate or to test have so many, and the median training user has not, the query is half of what
    that one has, and tasks have a row more than the query, or more.
    """
    ratings = interactions.ratings
    train_users, validation_users, test_users = cut_users(hash_order(ratings["user"], "user"))
    train = _of(ratings, train_users)
    known = _of_items(ratings, train["item"].unique())
    scenarios = {
        name: Scenario(name, _of(known, users), draws=draws)
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
    inside = replace(interactions, ratings=_of(interactions.ratings, counts["user"]))
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
    if _of(ratings, cold_users).is_empty():
        raise DataError(f"None of MeLU's cold users is in {interactions.name}. Use ml-1m.")
    new = interactions.items.filter(pl.col("year") >= MELU_FIRST_COLD_YEAR)["item"]
    cold_items = new.filter(new.is_in(ratings["item"].unique().implode()))
    warm_users = _not_of(ratings, cold_users)
    train = _not_of_items(warm_users, cold_items)
    order = hash_order(train["user"], "validation")
    tasks = partial(Scenario, min_rows=13, max_rows=100, draws=10)
    states = {
        "user_cold": _not_of_items(_of(ratings, cold_users), cold_items),
        "item_cold": _of_items(warm_users, cold_items),
        "both_cold": _of_items(_of(ratings, cold_users), cold_items),
    }
    return Split(
        name="melu",
        interactions=interactions,
        train=train,
        validation=tasks("validation", _of(train, order.head(len(order) // 5)), draws=3),
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
    known = _of_items(ratings, train["item"].unique())
    active = known.filter(pl.col("timestamp") >= time)["user"].unique()
    shape = {"min_rows": 2, "query_rows": None, "draws": 1}
    scenario = Scenario("temporal", _of(known, active), arrangement="time", time=time, **shape)
    order = hash_order(train["user"], "validation")
    validation = Scenario("validation", _of(train, order.head(len(order) // 10)), draws=1)
    none = {side: pl.Series(side, [], ratings[side].dtype) for side in ("user", "item")}
    return Split(
        "temporal", interactions, train, validation, {"temporal": scenario}, none["user"], none["item"], time=time
    )


def _cold(interactions: Interactions, name: str, cold_users: pl.Series, cold_items: pl.Series, draws: int) -> Split:
    ratings = interactions.ratings
    train = _not_of_items(_not_of(ratings, cold_users), cold_items)
    known = _of_items(ratings, train["item"].unique())
    states = {
        "user_cold": _of(known, cold_users),
        "item_cold": _of_items(_not_of(ratings, cold_users), cold_items),
        "both_cold": _of_items(_of(ratings, cold_users), cold_items),
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
        validation=Scenario("validation", _of(train, order.head(len(order) // 10)), draws=draws),
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


def _keep(column: str, how: Literal["semi", "anti"]) -> Callable[[pl.DataFrame, pl.Series], pl.DataFrame]:
    return lambda ratings, ids: ratings.join(ids.to_frame(column), on=column, how=how, maintain_order="left")


_of, _not_of, _of_items, _not_of_items = (
    _keep("user", "semi"),
    _keep("user", "anti"),
    _keep("item", "semi"),
    _keep("item", "anti"),
)
