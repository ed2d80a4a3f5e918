"""Recommendations follow the ratings: lovers of horror get horror, and of children's films children's films."""

import jax
import numpy as np
import polars as pl
import pytest

from metajax import Experiment, Recommender
from metajax.data import load
from metajax.errors import DataError
from metajax.experiment.running import train_experiment


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        train_experiment(Experiment(), folder, show_progress=False)
        return Recommender.load(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_run")
def test_the_share_of_a_genre_is_three_times_that_of_the_opposite_taste(recommender):
    interactions = load("ml-latest-small")
    counts = interactions.ratings.group_by("item").len()
    films = interactions.items.join(counts, on="item").filter(pl.col("len") >= 20)
    is_genre = {name: pl.col("genres").list.contains(name) for name in ("Horror", "Children")}
    sets = {
        "Horror": films.filter(is_genre["Horror"] & ~is_genre["Children"])["item"].to_numpy(),
        "Children": films.filter(is_genre["Children"] & ~is_genre["Horror"])["item"].to_numpy(),
    }
    members = {name: set(interactions.items.filter(one)["item"]) for name, one in is_genre.items()}
    rng = np.random.default_rng(0)
    shares = {(taste, genre): [] for taste in sets for genre in sets}
    for taste, pool in sets.items():
        for _ in range(20):
            rated = {int(one): 5.0 for one in rng.choice(pool, 5, replace=False)}
            top = recommender.adapt(rated).recommend(20, min_ratings=5)
            for genre in sets:
                shares[taste, genre].append(np.mean([one.item in members[genre] for one in top]))
    mean = {key: float(np.mean(value)) for key, value in shares.items()}
    assert mean["Horror", "Horror"] >= 3 * mean["Children", "Horror"], mean
    assert mean["Children", "Children"] >= 3 * mean["Horror", "Children"], mean


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_run")
def test_a_title_stands_for_its_id(recommender):
    artifact = recommender.artifact
    alien = artifact.item_ids[artifact.titles.index("Alien (1979)")]
    by_title, by_id = recommender.adapt({"Alien (1979)": 5.0}), recommender.adapt({alien: 5.0})
    assert by_title.recommend(5) == by_id.recommend(5)
    with pytest.raises(DataError, match=r"no item 'Alein \(1979\)'.*Did you mean: .*Alien \(1979\)"):
        recommender.adapt({"Alein (1979)": 5.0})
