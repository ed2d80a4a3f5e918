"""Where data sets lie: inside the package, below $METAJAX_DATA, or in the user's cache, fetched from the publisher."""

import os
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path

import polars as pl

from metajax.data.interactions import Interactions
from metajax.data.readers.movielens import read_1m, read_100k, read_latest_small
from metajax.data.readers.recbole import read_atomic
from metajax.data.readers.tables import DESCRIPTION, SUFFIXES, read_folder, read_table
from metajax.errors import DataError
from metajax.files import sha256

MOST_BYTES = 200_000_000


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes:
        name: of its folder.
        about: one line for `metajax data list`.
        terms: under which it may be used.
        read: (folder, strict) -> Interactions.
        address: of the publisher's zip file, or None where it ships with metajax.
        checksums: sha256 of the extracted files that are read.
    """

    name: str
    about: str
    terms: str
    read: Callable[..., Interactions]
    address: str | None = None
    checksums: tuple[tuple[str, str], ...] = ()


GROUPLENS = "https://files.grouplens.org/datasets/movielens"
SOURCES = {
    source.name: source
    for source in (
        Source(
            "ml-latest-small",
            "MovieLens latest-small: 100,836 ratings, 610 users; ships with metajax",
            "non-commercial; may be redistributed under the same terms",
            read_latest_small,
        ),
        Source(
            "ml-100k",
            "MovieLens 100K: 100,000 ratings, 943 users",
            "research use; no redistribution",
            read_100k,
            f"{GROUPLENS}/ml-100k.zip",
            (
                ("u.data", "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"),
                ("u.item", "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701"),
                ("u.user", "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c"),
                ("u.genre", "9757e0d3e6b298159a80dd48eaf938114690e911e39af97a76949ef1663610bb"),
            ),
        ),
        Source(
            "ml-1m",
            "MovieLens 1M: 1,000,209 ratings, 6,040 users",
            "research use; no redistribution",
            read_1m,
            f"{GROUPLENS}/ml-1m.zip",
            (
                ("ratings.dat", "506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f"),
                ("movies.dat", "0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9"),
                ("users.dat", "1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3"),
            ),
        ),
    )
}


def load(
    source: str | Path,
    *,
    user: str = "user",
    item: str = "item",
    target: str = "target",
    timestamp: str | None = None,
    domain: str | None = None,
    scale: tuple[float, float] | None = None,
    strict: bool = False,
) -> Interactions:
    """Read a named data set, or a file or folder of your own.

    Args:
        source: "ml-latest-small", "ml-100k", "ml-1m"; a csv, tsv, parquet or RecBole .inter file; or a folder that
            `metajax data convert` wrote.
        user: in a csv, tsv or parquet file, the column of user ids. This and the next five are for such files only:
            the other sources know their own columns and scale.
        item: the column of item ids.
        target: the column of ratings.
        timestamp: the column of times; one called timestamp by default, where there is one.
        domain: the column of domains; one called domain by default, where there is one.
        scale: (lowest, highest) possible target; rows outside are rejected. The range of the data by default.
        strict: raise instead of quarantining bad rows.

    Raises:
        DataError: if there is no such data set or file, it cannot be read, or columns are named that are not asked for.
        StorageError: if a converted folder was altered.
    """
    path = Path(source).expanduser()
    mapping = {"user": user, "item": item, "target": target, "timestamp": timestamp, "domain": domain, "scale": scale}
    try:
        if str(source) not in SOURCES and path.is_file() and path.suffix in SUFFIXES:
            return read_table(path, strict=strict, **mapping)  # pyright: ignore[reportArgumentType]
        given = {name for name, value in mapping.items() if value not in (name, None)}
        if given:
            raise DataError(f"{source} knows its own columns and scale; leave out {', '.join(sorted(given))}.")
        return _read_known(str(source), path, strict=strict)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{source} could not be read: {str(error).splitlines()[0]}. Check its format.") from error


def _read_known(source: str, path: Path, *, strict: bool) -> Interactions:
    """Read what tells its own columns."""
    if source in SOURCES:
        return SOURCES[source].read(find(source), strict=strict)
    if (path / DESCRIPTION).is_file():
        return read_folder(path, strict=strict)
    if path.is_file() and path.suffix == ".inter":
        return read_atomic(path, strict=strict)
    if path.is_file():
        raise DataError(f"{path} is a {path.suffix or 'nameless'} file. Wanted .inter, {', '.join(SUFFIXES)}.")
    close = get_close_matches(source, SOURCES, n=1)
    raise DataError(
        f"There is no data set or file {source!r}.{f' Did you mean {close[0]!r}?' if close else ''} "
        f"Known data sets: {', '.join(SOURCES)} (`metajax data list`); or give a csv, tsv, parquet or .inter file, "
        "or a folder that `metajax data convert` wrote."
    )


def locate(name: str) -> Path | None:
    """Return the folder of a named data set if it is on this machine, else None."""
    if SOURCES[name].address is None:
        return Path(str(files("metajax.data").joinpath(f"bundled/{name}")))
    roots = [Path(os.environ["METAJAX_DATA"])] if os.environ.get("METAJAX_DATA") else []
    for root in (*roots, cache_folder()):
        if (root / name).is_dir():
            return root / name
    return None


def find(name: str) -> Path:
    """Return the folder of a named data set, checked; fetch it from the publisher if it is nowhere.

    Raises:
        DataError: if it is unknown, cannot be fetched, or a file is not the publisher's.
    """
    if name not in SOURCES:
        raise DataError(f"There is no data set {name!r}. Known: {', '.join(SOURCES)}.")
    folder = locate(name)
    if folder is None:
        return fetch(name)
    _check(SOURCES[name], folder)
    return folder


def fetch(name: str) -> Path:
    """Download a data set from its publisher into the user's cache, with progress, and check it.

    Raises:
        DataError: if it cannot be reached, is larger than expected, or a file is not the one that is known.
    """
    source = SOURCES.get(name)
    if source is None or source.address is None:
        return find(name)
    target = cache_folder() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        archive = Path(scratch) / "archive.zip"
        _download(source.address, archive)
        unpacked = Path(scratch) / name
        unpacked.mkdir()
        _unzip(archive, unpacked)
        _check(source, unpacked)
        if target.exists():
            shutil.rmtree(target)
        unpacked.replace(target)
    return target


def cache_folder() -> Path:
    """Return the user's cache for metajax."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metajax"


def _download(address: str, archive: Path) -> None:
    from rich.progress import DownloadColumn, Progress

    try:
        with (
            urllib.request.urlopen(address, timeout=30) as answer,
            archive.open("wb") as file,
            Progress(*Progress.get_default_columns(), DownloadColumn(), transient=True) as progress,
        ):
            total = int(answer.headers.get("Content-Length") or 0)
            task = progress.add_task(f"fetching {address.rsplit('/', 1)[-1]}", total=total or None)
            while piece := answer.read(1 << 16):
                file.write(piece)
                if file.tell() > MOST_BYTES:
                    raise DataError(f"{address} is larger than {MOST_BYTES:,} bytes; it is not the known data set.")
                progress.advance(task, len(piece))
    except (OSError, HTTPException) as error:
        raise DataError(
            f"{address} could not be fetched: {error}. Download and unpack it by hand below a folder, "
            "and name that folder in the variable METAJAX_DATA."
        ) from error


def _unzip(archive: Path, folder: Path) -> None:
    """Extract the plain files of the archive's one folder; names that point elsewhere are not followed."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            if (size := sum(entry.file_size for entry in bundle.infolist())) > MOST_BYTES:
                raise DataError(
                    f"What was fetched unpacks to {size:,} bytes; more than {MOST_BYTES:,} are not expected."
                )
            for entry in bundle.infolist():
                name = Path(entry.filename).name
                if not entry.is_dir() and len(Path(entry.filename).parts) == 2 and name != "..":
                    with bundle.open(entry) as packed, (folder / name).open("wb") as file:
                        shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"What was fetched is not a zip file, or a damaged one: {error}. Try again later.") from error


def _check(source: Source, folder: Path) -> None:
    for name, known in source.checksums:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing. Remove {folder} and run `metajax data fetch {source.name}`.")
        if sha256(path) != known:
            raise DataError(
                f"{path} is not the publisher's file: its sha256 differs. Remove {folder} and run "
                f"`metajax data fetch {source.name}`."
            )
