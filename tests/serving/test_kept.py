"""Programs that were traced before are not traced again, and are the same; what is not whole is traced anew."""

import asyncio
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from serving import worlds
from serving.test_engine import jobs_in_loop

from metajax import Recommender
from metajax.serving import kept
from metajax.serving.batching import run
from metajax.serving.settings import Buckets
from metajax.serving.version import Version

ARGUMENTS = ({"a": np.arange(3.0, dtype=np.float32)}, np.float32(2.0))


@pytest.fixture
def scale(as_services_run):
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


@pytest.mark.parametrize("which", ["version", pytest.param("anew", marks=pytest.mark.slow)])
def test_a_version_that_traces_nothing_answers_the_same(which, request, tmp_path, monkeypatch):
    plain, buckets = request.getfixturevalue(which), Buckets(tasks=(4,), rows=(8,), lists=(100,))

    def warmed():
        one = Version(Recommender(plain.artifact), plain.name)
        one.warm_up(buckets, traces=tmp_path)
        return one

    warmed()
    assert len(list(tmp_path.iterdir())) == 3  # adapting, ranking, explaining
    monkeypatch.setattr("jax.export.export", lambda *_: pytest.fail("it is traced again"))
    jobs = asyncio.run(jobs_in_loop(warmed(), [0, 3, 5, 8]))
    same = run([replace(job, version=plain) for job in jobs], worlds.BUCKETS)
    for one, other in zip(run(jobs, buckets), same, strict=True):
        assert one.positions.tolist() == other.positions.tolist()
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-5)
