"""The cross-domain split: support from one domain, query from the other, of users that training does not know."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import polars as pl
import pytest
from data.ratings import pairs, world

from metajax.data import Interactions, interactions_from_frame, load
from metajax.data.cross_domain import cross_domain
from metajax.data.scenarios import hash_order
from metajax.errors import ConfigError, DataError, LeakError
from metajax.evaluation.protocols import lay_out

BOTH = {"source": "book", "target": "music"}


def two_domains(num_users: int = 20) -> Interactions:
    """Users 0 to 19 rated book 0 to 8 and music 0 to 6 less one each; 100 books only; all but 3 a film; 200 music only.

    Users from 14 on, in the order of the hash, also rated book:new, which no training user did.
    """
    rows = [(user, f"book:{one}", "book") for user in range(num_users) for one in range(9) if one != user % 9]
    rows += [(user, f"music:{one}", "music") for user in range(num_users) for one in range(7) if one != user % 7]
    rows += [(user, "film:0", "film") for user in range(num_users) if user != 3]
    rows += [(100, "book:1", "book"), (100, "film:0", "film"), (200, "music:1", "music")]
    rows += [(user, "book:new", "book") for user in shared(num_users)[14:]]
    frame = pl.DataFrame(rows, ["user", "item", "domain"], orient="row").with_columns(target=pl.lit(3.0))
    return interactions_from_frame(frame.sample(fraction=1.0, shuffle=True, seed=0), domain="domain", scale=(1, 5))


def shared(num_users: int = 20) -> list[int]:
    return hash_order(pl.Series("user", range(num_users)), "user").to_list()


def test_by_hand():
    data = two_domains()
    split = cross_domain(data, **BOTH)
    split.check()
    train, validation, test = shared()[:14], shared()[14:16], shared()[16:]
    inside = {pair for pair in pairs(data.ratings) if pair[1].startswith(("book", "music")) and pair[1] != "book:new"}
    assert pairs(split.train) == {pair for pair in inside if pair[0] in train}
    assert pairs(split.meta_train()) == pairs(split.train)
    assert pairs(split.validation.ratings) == {pair for pair in inside if pair[0] in validation}
    assert pairs(split.scenarios["cross_domain"].ratings) == {pair for pair in inside if pair[0] in test}
    assert set(split.cold_users) == {*validation, *test}


def test_the_support_is_of_the_source_and_the_query_all_of_the_target():
    data = two_domains()
    scenario = cross_domain(data, **BOTH, draws=2).scenarios["cross_domain"]
    tasks = lay_out(replace(scenario, support_rows=4), data)
    assert len(tasks) == 2 * 4
    for task in range(len(tasks)):
        user, draw = data.users["user"][int(tasks.user[task])], int(tasks.draw[task])

        def ordered(domain, user=user, draw=draw):
            items = scenario.ratings.filter(pl.col("user") == user, pl.col("domain") == domain)["item"]
            return sorted(items, key=lambda item: sha256(f"{draw}:{user}:{item}".encode()).hexdigest())

        def names(part, task=task):
            real = getattr(tasks, f"{part}_mask")[task] > 0
            return [data.items["item"][int(at)] for at in getattr(tasks, f"{part}_items")[task][real]]

        assert names("support") == ordered("book")[:4]
        assert names("query") == ordered("music")
        assert len(names("query")) == 6


def test_a_task_needs_rows_in_both_domains():
    """A user of the test with 8 books and 6 pieces of music is no task where 7 of each are wanted."""
    split = cross_domain(two_domains(), **BOTH, min_rows=6)
    assert set(split.scenarios["cross_domain"].task_users()) == set(shared()[16:])
    assert cross_domain(two_domains(), **BOTH, min_rows=7).scenarios["cross_domain"].task_users().is_empty()


def test_an_item_of_both_domains_is_one_item():
    """As on Coat, where the domains are how a rating came about."""
    data = two_domains()
    renamed = data.ratings.with_columns(item=pl.col("item").str.replace("music:", "book:"))
    renamed = renamed.unique(["user", "item"], keep="last", maintain_order=True)
    split = cross_domain(interactions_from_frame(renamed, domain="domain", scale=(1, 5)), **BOTH, min_rows=1)
    split.check()
    tasks = lay_out(split.scenarios["cross_domain"], split.interactions)
    for support, query, masks in zip(
        tasks.support_items, tasks.query_items, zip(tasks.support_mask, tasks.query_mask, strict=True), strict=True
    ):
        assert not set(support[masks[0] > 0]) & set(query[masks[1] > 0])


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "source", "target", "train", "tasks"),
    [
        ("douban-book-music", "book", "music", 1_096, 205),
        ("amazon-game-video", "game", "video", 1_525, 197),
        ("coat", "self_selected", "random", 203, 58),
    ],
)
def test_real_data(data_root, name, source, target, train, tasks):
    data_root(name)
    split = cross_domain(load(name), source=source, target=target)
    split.check()
    assert split.train["user"].n_unique() == train
    laid_out = lay_out(split.scenarios["cross_domain"], split.interactions)
    assert len(laid_out) == 5 * tasks
    of_item = dict(split.interactions.ratings.select("item", "domain").iter_rows())
    names = split.interactions.items["item"].to_list()
    if name != "coat":
        for part, domain in (("support", source), ("query", target)):
            real = getattr(laid_out, f"{part}_mask") > 0
            items = np.unique(getattr(laid_out, f"{part}_items")[real])
            assert {of_item[names[int(at)]] for at in items} == {domain}


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (
            lambda s: replace(s, train=pl.concat([s.train, s.scenarios["cross_domain"].ratings[:1]])),
            "a cold user's row is in training",
        ),
        (lambda s: replace(s, cold_users=s.cold_users[:3]), "a user of cross_domain is not among the cold users"),
        (
            lambda s: replace(s, validation=s.scenarios["cross_domain"]),
            "a rating of cross_domain is in validation",
        ),
        (
            lambda s: replace(
                s,
                scenarios={
                    "cross_domain": replace(s.scenarios["cross_domain"], ratings=s.interactions.ratings.filter(film()))
                },
            ),
            "a row of cross_domain is in neither domain",
        ),
    ],
)
def test_a_planted_leak_is_caught(plant, message):
    with pytest.raises(LeakError, match=message):
        plant(cross_domain(two_domains(), **BOTH)).check()


def film() -> pl.Expr:
    return (pl.col("domain") == "film") & pl.col("user").is_in(shared()[16:])


def test_what_the_split_needs_is_told():
    data = two_domains()
    with pytest.raises(ConfigError, match=r"Source and target are both 'book'. Name two domains"):
        cross_domain(data, source="book", target="book")
    with pytest.raises(DataError, match=r"data has no domain 'game'; its domains are \['book', 'film', 'music'\]"):
        cross_domain(data, source="book", target="game")
    with pytest.raises(DataError, match="have no column `domain`, which a cross-domain split needs"):
        cross_domain(world(), **BOTH)
    apart = replace(data, ratings=data.ratings.filter(pl.col("user") >= 100))
    with pytest.raises(DataError, match="No user of data has ratings in both 'book' and 'music'"):
        cross_domain(apart, **BOTH)
