"""The cross-domain split: what a user rated in one domain is the support, what in another the query.

References:
    Man et al., 2017, "Cross-domain recommendation: an embedding and mapping approach", section 4.
    https://www.ijcai.org/proceedings/2017/343
"""

from functools import partial

import polars as pl

from metajax.data.interactions import Interactions
from metajax.data.scenarios import Scenario, Split, hash_order
from metajax.data.splits import cut_users
from metajax.errors import ConfigError, DataError


def cross_domain(interactions: Interactions, *, source: str, target: str, min_rows: int = 5, draws: int = 5) -> Split:
    """Hold out users of both domains: of a test user the source is known and the target is predicted.

    Users with ratings in both domains are ordered by the hash of "user:<id>": the first 70 % train, the next 10 %
    validate, the last 20 % test, as in `user_cold`. Training may use every rating of training users in both domains;
    users of one domain only, and other domains, are left out. Rows on items that no training user rated are dropped
    before a user's rows are counted. The support is at most 100 source rows, the query is all target rows.

    An item's id says which item it is: one that is in both domains is one item. Where two domains count their items by
    themselves, give the ids a prefix first, as the readers of two-domain data sets do.

    Args:
        interactions: the data, with a column `domain` of ratings.
        source: domain of the support.
        target: domain of the query.
        min_rows: fewest rows of a task's user in each of the two.
        draws: orders of the support's rows; the first k are the k-shot support.

    Raises:
        ConfigError: if source and target are one domain.
        DataError: if the ratings have no domains, or not these, or no user has ratings in both.
    """
    if source == target:
        raise ConfigError(f"Source and target are both {source!r}. Name two domains, or split by user_cold.")
    ratings = _in_domains(interactions, (source, target))
    domains = ratings.group_by("user").agg(pl.col("domain").n_unique())
    train_users, validation_users, test_users = cut_users(
        hash_order(domains.filter(pl.col("domain") == 2)["user"], "user")
    )
    if test_users.is_empty():
        raise DataError(f"No user of {interactions.name} has ratings in both {source!r} and {target!r}.")
    train = _of(ratings, train_users)
    known = _of(ratings, train["item"].unique())
    tasks = partial(
        Scenario,
        min_rows=min_rows,
        query_rows=None,
        draws=draws,
        arrangement="domain",
        domains=(source, target),
    )
    return Split(
        name="cross_domain",
        interactions=interactions,
        train=train,
        validation=tasks("validation", _of(known, validation_users)),
        scenarios={"cross_domain": tasks("cross_domain", _of(known, test_users))},
        cold_users=pl.concat([validation_users, test_users]),
        cold_items=pl.Series("item", [], ratings["item"].dtype),
    )


def _in_domains(interactions: Interactions, wanted: tuple[str, str]) -> pl.DataFrame:
    ratings = interactions.ratings
    if "domain" not in ratings.columns:
        raise DataError(
            f"The ratings of {interactions.name} have no column `domain`, which a cross-domain split needs. Name it, "
            "or use a data set of two domains, such as douban-book-music."
        )
    known = ratings["domain"].drop_nulls().unique().sort().to_list()
    for domain in wanted:
        if domain not in known:
            raise DataError(f"{interactions.name} has no domain {domain!r}; its domains are {known}.")
    return ratings.filter(pl.col("domain").is_in(wanted))


def _of(ratings: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    return ratings.join(ids.to_frame(), on=ids.name, how="semi", maintain_order="left")
