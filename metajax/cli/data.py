"""`metajax data`: list, describe, fetch and convert data sets.

Each verb is a function of plain arguments; tyro makes its options and its help from the signature and the docstring.
"""

from collections.abc import Callable, Sequence
from pathlib import Path


def list_sources() -> None:
    """List the data sets that metajax knows by name, and where they lie."""
    from rich.console import Console
    from rich.table import Table

    from metajax.data.sources import SOURCES, locate

    table = Table("name", "what", "terms", "where")
    for name, source in SOURCES.items():
        folder = locate(name)
        where = "inside metajax" if source.bundled else str(folder or source.how_to_get)
        table.add_row(name, source.about, source.terms, where)
    Console().print(table)


def describe(
    source: str,
    /,
    *,
    user: str = "user",
    item: str = "item",
    target: str = "target",
    timestamp: str | None = None,
    users: Path | None = None,
    items: Path | None = None,
    scale: tuple[float, float] | None = None,
    strict: bool = False,
) -> None:
    """Show counts, histograms, time range, features and rejected rows of a data set.

    Args:
        source: A name of `metajax data list`; a csv, tsv, parquet or RecBole .inter file; or a converted folder.
        user: The column of user ids, in a csv, tsv or parquet file.
        item: The column of item ids.
        target: The column of ratings.
        timestamp: The column of times; one called timestamp by default, where there is one.
        users: A csv, tsv or parquet file of users: a column of ids, called as in the ratings; all others are features.
        items: A csv, tsv or parquet file of items, likewise; one called title is kept and is no feature.
        scale: Lowest and highest possible rating; rows outside are rejected.
        strict: Make a rejected row an error.
    """
    from rich.console import Console

    from metajax.data import describe, load

    interactions = load(
        source,
        user=user,
        item=item,
        target=target,
        timestamp=timestamp,
        users=users,
        items=items,
        scale=scale,
        strict=strict,
    )
    Console().print(describe(interactions).render())


def fetch(name: str, /) -> None:
    """Download a data set from its publisher into the user's cache, and check it.

    Args:
        name: Of `metajax data list`.
    """
    from rich.console import Console

    from metajax.data import sources

    Console().print(f"{name} is in {sources.fetch(name)}", soft_wrap=True)


def convert(
    source: str,
    out: Path,
    /,
    *,
    user: str = "user",
    item: str = "item",
    target: str = "target",
    timestamp: str | None = None,
    domain: str | None = None,
    users: Path | None = None,
    items: Path | None = None,
    scale: tuple[float, float] | None = None,
    strict: bool = False,
) -> None:
    """Validate ratings and write them in metajax's own layout, which every `source` accepts; rejected rows go beside.

    Args:
        source: A name of `metajax data list`; a csv, tsv, parquet or RecBole .inter file; or a converted folder.
        out: A new folder (ratings, users, items and features), or a new .csv, .tsv or .parquet file (ratings only).
        user: The column of user ids, in a csv, tsv or parquet file.
        item: The column of item ids.
        target: The column of ratings.
        timestamp: The column of times; one called timestamp by default, where there is one.
        domain: The column of domains; one called domain by default, where there is one.
        users: A csv, tsv or parquet file of users: a column of ids, called as in the ratings; all others are features.
        items: A csv, tsv or parquet file of items, likewise; one called title is kept and is no feature.
        scale: Lowest and highest possible rating; rows outside are rejected.
        strict: Make a rejected row an error, and write nothing.
    """
    from rich.console import Console

    from metajax.data import load
    from metajax.data.readers.tables import write_folder, write_table
    from metajax.errors import DataError

    if out.exists():
        raise DataError(f"{out} is there already. Name another, or remove it first.")
    interactions = load(
        source,
        user=user,
        item=item,
        target=target,
        timestamp=timestamp,
        domain=domain,
        users=users,
        items=items,
        scale=scale,
        strict=strict,
    )
    (write_table if out.suffix else write_folder)(interactions, out)
    console = Console(soft_wrap=True)
    console.print(f"{interactions.ratings.height:,} ratings are in {out}")
    rejected = interactions.quarantine
    if not rejected.rows.is_empty():
        beside = out.with_name(f"{out.name}.quarantine.csv")
        rejected.write(beside)
        console.print(rejected.told(beside))


VERBS: dict[str, Callable[..., None]] = {
    "list": list_sources,
    "describe": describe,
    "fetch": fetch,
    "convert": convert,
}


def data_verb(arguments: Sequence[str]) -> None:
    """Run one of the verbs of `metajax data`."""
    import tyro

    tyro.extras.subcommand_cli_from_dict(VERBS, prog="metajax data", args=list(arguments) or ["--help"])
