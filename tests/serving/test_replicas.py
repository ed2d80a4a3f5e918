"""Two services on one store: what one is told, the other knows at its next answer."""

import pytest
from serving import worlds
from serving.servers import STORES, store_address

from metajax.serving.open_store import open_store


@pytest.fixture(params=STORES)
def replicas(request, version, tmp_path):
    """Yield two services, each with a store of its own at one address."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        store_address(request.param, tmp_path) as address,
        worlds.running(version, tmp_path / "one", store=open_store(address)) as one,
        worlds.running(version, tmp_path / "two", store=open_store(address)) as two,
    ):
        yield one, two


def test_each_knows_what_the_other_was_told_and_forgets_whom_it_erased(replicas):
    one, two = replicas
    ratings = {}
    for number in range(6):
        rated, asked = (one, two) if number % 2 else (two, one)
        ratings[f"i{number}"] = 1.0 + number % 5
        rated.rate("anna", **{f"i{number}": ratings[f"i{number}"]})
        found, anew = (asked.items(body) for body in ({"user": "anna", "n": 20}, {"ratings": ratings, "n": 20}))
        assert [item["item"] for item in found] == [item["item"] for item in anew]
        assert [item["score"] for item in found] == pytest.approx([item["score"] for item in anew], abs=1e-4)
    assert one.client.delete("/v1/users/anna", headers=one.headers).json()["events"] == 6
    assert two.get("/v1/users/anna").json()["events"] == []
    assert two.items({"user": "anna", "n": 3}) == two.items({"ratings": {}, "n": 3})
