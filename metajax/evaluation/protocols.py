"""Protocols: how a scenario's ratings become tasks, in draws that anyone can repeat in any language."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Literal

import numpy as np
import polars as pl

from metajax.data import Interactions, Scenario
from metajax.errors import TaskError
from metajax.tasks.taskset import TaskSet

SENTENCES = {
    "melu": "MovieLens-1M as MeLU split it. Users with 13 to 100 ratings in the state; the query is the last 10 of "
    "each draw's order (sha256 of draw:user:item), the support all the rest.",
    "user_cold": "Users in the order of sha256 of user:<id>: 70 % train, 10 % validate, 20 % are tested. The query is "
    "the last 10 of each draw's order (sha256 of draw:user:item), the support the first of the rest, at most 100.",
    "tanp": "Users with 30 to 200 ratings, split as in user_cold. The first 20 rows of each draw's order are the "
    "support, all others the query.",
    "item_cold": "A share of the items is held out of training. Tasks are users on these items; the query is the last "
    "10 of each draw's order.",
    "both_cold": "Shares of users and of items are held out of training. Tasks lie in each of the three cold states; "
    "the query is the last 10 of each draw's order.",
    "temporal": "The support is what a user rated before a point in time, the query what came at or after it. All "
    "training rows are before it.",
    "cross_domain": "Users with ratings in both domains, in the order of sha256 of user:<id>: 70 % train, 10 % "
    "validate, 20 % are tested. The support is what a user rated in the source domain, at most 100 rows, the first of "
    "each draw's order (sha256 of draw:user:item); the query is all that the user rated in the target domain.",
    "warm_up": "Tasks are items, their rows the users who rated them; old items, those of many ratings, train. A new "
    "item's first three batches of ratings are the support, all later ones the query. Cold, a, b and c are a support "
    "of no, one, two and three batches; three are the full support.",
}


def sentence(name: str, scenarios: Mapping[str, Scenario]) -> str:
    """Say what a protocol does; data of short histories have shorter queries, data of many users untested ones."""
    said, rows = SENTENCES[name], next(iter(scenarios.values())).query_rows
    if rows:
        said = said.replace("last 10", f"last {rows}")
    for scenario, one in scenarios.items():
        eligible, most = len(one.eligible_users()), one.most_users
        where = f" in {scenario}" if len(scenarios) > 1 else ""
        if most is not None and eligible > most:
            said += f" Of {eligible:,} users with enough ratings{where}, the first {most:,} in the order of sha256 "
            said += "are measured."
    return said


def lay_out(scenario: Scenario, interactions: Interactions) -> TaskSet:
    """Turn a scenario into tasks, all draws of it, whatever the order of its rows.

    In draw d a user's ratings are ordered by the hexadecimal sha256 of the UTF-8 text `d:user:item`; the query is at
    the end (or, with no `query_rows`, what the first `support_rows` leave), the k-shot support the first k of the rest.
    Across domains the query is what lies in the target domain, and the support the first rows in the source domain.

    Raises:
        TaskError: if no user has enough rows.
    """
    users = scenario.task_users()
    if users.is_empty():
        raise TaskError(
            f"No user has {scenario.min_rows} to {scenario.max_rows or 'any number of'} ratings in {scenario.name}. "
            "The data are too small for this split."
        )
    rows = scenario.ratings.join(users.to_frame("user"), on="user", how="semi")
    user, item, target = interactions.positions(rows)
    if scenario.arrangement == "time":
        return _by_time(scenario, rows, user, item, target)
    in_source = (rows["domain"] == scenario.domains[0]).to_numpy() if scenario.domains else None
    tasks = []
    for draw in range(scenario.draws):
        order = np.lexsort((*_within(scenario, rows, draw), user))
        bounds = np.flatnonzero(np.diff(user[order])) + 1
        tasks += [(draw, *_cut(scenario, one, in_source)) for one in np.split(order, bounds)]
    return _pad(scenario.name, tasks, user, item, target)


def _within(scenario: Scenario, rows: pl.DataFrame, draw: int) -> tuple[np.ndarray, ...]:
    """Return `[rows]` keys that order the rows of one user, the most important last, as for `np.lexsort`."""
    if scenario.arrangement == "oldest_first":
        return rows["item"].rank("dense").to_numpy(), rows["timestamp"].to_numpy()
    names = zip(rows["user"], rows["item"], strict=True)
    return (np.array([sha256(f"{draw}:{one}:{other}".encode()).hexdigest() for one, other in names], "S64"),)


def _cut(scenario: Scenario, order: np.ndarray, in_source: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Split one user's ordered rows into support and query; `in_source` tells of all rows whether they are there."""
    if in_source is not None:
        return order[in_source[order]][: scenario.support_rows], order[~in_source[order]]
    if scenario.query_rows is None:
        return order[: scenario.support_rows], order[scenario.support_rows :]
    rest = order[: -scenario.query_rows]
    return rest[: scenario.support_rows], order[-scenario.query_rows :]


def _by_time(scenario: Scenario, rows: pl.DataFrame, user: np.ndarray, item: np.ndarray, target: np.ndarray) -> TaskSet:
    """Support before the time point, the newest `support_rows` of it, newest first; query at or after it."""
    time = rows["timestamp"].to_numpy()
    order = np.lexsort((item, time, user))
    tasks = []
    for one in np.split(order, np.flatnonzero(np.diff(user[order])) + 1):
        before = one[time[one] < scenario.time]
        query = one[time[one] >= scenario.time]
        if len(query):
            tasks.append((0, before[::-1][: scenario.support_rows], query))
    return _pad(scenario.name, tasks, user, item, target)


def _pad(
    name: str,
    tasks: list[tuple[int, np.ndarray, np.ndarray]],
    user: np.ndarray,
    item: np.ndarray,
    target: np.ndarray,
) -> TaskSet:
    """Pad lists of row positions to arrays."""

    def padded(part: Literal[1, 2]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lists = [task[1] if part == 1 else task[2] for task in tasks]
        lengths = np.array([len(one) for one in lists])
        mask = np.arange(max(1, lengths.max())) < lengths[:, None]
        rows = np.zeros(mask.shape, np.int64)
        rows[mask] = np.concatenate(lists)
        return (item[rows] * mask).astype(np.int32), (target[rows] * mask).astype(np.float32), mask.astype(np.float32)

    return TaskSet(
        name,
        np.array([task[0] for task in tasks], np.int32),
        np.array([user[task[2][0]] for task in tasks], np.int32),
        *padded(1),
        *padded(2),
    )
