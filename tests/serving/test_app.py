"""What clients are promised: lists, read-your-writes, idempotence, corrections, erasure, errors."""

import asyncio
import json
import re
import time
from dataclasses import replace
from urllib.parse import quote

import pytest
from serving import worlds

import metajax
from metajax.errors import StoreError
from metajax.serving.settings import Settings

LOVES, HATES = {"i0": 5.0, "i1": 5.0, "i2": 5.0}, {"i0": 1.0, "i1": 1.0, "i2": 1.0}


def test_a_user_nobody_has_seen_gets_the_prior(running):
    response = running.post("/v1/recommend", {"user": "stranger", "n": 3})
    body = response.json()
    assert response.status_code == 200
    assert (body["model"], body["arm"], body["user_known"]) == ("one", "a", False)
    assert body["items"] == running.items({"ratings": {}, "n": 3})
    assert [one["title"] for one in body["items"]] == [f"Title of {one['item']}" for one in body["items"]]
    assert body["request_id"] == response.headers["x-request-id"]


def test_the_next_list_knows_what_was_rated(running):
    before = running.items({"user": "anna", "n": 20})
    running.rate("anna", **LOVES)
    after = running.items({"user": "anna", "n": 20})
    assert {one["item"] for one in before} - {one["item"] for one in after} == set(LOVES)
    assert after == running.items({"ratings": LOVES, "n": 20})
    assert after != running.items({"ratings": HATES, "n": 20})


def settled(running):
    """Wait until the states that answers left behind are stored."""
    for _ in range(200):
        if not running.service._later:
            return
        time.sleep(0.01)
    raise AssertionError("states are not stored")


@pytest.mark.parametrize("which", ["version", "anew"])
def test_rating_one_after_another_comes_to_the_same(which, request, tmp_path):
    """From a stored state where streaming is exact, else anew; also beyond the largest size."""
    ratings = {f"i{number}": 1.0 + number % 5 for number in range(11)}
    with worlds.running(request.getfixturevalue(which), tmp_path) as running:
        for item, rating in ratings.items():
            running.rate("anna", **{item: rating})
            one_by_one = running.items({"user": "anna"})
            settled(running)
        assert (len(running.store.states) == 1) == (which == "version")
        at_once = running.items({"ratings": ratings})
        assert [one["item"] for one in one_by_one] == [one["item"] for one in at_once]
        assert [one["score"] for one in one_by_one] == pytest.approx([one["score"] for one in at_once], abs=1e-4)


def test_a_state_takes_in_the_new_ratings_only(running, monkeypatch):
    taken = []
    answer = running.service.batcher.answer
    monkeypatch.setattr(
        running.service.batcher, "answer", lambda job: taken.append(job.positions.tolist()) or answer(job)
    )
    running.rate("anna", i3=5.0)
    for ratings in ({}, {"i4": 1.0}, {"i3": 1.0}):  # nothing new; one more; a correction, which begins anew
        running.rate("anna", **ratings) if ratings else None
        running.items({"user": "anna"})
        settled(running)
    position = running.service.versions.active.catalogue.position
    assert taken == [[position("i3")], [position("i4")], [position("i4"), position("i3")]]


def test_corrections_and_withdrawals_hold(running):
    running.rate("anna", **LOVES)
    running.items({"user": "anna"})
    running.rate("anna", **HATES)
    assert running.items({"user": "anna", "n": 20}) == running.items({"ratings": HATES, "n": 20})
    running.rate("anna", i0=None, i1=None, i2=None)
    assert running.items({"user": "anna", "n": 20}) == running.items({"ratings": {}, "n": 20})
    assert running.get("/v1/users/anna").json()["ratings"] == {}


def test_a_rating_that_comes_late_does_not_undo_a_later_one(running):
    for rating, seconds in ((5.0, 200.0), (1.0, 100.0)):
        running.post("/v1/feedback", {"user": "anna", "item": "i0", "rating": rating, "time": seconds})
    assert running.get("/v1/users/anna").json()["ratings"] == {"i0": 5.0}


def test_an_event_sent_twice_is_stored_once(running):
    event = {"id": "e1", "user": "anna", "item": "i0", "rating": 4.0}
    assert running.post("/v1/feedback", event).json()["results"] == [{"id": "e1", "stored": True, "duplicate": False}]
    again = running.post("/v1/feedback", {"events": [event | {"rating": 1.0}, event | {"user": "bert"}]})
    assert [one["duplicate"] for one in again.json()["results"]] == [True, False]  # another user's id is another id
    user = running.get("/v1/users/anna").json()
    assert user["ratings"] == {"i0": 4.0}
    assert [one["id"] for one in user["events"]] == ["e1"]


def test_erasure_leaves_nothing(running):
    running.rate("anna", **LOVES)
    running.items({"user": "anna"})
    settled(running)
    assert running.store.states
    assert running.client.delete("/v1/users/anna", headers=running.headers).json() == {"user": "anna", "events": 3}
    assert (running.store.events, running.store.states) == ([], {})
    user = running.get("/v1/users/anna").json()
    assert (user["events"], user["state_revision"]) == ([], None)
    assert not running.post("/v1/recommend", {"user": "anna"}).json()["user_known"]


@pytest.mark.parametrize("user", ["a/", "/a", "a//b", "a?b", "a%2F", "👩\u200d🚀", "a\u00a0b", "...", " "])
def test_whoever_can_rate_is_exported_and_erased_as_themselves(running, user):
    running.rate("a", i0=1.0)
    running.rate(user, i1=2.0)
    path = f"/v1/users/{quote(user, safe='')}"
    found = running.get(path).json()
    assert (found["user"], found["ratings"]) == (user, {"i1": 2.0})
    assert "i1" not in {one["item"] for one in running.items({"user": user, "n": 20})}
    assert running.get(f"/v1/questions/{quote(user, safe='')}?n=1").status_code == 200
    assert running.client.delete(path, headers=running.headers).json() == {"user": user, "events": 1}
    assert running.get(path).json()["events"] == []
    assert running.get("/v1/users/a").json()["ratings"] == {"i0": 1.0}


@pytest.mark.parametrize("user", [".", "..", "/", "//", "a\n", "\x7f"])
def test_whom_no_path_can_name_cannot_rate(running, user):
    response = running.post("/v1/feedback", {"user": user, "item": "i0", "rating": 4.0})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid")
    assert running.post("/v1/recommend", {"user": user}).status_code == 400


@pytest.mark.parametrize("path", ["//v1/users/a", "/v1//users/a", "/v1/users/%ff"])
def test_a_path_that_does_not_name_a_user_is_refused(running, path):
    response = running.get(f"http://testserver.local{path}")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid")


def test_lists_are_of_what_is_asked_for(running):
    found = running.items({"ratings": LOVES, "candidates": ["i0", "i5", "i6", "i7"], "exclude": ["i6"], "n": 10})
    assert {one["item"] for one in found} == {"i5", "i7"}
    everything = running.items({"ratings": LOVES, "exclude_seen": False, "n": 100})
    assert {one["item"] for one in everything} == {f"i{number}" for number in range(worlds.NUM_ITEMS)}
    assert [one["score"] for one in everything] == sorted((one["score"] for one in everything), reverse=True)
    popular = running.items({"ratings": {}, "min_ratings": 16, "n": 100})
    assert len(popular) == 5
    assert running.items({"ratings": {}, "candidates": []}) == []


def test_scores_of_what_only_ranks_are_on_no_scale(ranking, tmp_path):
    with worlds.running(ranking, tmp_path) as running:
        items = running.items({"ratings": LOVES, "n": 10})
        assert len({one["score"] for one in items}) == 10
        assert max(one["score"] for one in items) > 5 or min(one["score"] for one in items) < 1
        assert not running.get("/v1/session").json()["predicts_ratings"]


def test_unknown_items_and_ratings_off_the_scale_are_told_one_by_one(running):
    body = running.post("/v1/recommend", {"ratings": {"i0": 5.0, "x": 3.0, "i1": 9.0}, "exclude": ["y"]}).json()
    assert body["unknown_items"] == ["x", "y"]
    assert [(one["item"], one["code"]) for one in body["ignored"]] == [("i1", "off_scale")]
    events = [
        {"user": "anna", "item": "x", "rating": 3.0},
        {"user": "anna", "item": "i0", "rating": 0.0},
        {"user": "anna", "item": "i0", "rating": 3.0, "time": time.time() + 1e6},
        {"user": "anna", "item": "i1", "rating": 3.0},
    ]
    results = running.post("/v1/feedback", {"events": events}).json()["results"]
    assert [one["stored"] for one in results] == [False, False, False, True]
    assert [one["error"]["code"] for one in results[:3]] == ["unknown_item", "off_scale", "future"]
    assert running.get("/v1/users/anna").json()["ratings"] == {"i1": 3.0}


def test_a_batch_has_errors_of_its_own(running):
    requests = [{"user": "anna", "n": 2}, {}, {"ratings": LOVES, "n": 3}]
    results = running.post("/v1/recommend:batch", {"requests": requests}).json()["results"]
    assert [list(one) for one in results] == [["ok"], ["error"], ["ok"]]
    assert results[2]["ok"]["items"] == running.items({"ratings": LOVES, "n": 3})


@pytest.mark.parametrize("max_waiting", [4, Settings().max_waiting])
def test_a_service_with_nothing_else_to_do_answers_a_whole_batch(version, tmp_path, max_waiting):
    settings = replace(worlds.SETTINGS, max_waiting=max_waiting)
    with worlds.running(version, tmp_path, settings=settings) as running:
        results = running.post("/v1/recommend:batch", {"requests": [{"user": "anna"}] * 100}).json()["results"]
    assert [list(one) for one in results] == [["ok"]] * 100


MALFORMED = {
    "no json": b"{",
    "not unicode": b'{"user": "\xff"}',
    "half a character": b'{"user": "\\ud800"}',
    "nothing": b"",
    "not a number": b'{"ratings": {"i0": NaN}}',
    "infinite": b'{"ratings": {"i0": 1e999}}',
    "text for a number": b'{"user": "a", "n": "3"}',
    "a field too many": b'{"user": "a", "number": 3}',
    "deep": b'{"ratings": ' + b"[" * 100_000 + b"}",
    "n too small": b'{"user": "a", "n": 0}',
    "n too large": b'{"user": "a", "n": 101}',
    "no user": b"{}",
    "both": b'{"user": "a", "ratings": {}}',
    "an empty id": b'{"user": ""}',
    "a long id": b'{"user": "' + b"a" * 129 + b'"}',
    "an id that does not print": b'{"user": "a\\u0000"}',
    "too many candidates": json.dumps({"user": "a", "candidates": ["i0"] * 5001}).encode(),
    "a feature of objects": b'{"ratings": {}, "features": {"gender": {"a": 1}}}',
    "a feature of 401 digits": b'{"ratings": {}, "features": {"age": 1' + b"0" * 400 + b"}}",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_makes_no_sense_is_answered_400(running, content):
    headers = running.headers | {"Content-Type": "application/json", "X-Request-ID": "mine-1"}
    response = running.client.post("/v1/recommend", content=content, headers=headers)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["code"], error["request_id"]) == ("invalid", "mine-1")
    assert "Traceback" not in response.text


def test_other_errors_have_the_same_form(running):
    for response, status, code in [
        (running.get("/v1/nothing"), 404, "not_found"),
        (running.get("/v1/recommend"), 405, "method_not_allowed"),
        (running.get("/v1/items/x/similar"), 404, "unknown_item"),
        (running.get("/v1/items?n=x"), 400, "invalid"),
        (running.get("/v1/users/" + "a" * 129), 400, "invalid"),
        (running.post("/v1/feedback", {"user": "anna", "item": "i0"}), 400, "invalid"),
        (running.post("/v1/feedback", {"events": [], "user": "anna"}), 400, "invalid"),
        (running.post("/v1/recommend", {"user": "a" * (2 << 20)}), 413, "too_large"),
        (running.client.post("/v1/recommend", json={"user": "anna"}), 401, "no_key"),
    ]:
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-request-id"] == response.json()["error"]["request_id"]


def test_a_store_that_is_gone_is_told(running):
    running.store.fault = StoreError("secret address")
    event = {"user": "anna", "item": "i0", "rating": 4.0}
    for response in (
        running.post("/v1/recommend", {"user": "anna"}),
        running.post("/v1/feedback", event),
        running.get("/v1/users/anna"),
        running.client.delete("/v1/users/anna", headers=running.headers),
        running.get("/health/ready"),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (503, "store_gone")
        assert "secret" not in response.text
    assert len(running.items({"ratings": {}})) == 10  # needs no store
    metrics = running.get("/metrics").text
    for call in ("append", "read", "erase", "ready"):
        assert re.search(rf'metajax_store_errors_total{{call="{call}"}} [1-9]', metrics), call
    running.store.fault = None
    assert running.post("/v1/feedback", event).json()["results"][0]["stored"]


def test_a_defect_tells_nothing(running, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("metajax.serving.batching.run", fail)
    response = running.post("/v1/recommend", {"user": "anna"})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "defect")
    assert "secret" not in response.text


def test_beyond_the_limit_requests_are_turned_away(running):
    running.service.listing.taken = running.service.settings.max_waiting
    response = running.post("/v1/recommend", {"user": "anna"})
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    counted = 'metajax_request_seconds_count{route="/v1/recommend",status="429"} 1.0'
    assert counted in running.get("/metrics").text
    results = running.post("/v1/recommend:batch", {"requests": [{"user": "anna"}]}).json()["results"]
    assert results[0]["error"]["code"] == "too_busy"
    running.service.listing.taken = 0
    assert running.post("/v1/recommend", {"user": "anna"}).status_code == 200
    assert running.service.listing.taken == 0


def test_time_is_limited(version, tmp_path):
    class SlowStore(worlds.MemoryStore):
        async def read(self, user, model):
            await asyncio.sleep(60)

    with worlds.running(
        version, tmp_path, store=SlowStore(), settings=Settings(buckets=worlds.BUCKETS, deadline=0.05)
    ) as running:
        response = running.post("/v1/recommend", {"user": "anna"})
        assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline")


def test_an_erasure_has_more_time(version, tmp_path):
    """As much as the store needs to rewrite its file, and places of its own."""

    class SlowStore(worlds.MemoryStore):
        seconds = 0.2

        async def erase(self, user):
            await asyncio.sleep(self.seconds)
            return await super().erase(user)

    settings = replace(worlds.SETTINGS, deadline=0.1, erase_deadline=2.0)
    store = SlowStore()
    with worlds.running(version, tmp_path, store=store, settings=settings) as running:
        running.service.storing.taken = settings.max_storing
        response = running.client.delete("/v1/users/anna", headers=running.headers)
        assert (response.status_code, response.json()) == (200, {"user": "anna", "events": 0})
        store.seconds = 60
        response = running.client.delete("/v1/users/anna", headers=running.headers)
        assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline")
        running.service.erasing.taken = settings.max_erasing
        response = running.client.delete("/v1/users/anna", headers=running.headers)
        assert (response.status_code, response.json()["error"]["code"]) == (429, "too_busy")


def test_items_are_found_by_title(running):
    found = running.get("/v1/items", params={"query": "TITLE OF I1", "n": 3}).json()["items"]
    assert [one["item"] for one in found] == ["i19", "i18", "i17"]  # the popular first
    assert found[0]["title"] == "Title of i19"
    assert [one["item"] for one in running.get("/v1/items?n=2").json()["items"]] == ["i19", "i18"]
    assert running.get("/v1/items?query=!!").json()["items"] == []


def test_similar_items_are_the_recommenders(running, version):
    found = running.get("/v1/items/i3/similar", params={"n": 5}).json()["items"]
    assert [(one["item"], one["score"]) for one in found] == [
        (one.item, one.score) for one in version.recommender.similar("i3", 5)
    ]


@pytest.mark.parametrize("which", ["version", "anew"])
def test_questions_are_the_recommenders(which, request, tmp_path):
    version = request.getfixturevalue(which)
    with worlds.running(version, tmp_path) as running:
        running.rate("anna", **LOVES)
        found = running.get("/v1/questions/anna?n=3&exclude=i19").json()["items"]
    strategy = "information" if which == "version" else "popularity_entropy"
    expected = version.recommender.adapt(LOVES).questions(3, strategy=strategy, exclude=["i19"])
    assert [one["item"] for one in found] == [one.item for one in expected]
    assert not {"i19", *LOVES} & {one["item"] for one in found}


@pytest.mark.parametrize("which", ["version", "anew"])
def test_a_list_is_explained_by_the_users_ratings(which, request, tmp_path):
    version = request.getfixturevalue(which)
    with worlds.running(version, tmp_path) as running:
        running.rate("anna", **LOVES)
        found = running.items({"user": "anna", "n": 17, "explain": True})
        assert running.items({"ratings": {}, "n": 1, "explain": True})[0]["why"] == []
        assert "why" not in running.items({"user": "anna", "n": 1})[0]
    person = version.recommender.adapt(LOVES)
    for item in (found[0], found[-1]):
        expected = person.explain(item["item"])
        assert [one["item"] for one in item["why"]] == [one.item for one in expected]
        assert [one["effect"] for one in item["why"]] == pytest.approx([one.effect for one in expected], abs=1e-4)


def test_nothing_compiles_after_ready(running):
    from metajax.training.compilations import compilations

    before = compilations()
    for count in (0, 1, 4, 5, 8, 9, 19):
        ratings = {f"i{number}": 3.0 for number in range(count)}
        running.items({"ratings": ratings, "n": 1 + count})
        running.rate(f"u{count}", **ratings) if ratings else None
        running.items({"user": f"u{count}"})
    running.items({"user": "u9", "n": 17, "explain": True})
    running.get("/v1/items/i3/similar")
    running.get("/v1/questions/u4?n=3")
    running.post("/v1/recommend:batch", {"requests": [{"user": "anna"}] * 7})
    assert compilations() == before
    metrics = running.get("/metrics").text
    assert "metajax_late_compilations_total 0.0" in metrics
    for name in (
        "request_seconds_bucket",
        "queue_length",
        "batch_size_bucket",
        "compilations",
        "adaptation_loss_bucket",
    ):
        assert f"metajax_{name}" in metrics
    assert "metajax_ready 1.0" in metrics
    assert 'metajax_rating_level_total{level="3"}' in metrics
    assert 'metajax_coverage{of="recommended"}' in metrics


def test_the_api_describes_itself(running):
    schema = running.get("/openapi.json").json()
    assert {"/v1/recommend", "/v1/recommend:batch", "/v1/feedback", "/v2/models/metajax/infer"} <= schema[
        "paths"
    ].keys()
    page = running.get("/docs")
    assert "POST /v1/recommend:batch" in page.text
    assert "<script" not in page.text


def tensors(**inputs):
    kinds = {"items": "BYTES", "candidates": "BYTES", "ratings": "FP32"}
    return [
        {"name": name, "shape": [len(data)], "datatype": kinds[name], "data": data} for name, data in inputs.items()
    ]


def test_the_open_inference_protocol(running):
    assert running.get("/v2/health/live").json() == {"live": True}
    assert running.get("/v2/health/ready").json() == {"ready": True}
    assert running.get("/v2").json() == {"name": "metajax", "version": metajax.__version__, "extensions": []}
    assert running.get("/v2/models/metajax").json()["versions"] == ["one"]
    body = {"id": "7", "inputs": tensors(items=list(LOVES), ratings=list(LOVES.values())), "parameters": {"n": 3}}
    answer = running.post("/v2/models/metajax/infer", body).json()
    expected = running.items({"ratings": LOVES, "n": 3})
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("metajax", "one", "7")
    assert [answer["outputs"][0]["data"], answer["outputs"][1]["data"]] == [
        [one["item"] for one in expected],
        [one["score"] for one in expected],
    ]
    for inputs in (
        tensors(items=["i0"], ratings=[]),
        tensors(items=["i0", "i0"], ratings=[1, 2]),
        tensors(items=["i0"], candidates=["i1"]),
        tensors(items=[1], ratings=[1]),
        tensors(items=["i0"], ratings=[10**400]),
    ):
        response = running.post("/v2/models/metajax/infer", {"inputs": inputs})
        assert response.status_code == 400
        assert isinstance(response.json()["error"], str)
