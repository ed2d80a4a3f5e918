"""The warm-up split: tasks are items, and what warms a cold item up are its first three batches of ratings.

The phases cold, a, b and c are the k-shot curve at k = 0, one, two and three batches, on one query.

References:
    Pan et al., 2019, "Warm up cold-start advertisements", experiments. https://arxiv.org/abs/1904.11547
    Zhu et al., 2021, "Learning to warm up cold item embeddings", experiments. https://arxiv.org/abs/2105.04790
"""

from functools import partial
from typing import Literal

import polars as pl

from metajax.data.interactions import Interactions
from metajax.data.scenarios import Scenario, Split, hash_order
from metajax.errors import ConfigError, DataError

PHASES = 3


def warm_up(
    interactions: Interactions,
    *,
    old_rows: int = 300,
    min_rows: int = 80,
    batch_rows: int = 20,
    order: Literal["time", "hash"] = "time",
) -> Split:
    """Train on old items, and warm up new ones by their first batches of ratings.

    An item is old with `old_rows` ratings or more, new with fewer but at least `min_rows`; others are left out. Of the
    new items the first fifth by the hash of "validation:<id>" validates, the others are tested. Rows of raters whom no
    old item has are dropped from both. An item's first three batches are the support, all its later rows the query.

    Args:
        interactions: the data, a row per user and item.
        old_rows: fewest ratings of an old item; the defaults give 1,058 old and 1,127 new items of MovieLens-1M.
        min_rows: fewest ratings of a new item, before any are dropped.
        batch_rows: rows of a batch.
        order: "time": batches in the order of time, one draw; "hash": in five draws of the hash order (see protocols).

    Returns:
        A split of `interactions.transpose()`: its "users" are the items, and its "items" the raters.

    Raises:
        ConfigError: if a new item would not have more rows than three batches, or no item could be new.
        DataError: if there are no timestamps to order by, or no item is old.
    """
    if not 0 < PHASES * batch_rows < min_rows < old_rows:
        raise ConfigError(
            f"A new item has three batches and a query, and fewer rows than an old one: wanted 0 < {PHASES} * "
            f"batch_rows < min_rows < old_rows, got {batch_rows=}, {min_rows=}, {old_rows=}."
        )
    if order == "time" and "timestamp" not in interactions.ratings.columns:
        raise DataError("Warming up in the order of time needs timestamps. Name their column, or use order='hash'.")
    turned = interactions.transpose()
    counts = turned.ratings.group_by("user").len()
    train = _of(turned.ratings, counts.filter(pl.col("len") >= old_rows)["user"])
    new = hash_order(counts.filter(pl.col("len").is_between(min_rows, old_rows - 1))["user"], "validation")
    known = turned.ratings.join(train.select("item").unique(), on="item", how="semi", maintain_order="left")
    tasks = partial(
        Scenario,
        min_rows=PHASES * batch_rows + 1,
        query_rows=None,
        support_rows=PHASES * batch_rows,
        draws=1 if order == "time" else 5,
        arrangement="oldest_first" if order == "time" else "hash",
    )
    held_out = len(new) // 5
    return Split(
        name="warm_up",
        interactions=turned,
        train=train,
        validation=tasks("validation", _of(known, new[:held_out])),
        scenarios={"warm_up": tasks("warm_up", _of(known, new[held_out:]))},
        cold_users=new,
        cold_items=pl.Series("item", [], turned.ratings["item"].dtype),
    )


def _of(ratings: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    return ratings.join(users.to_frame("user"), on="user", how="semi", maintain_order="left")
