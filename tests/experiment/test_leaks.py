"""What is tested leaves no trace in what is trained, from the files to the parameters."""

from dataclasses import replace

import chex
import jax
import numpy as np
import polars as pl
import pytest
from data.test_splits import melu_world

from metajax.data.readers.tables import write_folder
from metajax.data.splits import melu
from metajax.experiment import DataConfig, MeluSplit, TrainingConfig, flagship
from metajax.experiment.assembly import assemble
from metajax.experiment.running import refits, train_seed

pytestmark = pytest.mark.usefixtures("as_users_run")


@pytest.fixture(scope="module")
def world():
    made = melu_world(0)
    return replace(made, items=made.items.with_columns(year=pl.col("year") - 20))  # a fifth of the items is cold


def trained(world, folder):
    """Train the flagship on files for a few steps, as for the final fit, and return what it began with and learned."""
    write_folder(world, folder / "data")
    base = flagship()
    experiment = replace(
        base,
        data=replace(base.data, source=str(folder / "data")),
        split=MeluSplit(),
        model=replace(base.model, factors=2),
        episodes=replace(base.episodes, min_support=4, max_support=4, query_rows=4, buckets=()),
        training=TrainingConfig(outer_steps=3, tasks_per_step=2, validate_every=3),
    )
    assembly = assemble(experiment, final=True)
    best = train_seed(assembly, folder / "run", 0, validate=None, show_progress=False)
    return assembly, jax.device_get(best.meta_params)


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        return trained(world, tmp_path_factory.mktemp("whole"))


def test_without_the_test_rows_on_disk_the_same_is_learned(world, whole, tmp_path):
    """All rows of cold users and items are deleted, but one that says who is cold; what is left is rated otherwise.

    That the comparison can fail: one training row less, and other parameters are learned.
    """
    split = melu(world)
    tested = pl.concat([scenario.ratings for scenario in split.scenarios.values()])
    kept = tested.head(1).with_columns(target=pl.lit(1.0).cast(tested["target"].dtype))
    assert tested.height > 100
    _, bare = trained(replace(world, ratings=pl.concat([split.train, kept])), tmp_path / "bare")
    chex.assert_trees_all_equal(whole[1], bare)
    _, other = trained(replace(world, ratings=pl.concat([split.train[1:], kept])), tmp_path / "other")
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(whole[1], other)


def test_cold_users_and_items_have_no_parameters(whole):
    assembly, _ = whole
    items = assembly.interactions.items["item"]
    cold = items.is_in(assembly.split.cold_items.implode()).to_numpy()
    ids = np.asarray(assembly.catalogue.items["id"])
    assert np.all(ids[cold] == 0)
    assert np.all(ids[items.is_in(assembly.rows["item"].unique().implode()).to_numpy()] > 0)
    assert "id" not in assembly.catalogue.users


def test_no_parameter_of_an_id_reaches_a_cold_item(whole):
    """Whatever the tables of ids hold, a cold item is what its content makes of it; a warm one is not."""
    assembly, learned = whole
    size = next(one.size for one in assembly.encoding.columns if one.name == "id")

    def disturbed(leaf):
        return leaf + 1.0 if np.ndim(leaf) == 2 and len(leaf) == size else leaf

    represent = jax.jit(assembly.parts.learner.represent)
    before, after = (
        np.asarray(represent(one, assembly.catalogue.items).vectors)
        for one in (learned, jax.tree.map(disturbed, learned))
    )
    cold = np.asarray(assembly.catalogue.items["id"]) == 0
    assert cold.any()
    np.testing.assert_array_equal(before[cold], after[cold])
    assert np.all(np.any(before[~cold] != after[~cold], axis=1))


def test_what_is_selected_on_is_held_out_of_training_and_not_tested(world, monkeypatch):
    monkeypatch.setattr(DataConfig, "load", lambda _: world)
    selection = assemble(replace(flagship(), split=MeluSplit()))
    assert refits(selection)
    held_out = set(selection.split.validation.ratings["user"])
    assert held_out <= set(selection.split.train["user"])
    assert held_out.isdisjoint(selection.rows["user"])
    assert held_out.isdisjoint(selection.split.cold_users)
