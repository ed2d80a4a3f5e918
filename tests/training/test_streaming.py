"""Training from histories on disk: it learns, and it resumes bit for bit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import toy

from metajax.errors import ConfigError
from metajax.learners import anil
from metajax.losses import squared_error
from metajax.tasks import EpisodeConfig, write_histories
from metajax.training.loop import TrainingConfig, train
from metajax.training.run_log import read_log

pytest.importorskip("grain", reason="needs the extra stream")
pytestmark = pytest.mark.usefixtures("as_users_run")


def test_training_from_disk_learns_and_resumes_bit_for_bit(tmp_path):
    rows, features = toy.data()
    users = np.repeat(np.arange(12), 10)
    chunk = (users, np.asarray(rows.items), np.asarray(rows.target))
    stored = write_histories(tmp_path / "stored", lambda: iter([chunk]), num_users=12)
    run = partial(
        train,
        anil(toy.model(), squared_error(), inner_step_size=0.05),
        optax.adam(0.05),
        histories=stored,
        catalogue=features,
        episodes=EpisodeConfig(query_rows=3, max_support=5, min_support=5, buckets=()),
        validate=None,
        seed=3,
        show_progress=False,
    )
    config = TrainingConfig(outer_steps=40, tasks_per_step=4, validate_every=5)
    whole = run(config=config, folder=tmp_path / "whole")
    lines = read_log(tmp_path / "whole")
    assert lines[-1]["loss"] < 0.1 * lines[0]["loss"]
    run(config=config, folder=tmp_path / "parts", stop_at=15)
    again = run(config=config, folder=tmp_path / "parts", resume=True)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(one, jnp.asarray(other))
    with pytest.raises(ConfigError, match=r"one meta-batch a step, got config\.accumulate=2"):
        run(config=TrainingConfig(accumulate=2), folder=tmp_path / "refused")
