"""The client: against the service, and against one that is busy, away or not there."""

import json
import re

import httpx
import pytest

from metajax.serving import client as module
from metajax.serving.client import Client, ServiceError
from metajax.serving.schemas import FeedbackEvent, Request


class Inside(httpx.BaseTransport):
    """To the application in this process."""

    def __init__(self, running):
        self.handle_request = running.client._transport.handle_request


@pytest.fixture
def client(running):
    key = running.headers["Authorization"].removeprefix("Bearer ")
    with Client("http://testserver.local", key, patience=0.0, transport=Inside(running)) as one:
        yield one


@pytest.fixture
def pauses(monkeypatch):
    """Return the pauses that the client makes, which take no time but let its clock go on."""
    made = []
    monkeypatch.setattr(module.time, "sleep", made.append)
    monkeypatch.setattr(module.time, "monotonic", lambda: sum(made))
    return made


def served(*answers, **options) -> tuple[Client, list[httpx.Request]]:
    """Return a client of a service that gives these answers in turn, and what it was asked."""
    asked, left = [], list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    return Client("http://service", transport=httpx.MockTransport(answer), **options), asked


def busy(status=429, **headers) -> httpx.Response:
    error = {"code": "too_busy", "message": "The service is busy.", "request_id": "r1"}
    return httpx.Response(status, headers=headers, json={"error": error})


def stored(*names) -> httpx.Response:
    return httpx.Response(200, json={"results": [{"id": name, "stored": True} for name in names]})


def test_what_is_rated_moves_the_next_list(client):
    before = client.recommend("anna/with slash", n=20)
    assert (before.user_known, before.model) == (False, "one")
    assert client.rate("anna/with slash", "i0", 5.0).stored
    after = client.recommend("anna/with slash", n=20)
    assert {one.item for one in before.items} - {one.item for one in after.items} == {"i0"}
    assert client.user("anna/with slash").ratings == {"i0": 5.0}
    assert client.rate("anna/with slash", "i0", None, at=2e9 - 1e9).stored


def test_a_user_is_erased(client):
    client.rate("anna", "i0", 5.0)
    assert (client.erase("anna"), client.erase("anna")) == (1, 0)
    assert client.user("anna").events == []


def test_ratings_may_be_given_with_the_request(client):
    found = client.recommend(ratings={"i0": 5.0, "nothing": 1.0}, n=3, exclude=["i1"], candidates=["i0", "i1", "i2"])
    assert ([one.item for one in found.items], found.unknown_items) == (["i2"], ["nothing"])


def test_each_request_of_a_batch_has_its_answer(client):
    good, bad = client.recommend_batch([Request(user="anna"), Request(user="anna", ratings={"i0": 1.0})])
    assert (len(good.ok.items), bad.error.code) == (10, "invalid")


def test_items_are_found(client):
    assert client.search("title of i7")[0].item == "i7"
    assert len(client.similar("i7", n=3)) == 3
    with pytest.raises(ServiceError, match="no such item") as told:
        client.similar("nothing")
    assert (told.value.status, told.value.code) == (404, "unknown_item")
    assert client.is_ready()


def test_what_to_ask_leaves_out_what_was_asked(client):
    asked = [one.item for one in client.questions("anna", n=3)]
    assert len(asked) == 3
    assert not {one.item for one in client.questions("anna", n=3, exclude=asked)} & set(asked)


def test_a_missing_key_is_told(running):
    client = Client("http://testserver.local", transport=Inside(running))
    with client, pytest.raises(ServiceError, match="Send a key") as told:
        client.recommend("anna")
    assert (told.value.status, told.value.code) == (401, "no_key")
    assert re.fullmatch("[0-9a-f]{16}-[0-9]+", told.value.request_id)


def test_events_are_sent_again_under_the_same_ids(pauses):
    client, asked = served(busy(503), httpx.ReadTimeout("slow"), stored("x"))
    assert client.rate("anna", "i0", 5.0).stored
    ids = [json.loads(request.content)["events"][0]["id"] for request in asked]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert len(ids[0]) == 32


def test_an_id_that_is_given_is_kept(pauses):
    client, asked = served(stored("mine"))
    client.feedback([FeedbackEvent(id="mine", user="anna", item="i0", rating=5.0)])
    assert json.loads(asked[0].content)["events"][0]["id"] == "mine"


def test_pauses_grow_and_are_no_shorter_than_asked_for(pauses):
    client, asked = served(busy(), busy(), busy(**{"Retry-After": "7"}), busy(**{"Retry-After": "a date"}), stored("x"))
    client.rate("anna", "i0", 5.0)
    assert len(asked) == 5
    assert 0.05 <= pauses[0] <= 0.1 <= pauses[1] <= 0.2
    assert pauses[2] == 7.0
    assert 0.4 <= pauses[3] <= 0.8


def test_patience_ends(pauses):
    client, _ = served(busy(), patience=20.0)
    with pytest.raises(ServiceError, match=r"The service is busy\.") as told:
        client.recommend("anna")
    assert (told.value.status, told.value.code, told.value.request_id) == (429, "too_busy", "r1")
    assert 10 < sum(pauses) <= 20
    client, _ = served(httpx.ConnectError("refused"), patience=1.0)
    with pytest.raises(ServiceError, match=r"does not answer: refused\. See whether the service runs there") as told:
        client.recommend("anna")
    assert (told.value.status, told.value.code) == (None, "unreachable")


def test_a_pause_longer_than_patience_is_not_made(pauses):
    client, asked = served(busy(**{"Retry-After": "3600"}))
    with pytest.raises(ServiceError, match="busy"):
        client.recommend("anna")
    assert (len(asked), pauses) == (1, [])


@pytest.mark.parametrize("status", [400, 403, 413, 500])
def test_what_would_fail_again_is_sent_once(pauses, status):
    client, asked = served(busy(status))
    with pytest.raises(ServiceError, match="busy"):
        client.recommend("anna")
    assert len(asked) == 1


def test_an_error_of_something_between_is_told(pauses):
    client, _ = served(httpx.Response(502, text="<html>"), patience=0.0)
    with pytest.raises(ServiceError, match=r"answered 502 Bad Gateway, not in the service's form"):
        client.recommend("anna")
    assert not client.is_ready()


def test_long_batches_take_several_calls(pauses):
    client, asked = served(stored())
    client.feedback([FeedbackEvent(user="anna", item="i0", rating=5.0)] * 2001)
    assert [len(json.loads(request.content)["events"]) for request in asked] == [1000, 1000, 1]
    client, asked = served(httpx.Response(200, json={"results": []}))
    client.recommend_batch([Request(user="anna")] * 101)
    assert [len(json.loads(request.content)["requests"]) for request in asked] == [100, 1]
