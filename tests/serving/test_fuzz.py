"""Whatever the API's description allows, and much that it does not, is answered without a defect."""

import http.client
import json
import re
import socket
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from serving import worlds

from metajax.serving.access import Access
from metajax.serving.app import make_app
from metajax.serving.keys import Keys, create_key
from metajax.serving.metrics import Metrics
from metajax.serving.server import Server, open_socket
from metajax.serving.service import Service
from metajax.serving.sqlite import SqliteStore
from metajax.serving.tokens import Sessions
from metajax.serving.versions import Versions

QUIET = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture)


@pytest.fixture
def service(version, tmp_path):
    settings = replace(worlds.SETTINGS, body_seconds=0.5)
    return Service(Versions(version, settings), SqliteStore(tmp_path / "users.db"), settings, Metrics())


@pytest.fixture
def served(service, tmp_path):
    """Serve on a socket, with users in SQLite; return the address and a key for everything."""
    text = create_key(tmp_path / "keys.json", ["recommend", "feedback", "admin"])
    keys = Keys(tmp_path / "keys.json")
    app = make_app(service, Access(keys, Sessions(keys.derived("session"), 1e6), None))
    server, listening = Server(app, service, lambda: None), open_socket("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not service.is_ready:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", worlds.bearer(text)
    server.handle_exit(15, None)
    thread.join()


@pytest.mark.slow
def test_no_request_meets_a_defect(served):
    schemathesis = pytest.importorskip("schemathesis")
    requests = pytest.importorskip("requests")
    address, headers = served
    with requests.Session() as session:
        schema = schemathesis.openapi.from_dict(session.get(f"{address}/openapi.json").json())
        statuses = set()
        for operation in (found.ok() for found in schema.get_all_operations()):
            for mode in schemathesis.GenerationMode:

                @given(case=operation.as_strategy(generation_mode=mode))
                @hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=QUIET, database=None)
                def check(case):
                    response = case.call(base_url=address, headers=headers, session=session)
                    statuses.add(response.status_code)
                    assert response.status_code < 500, (case.as_curl_command(), response.content)

                try:
                    check()
                except Unsatisfiable:
                    continue  # nothing about the operation can be wrong
    assert {200, 400, 404} <= statuses


def connected(served):
    host, port = served[0].removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
UNREAD = b"POST /v1/feedback HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def ask(connection, request=LIVE + b"\r\n"):
    """Send what is a whole request, or the end of one; return the answer's status and whether it is kept."""
    connection.sendall(request)
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status, not answer.will_close


def is_closed(connection):
    """Wait until the service closes a connection, without an answer."""
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


@pytest.mark.slow
def test_slow_clients_hold_nothing_for_long(served, monkeypatch):
    """Neither one that says nothing, nor one whose headers or body do not come, be it on a connection that is kept."""
    monkeypatch.setattr("metajax.serving.server.HEADER_SECONDS", 0.0)
    _, headers = served
    with connected(served) as silent:
        assert is_closed(silent)
    for begun in (b"\r\n", b"GET ", LIVE + b"X-Slow: "):
        with connected(served) as kept:
            assert ask(kept) == (200, True)
            kept.sendall(begun)
            assert is_closed(kept)
    for unread in (b"Content-Length: 9\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\nX-Trailer: "):
        with connected(served) as answered:
            assert ask(answered, UNREAD + unread) == (401, True)
            answered.sendall(b"1")
            assert is_closed(answered)
    with connected(served) as slow:
        lines = ["POST /v1/recommend HTTP/1.1", "Host: x", f"Authorization: {headers['Authorization']}"]
        lines += ["Content-Type: application/json", "Content-Length: 100", "", '{"user"']
        slow.sendall("\r\n".join(lines).encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")


def test_a_kept_connection_on_which_nothing_comes_is_kept(served, monkeypatch):
    monkeypatch.setattr("metajax.serving.server.HEADER_SECONDS", 0.0)
    with connected(served) as kept:
        for _ in range(2):
            assert ask(kept) == (200, True)
            time.sleep(1.5)


def test_who_is_turned_away_is_answered_at_once_and_the_connection_goes_on(served, service):
    """With all that other answers have; whatever is the method, and whether or not the connection is kept."""
    _, headers = served
    lines = ["POST /v1/recommend HTTP/1.1", "Host: x", f"Authorization: {headers['Authorization']}"]
    lines += ["Content-Type: application/json", "X-Request-Id: mine", "Content-Length: 13"]
    body = b'{"user": "u"}'

    def asked(connection, *more):
        connection.sendall("\r\n".join([*lines, *more, "", ""]).encode() + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer, json.loads(answer.read())

    with connected(served) as kept, connected(served) as last:
        service.listing.taken = service.settings.max_waiting
        found = {}
        for name, connection, more in (("kept", kept, []), ("last", last, ["Connection: close"])):
            answer, told = asked(connection, *more)
            assert (answer.status, answer.reason, told["error"]["code"]) == (429, "Too Many Requests", "too_busy")
            assert (answer.getheader("retry-after"), answer.getheader("x-request-id")) == ("1", "mine")
            found[name] = {header.lower() for header, _ in answer.getheaders()}
        assert found["last"] - found["kept"] == {"connection"}  # which one is by uvicorn
        assert not found["kept"] - found["last"]
        kept.sendall(b"HEAD /v1/recommend HTTP/1.1\r\nHost: x\r\n\r\n")
        (answer := http.client.HTTPResponse(kept, method="HEAD")).begin()
        assert answer.status == 429
        twice = "\r\n".join([*lines, "", ""]).encode() + body
        kept.sendall(twice + LIVE + b"\r\n")  # one after the other without waiting
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 2:
            answers += kept.recv(10_000)
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"429", b"200"]
        service.listing.taken = 0
        for more in ([], ["Connection: close"]):
            answer, told = asked(kept, *more)
            assert (answer.status, len(told["items"]), answer.will_close) == (200, 10, bool(more))
        assert is_closed(kept)
    text = service.metrics.text().decode()
    assert 'metajax_request_seconds_count{route="/v1/recommend",status="429"} 4.0' in text


LONG = b"a" * 70_000


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("header", [b"", b"X-Long: " + LONG, b"X-Long: a\r\n" * 7000])
def test_headers_have_an_end(served, header, at_once):
    """Also of a later request, and of many that come together."""
    with connected(served) as kept:
        assert ask(kept, LIVE + b"X-Fits: " + LONG[:60_000] + b"\r\n\r\n") == (200, True)
        assert ask(kept, (LIVE + b"\r\n") * 2000)[0] == 200
    with connected(served) as kept:
        assert ask(kept) == (200, True)
        long = LIVE + header if header else b"GET /" + LONG
        if at_once:
            long += b"\r\n\r\n" if header else b" HTTP/1.1\r\nHost: x\r\n\r\n"
        assert ask(kept, long) == (400, False)
