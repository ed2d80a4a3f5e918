"""A version whose programs another process has traced traces nothing, and answers the same."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from serving import worlds
from serving.test_engine import jobs_in_loop

from metajax import Recommender
from metajax.ranking.neighbours import item_directions
from metajax.serving.batching import run
from metajax.serving.settings import Buckets
from metajax.serving.version import Version


@pytest.mark.parametrize("which", ["version", pytest.param("anew", marks=pytest.mark.slow)])
def test_a_version_that_traces_nothing_answers_the_same(which, request, tmp_path, monkeypatch):
    plain, buckets = request.getfixturevalue(which), Buckets(tasks=(4,), rows=(8,), lists=(100,))

    def warmed():
        one = Version(Recommender(plain.artifact), plain.name)
        one.warm_up(buckets, traces=tmp_path)
        return one

    warmed()
    by_predictions = item_directions(plain.recommender.representations) is None
    # Answers, reasons; questions by information; what items are alike by.
    assert len(list(tmp_path.iterdir())) == 2 + plain.is_exact + by_predictions
    monkeypatch.setattr("jax.export.export", lambda *_: pytest.fail("it is traced again"))
    jobs = asyncio.run(jobs_in_loop(warmed(), [0, 3, 5, 8]))
    same = run([replace(job, version=plain) for job in jobs], worlds.BUCKETS)
    for one, other in zip(run(jobs, buckets), same, strict=True):
        assert one.positions.tolist() == other.positions.tolist()
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize("which", ["anew", pytest.param("growing", marks=pytest.mark.slow)])
def test_what_is_alike_is_what_the_recommender_finds(which, request):
    version = request.getfixturevalue(which)
    assert "directions" in vars(version.recommender)
    directions = Recommender(version.artifact).directions
    np.testing.assert_allclose(version.recommender.directions, directions, rtol=0, atol=1e-5)
