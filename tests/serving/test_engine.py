"""Batches answer as single requests do, in compiled sizes only, and move no shared parameter."""

import asyncio
import hashlib

import jax
import numpy as np
import pytest
from serving import worlds

from metajax.errors import ConfigError
from metajax.serving.batching import Batcher, Job, run
from metajax.serving.metrics import Metrics
from metajax.serving.problems import RequestError
from metajax.serving.requests import Choice
from metajax.serving.settings import Buckets
from metajax.training.compilations import compilations

HISTORIES = [0, 1, 3, 4, 5, 8, 13, 19]


def make_jobs(version, histories):
    """Return a job for each number of ratings, of items and lists that differ."""
    jobs = []
    for number, count in enumerate(histories):
        positions = np.roll(np.arange(worlds.NUM_ITEMS, dtype=np.int32), number)[:count]
        target = np.resize(np.array([5.0, 1.0, 3.0], np.float32), count)
        choice = Choice(np.ones(worlds.NUM_ITEMS, bool), positions, [])
        jobs.append(Job(version, version.prior, positions, target, choice, 1 + number, True))
    return jobs


async def jobs_in_loop(version, histories):
    return make_jobs(version, histories)


def parameters_hash(version):
    leaves = jax.tree.leaves((version._meta_params, version._representations, version.artifact.meta_params))
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()


@pytest.mark.parametrize("which", ["version", "anew", pytest.param("growing", marks=pytest.mark.slow)])
def test_batched_answers_equal_single_ones(which, request):
    """Also of histories longer than the largest size; adapting moves nothing that users share."""
    version = request.getfixturevalue(which)
    jobs = asyncio.run(jobs_in_loop(version, HISTORIES))
    before, compiled = parameters_hash(version), compilations()
    batched = [answer for part in range(0, len(jobs), 4) for answer in run(jobs[part : part + 4], worlds.BUCKETS)]
    alone = [run([job], worlds.BUCKETS)[0] for job in jobs]
    assert compilations() == compiled
    assert parameters_hash(version) == before
    for job, one, other in zip(jobs, batched, alone, strict=True):
        assert len(one.positions) == min(job.n, worlds.NUM_ITEMS - len(job.positions))
        assert one.positions.tolist() == other.positions.tolist()
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-5)
        np.testing.assert_allclose(one.variances, other.variances, rtol=0, atol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), one.state, other.state)


@pytest.mark.parametrize("count", [0, 3, 8, 19])
@pytest.mark.parametrize("which", ["version", pytest.param("growing", marks=pytest.mark.slow)])
def test_answers_are_the_recommenders(which, count, request):
    """A history beyond the largest size is adapted to in parts, which comes to the same."""
    version = request.getfixturevalue(which)
    (job,) = asyncio.run(jobs_in_loop(version, [count]))
    (answer,) = run([job], worlds.BUCKETS)
    ids = version.catalogue.ids
    ratings = {ids[one]: float(rating) for one, rating in zip(job.positions, job.target, strict=True)}
    (expected,) = version.recommender.adapt(ratings).recommend(1, min_ratings=0)
    assert ids[answer.positions[0]] == expected.item
    assert np.clip(answer.scores[0], 1, 5) == pytest.approx(expected.score, abs=1e-4)


def test_a_longer_history_than_fits_is_its_latest_ratings(anew):
    """For a learner that cannot take one part after another."""
    long, latest = asyncio.run(jobs_in_loop(anew, [19, 19]))
    short = Job(anew, anew.prior, long.positions[-8:], long.target[-8:], long.choice, long.n, False, latest.answer)
    (one,), (other,) = run([long], worlds.BUCKETS), run([short], worlds.BUCKETS)
    np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize("which", ["version", "anew"])
def test_a_feature_that_the_model_does_not_know_is_refused(which, request):
    with pytest.raises(RequestError, match="knows no feature 'shoe_size'"):
        request.getfixturevalue(which).start({"shoe_size": 42})


def test_what_waits_is_answered_together(version, monkeypatch):
    sizes = []
    monkeypatch.setattr("metajax.serving.batching.run", lambda jobs, b: sizes.append(len(jobs)) or run(jobs, b))

    async def answers():
        batcher = Batcher(worlds.BUCKETS, Metrics())
        jobs = make_jobs(version, [1] * 6)
        waiting = [asyncio.ensure_future(batcher.answer(job)) for job in jobs]
        await asyncio.sleep(0)
        waiting[1].cancel()  # a client that left
        batcher.start()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        await batcher.close()
        return found

    found = asyncio.run(answers())
    assert sizes == [3, 2]
    assert isinstance(found[1], asyncio.CancelledError)
    assert [len(one.positions) for number, one in enumerate(found) if number != 1] == [1, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("under_way", "sizes"),
    [([2], [2]), ([1], [1, 1]), ([2, 2, 1], [1, 1])],
    ids=["waits for company", "is alone", "until the other has left"],
)
def test_a_batch_waits_for_those_who_are_under_way(under_way, sizes, version, monkeypatch):
    found, ticks = [], iter(under_way)
    monkeypatch.setattr("metajax.serving.batching.run", lambda jobs, b: found.append(len(jobs)) or run(jobs, b))
    monkeypatch.setattr("metajax.serving.batching.PATIENCE", 60.0)

    async def answers():
        batcher = Batcher(worlds.BUCKETS, Metrics(), lambda: next(ticks, under_way[-1]))
        batcher.start()
        first, second = make_jobs(version, [1, 1])
        one = asyncio.ensure_future(batcher.answer(first))
        await (asyncio.sleep(0.01) if sizes == [2] else asyncio.wait_for(asyncio.shield(one), 30))
        await asyncio.gather(one, batcher.answer(second))
        await batcher.close()

    asyncio.run(answers())
    assert found == sizes


def test_a_batch_that_fails_fails_its_jobs_only(version, monkeypatch):
    def fail(jobs, buckets):
        raise FloatingPointError("planted")

    async def answers():
        batcher = Batcher(worlds.BUCKETS, Metrics())
        batcher.start()
        with monkeypatch.context() as patch:
            patch.setattr("metajax.serving.batching.run", fail)
            with pytest.raises(FloatingPointError, match="planted"):
                await batcher.answer(make_jobs(version, [1])[0])
        found = await batcher.answer(make_jobs(version, [1])[0])
        await batcher.close()
        return found

    assert len(asyncio.run(answers()).positions) == 1


def test_what_waits_when_it_closes_is_answered(version):
    async def answers():
        batcher = Batcher(worlds.BUCKETS, Metrics())
        waiting = [asyncio.ensure_future(batcher.answer(job)) for job in make_jobs(version, [1] * 6)]
        batcher.start()
        await asyncio.sleep(0)
        await batcher.close()
        return await asyncio.gather(*waiting)

    assert [len(one.positions) for one in asyncio.run(answers())] == [1, 2, 3, 4, 5, 6]


def test_a_short_list_is_the_beginning_of_a_long_one(version):
    """Scores and variances are the same, whichever length was compiled."""
    jobs = asyncio.run(jobs_in_loop(version, [3]))
    [short] = run(jobs, Buckets(tasks=(1,), rows=(4, 8), lists=(jobs[0].n, 100)))
    [whole] = run(jobs, Buckets(tasks=(1,), rows=(4, 8), lists=(100,)))
    assert short.positions.tolist() == whole.positions.tolist()
    np.testing.assert_allclose(short.scores, whole.scores, rtol=0, atol=1e-6)
    np.testing.assert_allclose(short.variances, whole.variances, rtol=1e-5)


@pytest.mark.parametrize("sizes", [(), (4, 2), (0, 1), (2, 2)])
def test_buckets_ascend(sizes):
    with pytest.raises(ConfigError, match="Buckets ascend"):
        Buckets(rows=sizes)


def test_long_histories_are_answered_alone_or_in_the_largest_batch(version, monkeypatch):
    """Nothing else is compiled for them, and nothing compiles when they come."""
    sizes = Buckets(tasks=(1, 2, 4), rows=(4, 8), lists=(5, 10))
    assert sizes.tasks_for(4, 5) == (1, 2, 4)
    assert sizes.tasks_for(8, 10) == (1, 4)
    assert sizes.tasks_for(4, 10) == (1, 4)
    assert Buckets(tasks=(1,), rows=(4, 8), lists=(5, 10)).tasks_for(8, 10) == (1,)
    assert Buckets(rows=(4, 8), lists=(5, 10)).lists_for(4) == (5, 10)
    assert Buckets(rows=(4, 8), lists=(5, 10)).lists_for(8) == (10,)
    sizes = []
    answer = version.answer
    monkeypatch.setattr(version, "answer", lambda *of: sizes.append(of[1].positions.shape) or answer(*of))
    jobs, before = asyncio.run(jobs_in_loop(version, [8, 1])), compilations()
    buckets = Buckets(tasks=(1, 2, 4), rows=(4, 8), lists=(100,))
    together, alone = run(jobs, buckets), [run([job], buckets)[0] for job in jobs]
    assert sizes == [(4, 8), (1, 8), (1, 4)]
    assert compilations() == before
    assert [one.positions.tolist() for one in together] == [one.positions.tolist() for one in alone]
