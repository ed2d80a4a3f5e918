"""Which columns of a file of your own hold users, items and ratings, where nobody says so."""

from collections.abc import Sequence

from metajax.errors import DataError

ALIASES = {
    "user": ("user", "userid", "useridx", "uid", "reviewerid", "customerid", "visitorid"),
    "item": (
        "item", "itemid", "iid", "movieid", "bookid", "isbn", "artistid", "productid", "asin", "parentasin", "songid",
        "trackid", "gameid", "animeid", "recipeid", "businessid", "articleid", "jokeid", "beerid",
    ),
    "target": ("target", "rating", "ratings", "userrating", "stars", "score", "bookrating", "overall", "reviewoverall"),
}  # fmt: skip
SPACES = str.maketrans("", "", "_- ")


def column_of(part: str, wanted: str, columns: Sequence[str]) -> str | None:
    """Return the column that is meant.

    Args:
        part: "user", "item" or "target".
        wanted: its name, if it is not `part` itself, which stands for whatever is called like it.
        columns: of the file.

    Returns:
        `wanted` if it is there or was chosen; else the only column called like the part (case, "_", "-" and spaces
        aside); None if there is none.

    Raises:
        DataError: if several columns are called like it.
    """
    if wanted in columns or wanted != part:
        return wanted
    found = [one for one in columns if one.lower().translate(SPACES) in ALIASES[part]]
    if len(found) > 1:
        raise DataError(f"Several columns could be the {part}: {found}. {_how_to_name(part)}")
    return found[0] if found else None


def id_column_of(part: str, wanted: str, columns: Sequence[str]) -> str:
    """Return the column of ids that is meant, as `column_of`.

    Raises:
        DataError: if there is none, or several columns are called like it.
    """
    found = column_of(part, wanted, columns)
    if found is None:
        first = " The first line of a file names its columns." if any(map(_is_number, columns)) else ""
        raise DataError(
            f"No column is called {part}, {part}_id or the like; the columns are {list(columns)}.{first} "
            f"{_how_to_name(part)}"
        )
    return found


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdigit()


def _how_to_name(part: str) -> str:
    return f"Name one: --data.{part} COLUMN of metajax train, --{part} COLUMN of metajax data."
