"""One tiny trained and evaluated run for all tests of this folder."""

import shutil

import jax
import pytest
from experiment import tiny

from metajax.cli import main


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return a folder with ratings.csv and runs/ratings, trained and evaluated by the commands of README."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_ratings(folder / "ratings.csv")
    cache = jax.config.jax_compilation_cache_dir
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert tiny.train(folder) == 0
        assert main(["evaluate", str(folder / "runs" / "ratings")]) == 0
    jax.config.update("jax_compilation_cache_dir", cache)
    return folder


@pytest.fixture
def run(trained):
    return trained / "runs" / "ratings"


@pytest.fixture
def artifact(run, tmp_path):
    return shutil.copytree(run / "seed-0" / "artifact", tmp_path / "artifact")
