"""Make what ships inside the package from the publishers' files: `python -m metajax.data.bundle $METAJAX_DATA`.

MovieLens latest-small may be redistributed under its own terms, so its README travels with it, word for word. Of
MovieLens-1M, which may not, only the ids of MeLU's cold users are kept.
"""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

import polars as pl

from metajax.files import atomic, write_text

COLD_USERS = "melu_cold_users.txt"
TYPES = {"userId": pl.Int32, "movieId": pl.Int32, "rating": pl.Float32, "timestamp": pl.Int32}


def bundle(data: Path, target: Path) -> None:
    """Write ratings and movies of MovieLens latest-small as parquet, its README, and MeLU's cold users.

    Args:
        data: the folder that holds ml-latest-small and ml-1m, with melu_split.parquet of the MeLU repository.
        target: the folder to write to.
    """
    source, folder = data / "ml-latest-small", target / "ml-latest-small"
    for name in ("ratings", "movies"):
        table = pl.read_csv(source / f"{name}.csv")
        table = table.cast({column: TYPES[column] for column in table.columns if column in TYPES})
        with atomic(folder / f"{name}.parquet") as temporary:
            table.write_parquet(temporary, compression="zstd", compression_level=22, statistics=False)
    with atomic(folder / "README.txt") as temporary:
        shutil.copyfile(source / "README.txt", temporary)
    states = pl.read_parquet(data / "ml-1m" / "melu_split.parquet").cast({"state": pl.String})
    cold = states.filter(pl.col("state").is_in(["user_cold", "both_cold"]))["user"].unique().sort()
    write_text(target / COLD_USERS, "".join(f"{user}\n" for user in cold))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m metajax.data.bundle FOLDER, which holds ml-latest-small and ml-1m")
    bundle(Path(sys.argv[1]), Path(str(files("metajax.data").joinpath("bundled"))))
