"""Programs that were traced before are not traced again, and are the same; what is not whole is traced anew."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import toy

from metajax.training import kept

ARGUMENTS = ({"a": np.arange(3.0, dtype=np.float32)}, np.float32(2.0))


@pytest.fixture
def scale(as_users_run):
    """Return a function of pytrees, and how often it was traced."""
    traced = []

    def scaled(tree, by):
        traced.append(by)
        return [tree["a"] * by, jnp.sum(tree["a"])]

    return scaled, traced


def called(function, path):
    return kept.compiled(function, ARGUMENTS, result=jax.tree.structure([0, 0]), path=path)(*ARGUMENTS)


@pytest.mark.parametrize("damage", [None, b"", b"not a program"])
def test_it_is_traced_once_unless_what_is_kept_is_damaged(scale, tmp_path, damage):
    function, traced = scale
    path = tmp_path / "folder" / "one.stablehlo"
    first = called(function, path)
    if damage is not None:
        path.write_bytes(damage)
    for _ in range(2):
        jax.tree.map(np.testing.assert_array_equal, called(function, path), first)
    assert len(traced) == (1 if damage is None else 2)


def test_without_a_place_or_with_one_that_cannot_be_written_it_works(scale, tmp_path):
    function, traced = scale
    (tmp_path / "file").write_text("")
    for path in (None, tmp_path / "file" / "one.stablehlo"):
        np.testing.assert_array_equal(called(function, path)[0], [0, 2, 4])
    assert len(traced) >= 2


def test_each_version_shape_and_code_has_its_own(tmp_path, monkeypatch):
    places = [kept.place(tmp_path, *names) for names in (("v", "adapt 1 8"), ("v", "adapt 4 8"), ("w", "adapt 1 8"))]
    monkeypatch.setattr(kept, "_code", lambda: "another")
    places.append(kept.place(tmp_path, "v", "adapt 1 8"))
    assert len(set(places)) == 4
    assert {path.parent for path in places} == {tmp_path}


def test_training_from_a_kept_trace_is_the_same_run(as_users_run, tmp_path, monkeypatch):
    trace = partial(kept.place, tmp_path / "programs", "toy")
    runs = [toy.run(tmp_path / "without"), toy.run(tmp_path / "first", trace=trace)]
    assert len(list((tmp_path / "programs").iterdir())) == 2  # the first state, and outer steps
    monkeypatch.setattr("jax.export.export", lambda *_: pytest.fail("it is traced again"))
    runs.append(toy.run(tmp_path / "second", trace=trace))
    assert len({int(run.step) for run in runs}) == 1
    for run in runs[1:]:
        jax.tree.map(np.testing.assert_array_equal, run.meta_params, runs[0].meta_params)


@pytest.mark.slow
def test_a_program_with_other_buckets_has_another_place(as_users_run, tmp_path):
    places = []

    def trace(name):
        places.append(kept.place(tmp_path, "toy", name))
        return places[-1]

    for tasks in (4, 4, 5):
        toy.run(tmp_path / f"{len(places)}", trace=trace, tasks_per_step=tasks, outer_steps=5)
    assert places[:2] == places[2:4]
    assert places[3] != places[5]
