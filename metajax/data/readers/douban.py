"""Douban's books and music as GA-DTCDR distributes them: ratings of 1 to 5 stars, 1,566 users in both domains.

References:
    Zhu et al., 2020, "A graphical and attentional framework for dual-target cross-domain recommendation".
    https://www.ijcai.org/proceedings/2020/415
"""

from pathlib import Path

import polars as pl

from metajax.data.interactions import Interactions
from metajax.data.readers.domains import join_domains


def read_book_music(folder: Path, *, strict: bool = False) -> Interactions:
    """Read ratings_book.parquet and ratings_music.parquet (user, item, rating); item ids become "book:ID", "music:ID".

    Nothing is known of users or items but the domain, and there are no times.
    """
    domains = {domain: pl.read_parquet(folder / f"ratings_{domain}.parquet") for domain in ("book", "music")}
    return join_domains(domains, target="rating", name="douban-book-music", scale=(1.0, 5.0), strict=strict)
