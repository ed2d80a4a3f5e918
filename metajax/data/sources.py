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
from metajax.data.readers.amazon import read_game_video
from metajax.data.readers.coat import read_coat
from metajax.data.readers.douban import read_book_music
from metajax.data.readers.features import suffix_of
from metajax.data.readers.lastfm import read_hetrec2011
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
        address: of the publisher's zip file, or None where none is known.
        checksums: sha256 of the extracted files that are read.
        page: where a person finds the files that have no address.
        bundled: it ships with metajax.
    """

    name: str
    about: str
    terms: str
    read: Callable[..., Interactions]
    address: str | None = None
    checksums: tuple[tuple[str, str], ...] = ()
    page: str = ""
    bundled: bool = False

    @property
    def how_to_get(self) -> str:
        """What a person does to get the files."""
        if self.address:
            return f"run `metajax data fetch {self.name}`"
        return f"get the files by hand (see {self.page}), as $METAJAX_DATA/{self.name}/{self.checksums[0][0]} and so on"


GROUPLENS = "https://files.grouplens.org/datasets/movielens"
SOURCES = {
    source.name: source
    for source in (
        Source(
            "ml-latest-small",
            "MovieLens latest-small: 100,836 ratings, 610 users; ships with metajax",
            "non-commercial; may be redistributed under the same terms",
            read_latest_small,
            bundled=True,
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
        Source(
            "douban-book-music",
            "Douban books and music: 96,041 and 69,709 ratings, 1,566 users in both domains",
            "research use; cite GA-DTCDR",
            read_book_music,
            checksums=(
                ("ratings_book.parquet", "e2e6c2f2eebea7b0f125ec78e70db694e9b160c26bafcbd3083d22b2dec55324"),
                ("ratings_music.parquet", "34ce3671214a07930257b2d668a9e6f5ac407d9c9007772d92f946aee180100d"),
            ),
            page="https://github.com/fengzhu1/GA-DTCDR",
        ),
        Source(
            "amazon-game-video",
            "Amazon games and videos: 157,721 and 158,984 interactions, 2,179 users in both domains",
            "research use",
            read_game_video,
            checksums=(
                ("interactions_game.parquet", "4eed4bae824d34d121d000ca06c1692949485b9a2cb04349ab1c29ba4bb7136a"),
                ("interactions_video.parquet", "31cddd2fa5cb9c4e9606b462af38fc810f1e7eadbf8517511b1e521de0c3467c"),
            ),
            page="https://cseweb.ucsd.edu/~jmcauley/datasets.html",
        ),
        Source(
            "lastfm-hetrec2011",
            "Last.fm: who listened to whom, 92,834 pairs of 1,892 users and 17,632 artists; tags, friends",
            "non-commercial",
            read_hetrec2011,
            "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
            (
                ("user_artists.dat", "001400dc3c7d2667fca6e4ea6dc6acc31a9dd28ad5cd0f74cea988c019934d3b"),
                ("artists.dat", "c173881362c6b28551368fecb3c0be5a6a30a6cd859e1f5775413dfe46d48648"),
                ("tags.dat", "e95175f259be4c0c47644ae23d66131cd6d5767142a1405000e79f5584691d70"),
                (
                    "user_taggedartists-timestamps.dat",
                    "ec753318e453b15356853674b687da44d9f8c7e1215e1e0ff27aaa5f52e322bd",
                ),
                ("user_friends.dat", "9a3a8f7fa5f5ec832335e5b58ed69a4cf27c6f6f6afcde62134810eea46445a7"),
            ),
        ),
        Source(
            "coat",
            "Coat: 6,960 ratings that 290 users chose to give and 4,640 of coats drawn at random",
            "research use; cite Schnabel et al., 2016",
            read_coat,
            checksums=(
                ("train.ascii", "a87bd9e7eaf3b89f976df3f25d4aa5d5d871be8a00b58947df9e6e015559bd37"),
                ("test.ascii", "de6714ab105a5e0be8166be7fd313901b29f9a09c3bea307901457d1d71847e6"),
                (
                    "user_item_features/user_features.ascii",
                    "d8f9531b601c54a7272602f8b21fa6cb4652cbf122e35d8615ea9645ebbf1b1f",
                ),
                (
                    "user_item_features/user_features_map.txt",
                    "3b8c825ad4445d4a46a400629c5fb43c805ff5a7982b2e436b69e7262c8a013a",
                ),
                (
                    "user_item_features/item_features.ascii",
                    "edea8217ec5606779b4d3bf819f7591dc63bcd5194d619e8048c2322d07630b1",
                ),
                (
                    "user_item_features/item_features_map.txt",
                    "2675dfaa38b89a9cbb1997f0cfcd46ed7e0e366dc515d12d95508d1f356e5d25",
                ),
            ),
            page="https://www.cs.cornell.edu/~schnabts/mnar/",
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
    users: str | Path | None = None,
    items: str | Path | None = None,
    scale: tuple[float, float] | None = None,
    strict: bool = False,
) -> Interactions:
    """Read a named data set, or a file or folder of your own.

    Args:
        source: a name of `metajax data list`, such as "ml-1m"; a csv, tsv, parquet or RecBole .inter file; or a folder
            that `metajax data convert` wrote.
        user: in a csv, tsv or parquet file, the column of user ids. This and the next seven are for such files only:
            the other sources know their own columns and scale.
        item: the column of item ids.
        target: the column of ratings.
        timestamp: the column of times; one called timestamp by default, where there is one.
        domain: the column of domains; one called domain by default, where there is one.
        users: a csv, tsv or parquet file with a column of user ids, called as in the ratings; the others are features
            by their types (see `metajax.data.readers.features`).
        items: the same of items; a column called title is kept and is no feature.
        scale: (lowest, highest) possible target; rows outside are rejected. The range of the data by default.
        strict: raise instead of quarantining bad rows.

    Raises:
        DataError: if there is no such data set or file, it cannot be read, or columns are named that are not asked for.
        StorageError: if a converted folder was altered.
    """
    path = path_of(source)
    mapping = {"user": user, "item": item, "target": target, "timestamp": timestamp, "domain": domain, "scale": scale}
    mapping |= {name: path_of(table) for name, table in {"users": users, "items": items}.items() if table}
    try:
        if str(source) not in SOURCES and path.is_file() and suffix_of(path) in SUFFIXES:
            return read_table(path, strict=strict, **mapping)  # pyright: ignore[reportArgumentType]
        if str(source) not in SOURCES and not path.exists():
            raise DataError(_missing(str(source)))
        given = {name for name, value in mapping.items() if value not in (name, None)}
        if given:
            raise DataError(f"{source} knows its own columns and scale; leave out {', '.join(sorted(given))}.")
        return _read_known(str(source), path, strict=strict)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{source} could not be read: {str(error).splitlines()[0]}. Check its format.") from error


def path_of(source: str | Path) -> Path:
    """Return the path of a file or folder, `~` and variables such as $METAJAX_DATA replaced.

    So an experiment names a file of the data folder, wherever that lies.
    """
    return Path(os.path.expandvars(source)).expanduser()


def _read_known(source: str, path: Path, *, strict: bool) -> Interactions:
    """Read what tells its own columns."""
    if source in SOURCES:
        return SOURCES[source].read(find(source), strict=strict)
    if (path / DESCRIPTION).is_file():
        return read_folder(path, strict=strict)
    if path.is_file() and suffix_of(path) == ".inter":
        return read_atomic(path, strict=strict)
    if path.is_file():
        raise DataError(f"{path} is a {suffix_of(path) or 'nameless'} file. Wanted .inter, {', '.join(SUFFIXES)}.")
    raise DataError(_missing(source))


def _missing(source: str) -> str:
    close = get_close_matches(source, SOURCES, n=1)
    unset = " METAJAX_DATA is not set." if "$METAJAX_DATA" in source and not os.environ.get("METAJAX_DATA") else ""
    return (
        f"There is no data set or file {source!r}.{unset}{f' Did you mean {close[0]!r}?' if close else ''} "
        f"Known data sets: {', '.join(SOURCES)} (`metajax data list`); or give a csv, tsv, parquet or .inter file, "
        "or a folder that `metajax data convert` wrote."
    )


def locate(name: str) -> Path | None:
    """Return the folder of a named data set if it is on this machine, else None."""
    if SOURCES[name].bundled:
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
        DataError: if no address is known or it cannot be reached, is larger than expected, or a file is not the one
            that is known.
    """
    source = SOURCES.get(name)
    if source is None or source.bundled or (source.address is None and locate(name)):
        return find(name)
    if source.address is None:
        raise DataError(f"No address is known from which {name} could be fetched: {source.how_to_get}.")
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
            urllib.request.urlopen(address, timeout=30) as answer,  # nosec B310 # an address of the table above
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
    """Extract the plain files of the archive's root or one folder; names that point elsewhere are not followed."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            if (size := sum(entry.file_size for entry in bundle.infolist())) > MOST_BYTES:
                raise DataError(
                    f"What was fetched unpacks to {size:,} bytes; more than {MOST_BYTES:,} are not expected."
                )
            for entry in bundle.infolist():
                name = Path(entry.filename).name
                if not entry.is_dir() and len(Path(entry.filename).parts) <= 2 and name != "..":
                    with bundle.open(entry) as packed, (folder / name).open("wb") as file:
                        shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"What was fetched is not a zip file, or a damaged one: {error}. Try again later.") from error


def _check(source: Source, folder: Path) -> None:
    for name, known in source.checksums:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing. Remove {folder} and {source.how_to_get}.")
        if sha256(path) != known:
            raise DataError(
                f"{path} is not the publisher's file: its sha256 differs. Remove {folder} and {source.how_to_get}."
            )
