"""Last.fm as released at HetRec 2011: who listened to which artist (implicit), tags of artists, and friends.

References:
    Cantador et al., 2011, "2nd workshop on information heterogeneity and fusion in recommender systems".
    https://doi.org/10.1145/2043932.2044016
"""

from pathlib import Path

import polars as pl

from metajax.data.columns import Feature
from metajax.data.interactions import Interactions, interactions_from_frame
from metajax.data.validation import require_columns
from metajax.errors import DataError

FEATURES = (Feature("tags", "item", "bag"), Feature("friends", "user", "bag"))


def read_hetrec2011(folder: Path, *, strict: bool = False) -> Interactions:
    """Read user_artists.dat, artists.dat, tags.dat, user_taggedartists-timestamps.dat and user_friends.dat.

    A row counts 1.0 however often the user listened; times are known of tags only. The tags of an artist are in the
    order of how many users gave them, most first. They were given by all users, cold ones too.

    Raises:
        DataError: if a file lacks a column of its header, or an id in it is not a whole number.
    """
    listened = _read(folder / "user_artists.dat", ["userID", "artistID"])
    artists = _read(folder / "artists.dat", ["id"], ["name"])
    names = _read(folder / "tags.dat", ["tagID"], ["tagValue"], encoding="latin-1")
    given = _read(folder / "user_taggedartists-timestamps.dat", ["userID", "artistID", "tagID"])
    friends = _read(folder / "user_friends.dat", ["userID", "friendID"])
    tags = (
        given.group_by("artistID", "tagID")
        .len()
        .sort(pl.col("len"), "tagID", descending=[True, False])
        .join(names, on="tagID", maintain_order="left")
        .group_by("artistID")
        .agg(tags="tagValue")
    )
    return interactions_from_frame(
        listened.select(user="userID", item="artistID", target=pl.lit(1.0)),
        users=friends.sort("userID", "friendID").group_by("userID").agg(friends="friendID").rename({"userID": "user"}),
        items=artists.select("id", title="name")
        .join(tags, left_on="id", right_on="artistID", how="left")
        .rename({"id": "item"}),
        features=FEATURES,
        name="lastfm-hetrec2011",
        scale=(0.0, 1.0),
        strict=strict,
    )


def _read(path: Path, ids: list[str], texts: list[str] | None = None, *, encoding: str = "utf-8") -> pl.DataFrame:
    """Read the wanted columns of a tab-separated file with a header; a name may hold quotes."""
    content = path.read_text(encoding=encoding).encode()
    frame = pl.read_csv(content, separator="\t", infer_schema=False, quote_char=None, truncate_ragged_lines=True)
    wanted = [*ids, *(texts or [])]
    require_columns(frame, wanted)
    try:
        return frame.select(pl.col(ids).cast(pl.Int64), *(texts or []))
    except pl.exceptions.InvalidOperationError as error:
        raise DataError(f"{path} holds an id that is not a whole number: {error}") from error
