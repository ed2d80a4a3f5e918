"""Tables of users or items of your own: ids, maybe a title, and every other column a feature by its type."""

from pathlib import Path

import polars as pl

from metajax.data.columns import Feature, Kind, Side
from metajax.data.validation import require_columns
from metajax.errors import DataError

SUFFIXES = (".csv", ".tsv", ".parquet")
TITLE = "title"


def suffix_of(path: Path) -> str:
    """Return how a file's name ends, in small letters: RATINGS.CSV is a csv file too."""
    return path.suffix.lower()


def read_features(path: Path, side: Side, id_column: str) -> tuple[pl.DataFrame, list[Feature]]:
    """Read a table of users or items and declare its features.

    A column of numbers is a number, of lists of floats a vector, of other lists a bag, and of texts a category; texts
    of which one holds a "|", such as "drama|war", are a bag. In a csv or tsv file a column is of numbers if each value
    that is there is one and none has a leading zero, as a code would. An item's title is kept and is no feature.

    Args:
        path: a csv, tsv or parquet file.
        side: whose table it is.
        id_column: the column of ids.

    Returns:
        The table, bags as lists; and the features in the order of its columns.

    Raises:
        DataError: if there is no such file, it is of another kind or cannot be read, or lacks the column of ids.
    """
    if suffix_of(path) not in SUFFIXES or not path.is_file():
        raise DataError(f"There is no table of {side}s {path}. Wanted a file that ends in {', '.join(SUFFIXES)}.")
    try:
        frame = _read(path)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{path} could not be read: {str(error).splitlines()[0]}. Check its format.") from error
    require_columns(frame, [id_column])
    names = [name for name in frame.columns if name != id_column and not (side == "item" and name == TITLE)]
    if suffix_of(path) != ".parquet":
        frame = frame.with_columns(_numbers(frame[name]) for name in names)
    features = [Feature(name, side, _kind(frame[name])) for name in names]
    texts = [one.name for one in features if one.kind == "bag" and frame[one.name].dtype == pl.String]
    bags = (pl.col(name).str.split("|").list.eval(pl.element().str.strip_chars()) for name in texts)
    return frame.with_columns(bag.list.filter(pl.element() != "") for bag in bags), features


def _read(path: Path) -> pl.DataFrame:
    if suffix_of(path) == ".parquet":
        return pl.read_parquet(path)
    return pl.read_csv(path, separator=separator_of(path), infer_schema=False)


def separator_of(path: Path) -> str:
    """Return what stands between the columns of a csv or tsv file; semicolons, if a csv's header has no comma."""
    if suffix_of(path) == ".tsv":
        return "\t"
    with path.open(encoding="utf-8", errors="replace") as file:
        header = file.readline()
    return ";" if ";" in header and "," not in header else ","


def _numbers(texts: pl.Series) -> pl.Series:
    """Turn texts into Float64 where each that is there is a number, and none a code such as 007."""
    numbers = texts.cast(pl.Float64, strict=False)
    lossless = numbers.null_count() == texts.null_count() < len(texts)
    return numbers if lossless and not texts.str.contains(r"^-?0\d").any() else texts


def _kind(column: pl.Series) -> Kind:
    dtype = column.dtype
    if isinstance(dtype, pl.List | pl.Array):
        return "vector" if dtype.inner.is_float() else "bag"  # pyright: ignore[reportAttributeAccessIssue]
    if dtype.is_numeric():
        return "number"
    return "bag" if dtype == pl.String and column.str.contains("|", literal=True).any() else "category"
