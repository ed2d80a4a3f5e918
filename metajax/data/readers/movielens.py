"""MovieLens latest-small, 100K and 1M in GroupLens' layout, with the MeLU repository's extra information where present.

References:
    Harper and Konstan, 2015, "The MovieLens datasets: history and context". https://doi.org/10.1145/2827872
"""

from pathlib import Path

import polars as pl

from metajax.data.columns import Feature
from metajax.data.interactions import Interactions, interactions_from_frame

SCALES = {"ml-latest-small": (0.5, 5.0), "ml-100k": (1.0, 5.0), "ml-1m": (1.0, 5.0)}
ITEM_FEATURES = (Feature("genres", "item", "bag"), Feature("decade", "item", "category"))
USER_FEATURES = tuple(Feature(name, "user", "category") for name in ("gender", "age", "occupation"))
TWINS = {860: 811, 1795: 1741}  # titles that MovieLens-1M holds twice; only the second id has extra information


def read_latest_small(folder: Path, *, strict: bool = False) -> Interactions:
    """Read MovieLens latest-small: csv as published, or the parquet copy that ships with metajax."""

    def read(name: str) -> pl.DataFrame:
        parquet = folder / f"{name}.parquet"
        return pl.read_parquet(parquet) if parquet.is_file() else pl.read_csv(folder / f"{name}.csv")

    movies = read("movies").rename({"movieId": "item"})
    genres = pl.col("genres").str.replace(r"\(no genres listed\)", "").str.split("|").list.filter(pl.element() != "")
    return _interactions(
        "ml-latest-small",
        read("ratings").select(user="userId", item="movieId", target="rating", timestamp="timestamp"),
        movies.with_columns(genres, year=_year(pl.col("title"))),
        strict=strict,
    )


def read_100k(folder: Path, *, strict: bool = False) -> Interactions:
    """Read MovieLens-100K (u.data, u.item, u.user, u.genre; latin-1). Ages become the decade they lie in."""
    ratings = pl.read_csv(
        folder / "u.data", separator="\t", has_header=False, new_columns=["user", "item", "target", "timestamp"]
    )
    names = [line.split("|")[0] for line in _lines(folder / "u.genre")]
    fields = [line.split("|") for line in _lines(folder / "u.item")]
    items = pl.DataFrame(
        {
            "item": [int(row[0]) for row in fields],
            "title": [row[1] for row in fields],
            "genres": [[name for name, flag in zip(names, row[5:], strict=True) if flag == "1"] for row in fields],
        }
    ).with_columns(year=_year(pl.col("title")))
    users = _split(folder / "u.user", "|", ["user", "age", "gender", "occupation", "zip"])
    users = users.with_columns(pl.col("age").cast(pl.Int64) // 10 * 10)
    return _interactions("ml-100k", ratings, items, users, USER_FEATURES, strict=strict)


def read_1m(folder: Path, *, strict: bool = False) -> Interactions:
    """Read MovieLens-1M (`::` between fields, latin-1), and movies_extrainfos.dat (UTF-8) where it lies beside it.

    The release year is the title's. With the extra information, genres are its own (IMDb's, as MeLU uses them), and
    MPAA rating, directors and actors are features too; writers, what they are credited for, the plot and MovieLens' own
    genres are kept as plain columns. The two movies that it leaves out have the same titles as two that it holds, whose
    information they get.
    """
    ratings = _split(folder / "ratings.dat", "::", ["user", "item", "target", "timestamp"])
    ratings = ratings.cast({"target": pl.Float64, "timestamp": pl.Int64})
    items = _split(folder / "movies.dat", "::", ["item", "title", "genres"])
    items = items.with_columns(pl.col("genres").str.split("|"), year=_year(pl.col("title")))
    users = _split(folder / "users.dat", "::", ["user", "gender", "age", "occupation", "zip"])
    user_features = (*USER_FEATURES, Feature("zip", "user", "category"))
    extra = folder / "movies_extrainfos.dat"
    if not extra.is_file():
        return _interactions("ml-1m", ratings, items, users, user_features, strict=strict)
    item_features = (
        Feature("mpaa", "item", "category"),
        *(Feature(name, "item", "bag") for name in ("directors", "actors")),
    )
    items = items.join(_extra_information(extra), on="item", how="left", maintain_order="left")
    both = (pl.col("genres").alias("movielens_genres"), pl.coalesce("extra_genres", "genres").alias("genres"))
    items = items.with_columns(*both).drop("extra_genres")
    return _interactions("ml-1m", ratings, items, users, user_features, item_features, strict=strict)


def _extra_information(path: Path) -> pl.DataFrame:
    names = [
        "item",
        "name",
        "released",
        "mpaa",
        "date",
        "extra_genres",
        "directors",
        "writers",
        "actors",
        "plot",
        "poster",
    ]
    extra = _split(path, "::", names, encoding="utf-8").select(
        "item", "mpaa", "extra_genres", "directors", "writers", "actors", "plot"
    )
    twins = pl.DataFrame({"item": list(TWINS.values()), "twin": list(TWINS)})
    twins = extra.join(twins, on="item").drop("item").rename({"twin": "item"}).select(extra.columns)
    extra = pl.concat([extra, twins]).unique("item", keep="first")
    credits = pl.col("writers").str.extract_all(r"\([^)]*\)").list.unique().alias("credits")  # such as "(novel)"
    extra = extra.with_columns(credits, pl.col("writers").str.replace_all(r"\s*\([^)]*\)", ""))
    lists = (
        pl.col("extra_genres", "directors", "writers", "actors")
        .str.split(", ")
        .list.filter(pl.element().is_in(["", "N/A"]).not_())
    )
    return extra.with_columns(pl.col("directors").str.replace_all(r"\s*\(co-director\)", "")).with_columns(lists)


def _interactions(
    name: str,
    ratings: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame | None = None,
    user_features: tuple[Feature, ...] = (),
    item_features: tuple[Feature, ...] = (),
    *,
    strict: bool,
) -> Interactions:
    return interactions_from_frame(
        ratings,
        timestamp="timestamp",
        items=items.with_columns(decade=pl.col("year") // 10 * 10),
        users=users,
        features=(*user_features, *ITEM_FEATURES, *item_features),
        name=name,
        scale=SCALES[name],
        strict=strict,
    )


def _year(title: pl.Expr) -> pl.Expr:
    return title.str.extract(r"\((\d{4})[^)]*\)\s*$").cast(pl.Int64)


def _split(path: Path, separator: str, names: list[str], *, encoding: str = "latin-1") -> pl.DataFrame:
    """Read a file whose separator may be longer than a character; ids become integers."""
    lines = pl.DataFrame({"line": _lines(path, encoding)})
    fields = lines.select(pl.col("line").str.split_exact(separator, len(names) - 1).struct.rename_fields(names)).unnest(
        "line"
    )
    return fields.with_columns(pl.col(*{"user", "item"} & set(names)).cast(pl.Int64))


def _lines(path: Path, encoding: str = "latin-1") -> list[str]:
    return [line for line in path.read_text(encoding=encoding).split("\n") if line]
