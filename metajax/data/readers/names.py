"""Which columns of a file of your own hold users, items and ratings, where nobody says so."""

from collections.abc import Sequence

from metajax.errors import DataError

ALIASES = {
    "user": ("user", "userid", "useridx", "reviewerid"),
    "item": ("item", "itemid", "movieid", "bookid", "isbn", "artistid", "productid", "asin", "songid"),
    "target": ("target", "rating", "ratings", "stars", "score", "bookrating", "overall"),
}
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
        raise DataError(
            f"Several columns could be the {part}: {found}. Name one: --data.{part} of metajax train, --{part} of "
            "metajax data."
        )
    return found[0] if found else None
