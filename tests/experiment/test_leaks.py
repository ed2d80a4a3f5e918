"""What is tested leaves no trace in what is trained, from the files to the parameters."""

from dataclasses import replace

import chex
import jax
import numpy as np
import polars as pl
import pytest
from data.test_splits import melu_world

from metajax.data.splits import melu
from metajax.experiment import DataConfig, MeluSplit, TrainingConfig, flagship
from metajax.experiment.assembly import assemble
from metajax.experiment.running import refits, train_seed

pytestmark = pytest.mark.usefixtures("as_users_run")


@pytest.fixture(scope="module")
def world():
    made = melu_world(0)
    return replace(made, items=made.items.with_columns(year=pl.col("year") - 20))  # a fifth of the items is cold


def trained(world, folder, monkeypatch):
    """Train the flagship for a few steps, as for the final fit, and return what it learned."""
    monkeypatch.setattr(DataConfig, "load", lambda _: world)
    base = flagship()
    experiment = replace(
        base,
        split=MeluSplit(),
        model=replace(base.model, factors=2),
        episodes=replace(base.episodes, min_support=4, max_support=4, query_rows=4, buckets=()),
        training=TrainingConfig(outer_steps=3, tasks_per_step=2, validate_every=3),
    )
    assembly = assemble(experiment, final=True)
    best = train_seed(assembly, folder, 0, validate=None, show_progress=False)
    return assembly, jax.device_get(best.meta_params)


def test_without_the_test_rows_the_same_is_learned(world, tmp_path, monkeypatch):
    """All rows of cold users and items are deleted, but one that says who is cold; what is left is rated otherwise."""
    split = melu(world)
    tested = pl.concat([scenario.ratings for scenario in split.scenarios.values()])
    kept = tested.head(1).with_columns(target=pl.lit(1.0).cast(tested["target"].dtype))
    without = replace(world, ratings=pl.concat([split.train, kept]))
    assert tested.height > 100
    (_, whole), (_, bare) = (
        trained(one, tmp_path / str(number), monkeypatch) for number, one in enumerate((world, without))
    )
    chex.assert_trees_all_equal(whole, bare)


def test_cold_users_and_items_have_no_parameters(world, tmp_path, monkeypatch):
    assembly, _ = trained(world, tmp_path, monkeypatch)
    items = assembly.interactions.items["item"]
    cold = items.is_in(assembly.split.cold_items.implode()).to_numpy()
    ids = np.asarray(assembly.catalogue.items["id"])
    assert np.all(ids[cold] == 0)
    assert np.all(ids[items.is_in(assembly.rows["item"].unique().implode()).to_numpy()] > 0)
    assert "id" not in assembly.catalogue.users


def test_what_is_selected_on_is_held_out_of_training_and_not_tested(world, monkeypatch):
    monkeypatch.setattr(DataConfig, "load", lambda _: world)
    selection = assemble(replace(flagship(), split=MeluSplit()))
    assert refits(selection)
    held_out = set(selection.split.validation.ratings["user"])
    assert held_out <= set(selection.split.train["user"])
    assert held_out.isdisjoint(selection.rows["user"])
    assert held_out.isdisjoint(selection.split.cold_users)
