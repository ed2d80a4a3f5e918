"""A real process under load: reloads fail no request and mix no versions, and beyond its places it answers 429."""

import asyncio
import signal

import pytest
from serving import worlds

from benchmarks.serving_faults import Events, reload_under_load, send_until_killed
from benchmarks.serving_load import lasting, load
from benchmarks.serving_process import Served, variants
from metajax.experiment.artifact import write_artifact

ITEMS = [f"i{number}" for number in range(worlds.NUM_ITEMS)]
BODIES = [{"ratings": {ITEMS[one]: 5.0, ITEMS[one + 5]: 1.0}, "n": 20} for one in range(8)]


@pytest.fixture(scope="module")
def artifact(as_services_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifact") / "model"
    write_artifact(worlds.make_artifact(), folder)
    return folder


@pytest.fixture
def serve(artifact, tmp_path):
    """Start services that end with the test."""
    started = []

    def start(*options):
        started.append(Served(artifact, tmp_path, *options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


@pytest.mark.slow
def test_twenty_reloads_under_load_fail_nothing_and_mix_nothing(serve, artifact, tmp_path):
    (models := tmp_path / "models").mkdir()
    served = serve("--models", str(models))
    reloaded = reload_under_load(served, variants(artifact, models, 22), BODIES, clients=4)
    assert set(reloaded.load.statuses) == {200}
    assert reloaded.load.wrong == []
    assert len(reloaded.seconds) == 20
    assert len(reloaded.models) > 2
    assert served.metric("metajax_late_compilations_total") == 0


@pytest.mark.slow
def test_beyond_its_places_it_answers_429_and_nothing_else(serve):
    served = serve("--max-waiting", "2")
    requests = [served.door.request("/v1/recommend", body) for body in BODIES]
    over = asyncio.run(load(served.door.port, requests, clients=32, until=lasting(2.0)))
    assert set(over.statuses) == {200, 429}
    assert all(count > 10 for count in over.statuses.values())
    door = served.door
    alone = [door.call("/v1/recommend", body)["items"] for body in BODIES]
    assert all(len(items) == worlds.NUM_ITEMS - 2 for items in alone)


@pytest.mark.slow
def test_with_one_bucket_nothing_is_batched_and_answers_are_the_same(serve):
    batched, single = serve(), serve("--buckets", "1")
    for body in BODIES:
        one, other = (served.door.call("/v1/recommend", body)["items"] for served in (batched, single))
        assert [item["score"] for item in one] == pytest.approx([item["score"] for item in other], abs=1e-5)
    requests = [single.door.request("/v1/recommend", body) for body in BODIES]
    asyncio.run(load(single.door.port, requests, clients=8, until=lasting(1.0)))
    assert single.metric("metajax_batch_size_count") == single.metric("metajax_batch_size_sum") > 20


@pytest.mark.slow
def test_kills_under_load_lose_and_double_no_event(serve):
    events = Events(ITEMS, 5.0)
    for _ in range(3):
        served = serve()
        asyncio.run(send_until_killed(served, events, 0.5))
        served.end(signal.SIGKILL)
    assert len(events.acknowledged) > 10
    assert events.check(serve().door) == (0, 0)
