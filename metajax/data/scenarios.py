"""What a split is: the rows that may be trained on, the test states, and a proof that nothing leaks.

How a task's rows become support and query is the protocol's part (`metajax.evaluation.protocols`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

import polars as pl

from metajax.data.interactions import Interactions
from metajax.errors import ConfigError, DataError, LeakError

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
        rows = not_of(self.train, self.validation.ratings["user"].unique())
        return not_of_items(rows, self._hidden_items()) if self.holds_out_items else rows

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
        rows = of_items(self.train, self._hidden_items())
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
        _refuse(of(self.train, self.cold_users), "a cold user's row is in training")
        for place, rows in seen.items():
            _refuse(of_items(rows, self.cold_items), f"a cold item's row is in {place}")
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
            _refuse(not_of(tested, self.cold_users), f"a user of {name} is not among the cold users")
            _refuse(of(tested, self.validation.ratings["user"].unique()), f"a validation user is a test user of {name}")
        if name in ("item_cold", "both_cold"):
            _refuse(not_of_items(tested, self.cold_items), f"an item of {name} is not among the cold items")


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


def _keep(column: str, how: Literal["semi", "anti"]) -> Callable[[pl.DataFrame, pl.Series], pl.DataFrame]:
    return lambda ratings, ids: ratings.join(ids.to_frame(column), on=column, how=how, maintain_order="left")


of, not_of, of_items, not_of_items = (
    _keep("user", "semi"),
    _keep("user", "anti"),
    _keep("item", "semi"),
    _keep("item", "anti"),
)
