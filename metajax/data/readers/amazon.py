"""Amazon's video games and videos: who reviewed what (implicit), 2,179 users in both domains.

References:
    McAuley et al., 2015, "Image-based recommendations on styles and substitutes". https://arxiv.org/abs/1506.04757
"""

from pathlib import Path

import polars as pl

from metajax.data.interactions import Interactions
from metajax.data.readers.domains import join_domains


def read_game_video(folder: Path, *, strict: bool = False) -> Interactions:
    """Read interactions_game.parquet and interactions_video.parquet (user, item); each row counts 1.0.

    Item ids become "game:ID" and "video:ID". Nothing is known of users or items but the domain; there are no times.
    """
    domains = {domain: pl.read_parquet(folder / f"interactions_{domain}.parquet") for domain in ("game", "video")}
    return join_domains(domains, target=None, name="amazon-game-video", scale=(0.0, 1.0), strict=strict)
