"""What ships inside the package is what its script makes of the publishers' files."""

import subprocess
import sys

import polars as pl
import pytest

from metajax.data.bundle import bundle
from metajax.data.sources import locate


@pytest.mark.data
def test_the_bundled_files_are_those_that_the_script_makes(data_root, tmp_path):
    root = data_root("ml-latest-small").parent
    if not (data_root("ml-1m") / "melu_split.parquet").is_file():
        pytest.skip("needs melu_split.parquet of the MeLU repository beside MovieLens-1M")
    bundle(root, tmp_path)
    shipped = locate("ml-latest-small")
    for name in ("ratings", "movies"):
        made = pl.read_parquet(tmp_path / "ml-latest-small" / f"{name}.parquet")
        assert made.equals(pl.read_parquet(shipped / f"{name}.parquet"))
        assert made.equals(pl.read_csv(root / "ml-latest-small" / f"{name}.csv").cast(made.schema))
    assert (tmp_path / "ml-latest-small" / "README.txt").read_bytes() == (shipped / "README.txt").read_bytes()
    assert (tmp_path / "melu_cold_users.txt").read_bytes() == (shipped.parent / "melu_cold_users.txt").read_bytes()


def test_the_script_tells_what_it_wants():
    done = subprocess.run([sys.executable, "-m", "metajax.data.bundle"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.split(",")[0]) == (1, "usage: python -m metajax.data.bundle FOLDER")
