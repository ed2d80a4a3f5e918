"""Ratings of one set of users in several domains, put together: what readers of two-domain data sets share."""

from collections.abc import Mapping

import polars as pl

from metajax.data.columns import Feature
from metajax.data.interactions import Interactions, interactions_from_frame
from metajax.data.validation import require_columns


def join_domains(
    domains: Mapping[str, pl.DataFrame], *, target: str | None, name: str, scale: tuple[float, float], strict: bool
) -> Interactions:
    """Put the ratings of several domains below each other; user ids are those of all domains.

    Each domain counts its items by itself, so that item 7 of one is not item 7 of the other: an item's id becomes
    "DOMAIN:ID". The domain is also a feature of the item.

    Args:
        domains: name -> rows with columns user, item and `target`.
        target: the column of ratings; None where a row means that there was an interaction, which counts 1.0.
        name: of the data set.
        scale: (lowest, highest) possible target.
        strict: raise instead of quarantining.

    Raises:
        DataError: if a domain lacks a column.
    """
    ratings = pl.concat([_of_one(domain, frame, target) for domain, frame in domains.items()])
    return interactions_from_frame(
        ratings,
        domain="domain",
        items=ratings.select("item", "domain").drop_nulls().unique(),
        features=(Feature("domain", "item", "category"),),
        name=name,
        scale=scale,
        strict=strict,
    )


def _of_one(domain: str, frame: pl.DataFrame, target: str | None) -> pl.DataFrame:
    require_columns(frame, ["user", "item", *([target] if target else [])])
    return frame.select(
        "user",
        pl.format("{}:{}", pl.lit(domain), "item").alias("item"),
        (pl.col(target) if target else pl.lit(1.0, pl.Float32)).alias("target"),
        domain=pl.lit(domain),
    )
