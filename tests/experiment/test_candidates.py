"""What is ranked where items are cold."""

from dataclasses import replace

import numpy as np
import polars as pl

from metajax.evaluation.baselines import training_of
from metajax.experiment import BothCold, DataConfig, EpisodeConfig, Experiment, MatrixFactorization
from metajax.experiment.assembly import assemble
from metajax.experiment.evaluating import setting_of


def test_cold_items_are_ranked_whether_or_not_a_test_user_rated_them(tmp_path):
    rows = [(user, item, 1.0 + (user * item) % 5) for user in range(40) for item in range(100)]
    pl.DataFrame(rows, ["user", "item", "target"], orient="row").write_csv(tmp_path / "all.csv")
    data, episodes = DataConfig(source=str(tmp_path / "all.csv")), EpisodeConfig(query_rows=3, buckets=())
    assembly = assemble(
        Experiment(data=data, split=BothCold(share=0.3), model=MatrixFactorization(factors=2), episodes=episodes)
    )
    training = training_of(assembly.interactions, assembly.split.train)
    few = {
        name: replace(one, ratings=one.ratings.filter(pl.col("item") == one.ratings["item"].max()))
        for name, one in assembly.split.scenarios.items()
    }
    whole, thinned = (
        setting_of(one, training).candidates
        for one in (assembly, replace(assembly, split=replace(assembly.split, scenarios=few)))
    )
    for name in ("item_cold", "both_cold"):
        assert whole[name].all()
        np.testing.assert_array_equal(whole[name], thinned[name])
    assert (whole["user_cold"] == np.asarray(training.counts("items") > 0)).all()
