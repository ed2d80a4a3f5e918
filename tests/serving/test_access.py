"""Who may do what: keys, their scopes, users and rates; cookies; tokens; nothing else."""

import json
import os
import stat
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from serving import worlds

from metajax.errors import ConfigError, StorageError
from metajax.serving.keys import Keys, create_key, delete_key, read_keys
from metajax.serving.rates import Rates
from metajax.serving.tokens import Sessions, WebTokens

SECRET = b"0123456789abcdef0123456789abcdef"


def new_key(running, *scopes, **options):
    key = create_key(running.keys, scopes, **options)
    time.sleep(1.05)  # a service looks at its file of keys once a second
    return worlds.bearer(key)


def test_the_file_has_no_key(tmp_path):
    path = tmp_path / "keys.json"
    key = create_key(path, ["recommend"], user="anna", rate=2.0)
    assert key.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = Keys(path).find(key)
    assert (found.scopes, found.user, found.rate) == ({"recommend"}, "anna", 2.0)
    other = create_key(path, ["admin"])
    assert len(read_keys(path).keys) == 2
    name = key.split("_")[1]
    for wrong in ("", "mjx", key[:-1], key + "x", key.replace("mjx", "abc"), key.replace(name, other.split("_")[1])):
        assert Keys(path).find(wrong) is None
    delete_key(path, name)
    assert Keys(path).find(key) is None
    assert Keys(path).find(other) is not None
    with pytest.raises(ConfigError, match=f"no key '{name}'"):
        delete_key(path, name)


def test_a_file_that_others_may_read_stays_so(tmp_path):
    """As a container's user must: every key would shut it out else."""
    path = tmp_path / "keys.json"
    key = create_key(path, ["recommend"])
    path.chmod(0o644)
    create_key(path, ["feedback"])
    delete_key(path, key.split("_")[1])
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["keys.json"]


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    path, other = tmp_path / "keys.json", tmp_path / "other.json"
    create_key(path, ["recommend"])
    key = create_key(other, ["recommend"])

    def read_and_replace(path):
        document = read_keys(path)
        if other.exists():
            other.replace(path)
        return document

    monkeypatch.setattr("metajax.serving.keys.read_keys", read_and_replace)
    keys = Keys(path)
    assert keys.find(key) is None
    keys._next_look = 0.0
    assert keys.find(key) is not None


def test_a_file_that_seems_as_old_is_read_again(tmp_path):
    """Where a clock is coarse, or a copy keeps its times."""
    path = tmp_path / "keys.json"
    create_key(path, ["recommend"])
    keys, seen = Keys(path), path.stat()
    key = create_key(path, ["feedback"])
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    keys._next_look = 0.0
    assert keys.find(key) is not None


@pytest.mark.parametrize(
    ("scopes", "options", "message"),
    [
        ([], {}, "one or more of the scopes"),
        (["admin"], {"user": "anna"}, "not bound to a user"),
        (["recommend"], {"rate": 0.0}, "positive number"),
    ],
)
def test_keys_that_make_no_sense(tmp_path, scopes, options, message):
    with pytest.raises(ConfigError, match=message):
        create_key(tmp_path / "keys.json", scopes, **options)


@pytest.mark.parametrize("content", ["[]", '{"secret": "ab"}', '{"keys": []}', "{", '{"secret": "ab", "keys": [{}]}'])
def test_a_file_that_is_not_one_of_keys(tmp_path, content):
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(StorageError, match="keys"):
        Keys(path)


def test_scopes(running):
    recommend, feedback = new_key(running, "recommend"), new_key(running, "feedback")
    event = {"user": "anna", "item": "i0", "rating": 4.0}
    for headers, first, second in ((recommend, 200, 403), (feedback, 403, 200)):
        assert running.post("/v1/recommend", {"user": "anna"}, headers=headers).status_code == first
        assert running.post("/v1/feedback", event, headers=headers).status_code == second
        assert running.client.delete("/v1/users/anna", headers=headers).status_code == second
    none = ({}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "})
    for headers in (*none, worlds.bearer("mjx_a_b"), {"Cookie": "metajax_session=x"}):
        response = running.post("/v1/recommend", {"user": "anna"}, headers=headers)
        code = "no_key" if headers in none else "wrong_key"
        assert (response.status_code, response.json()["error"]["code"]) == (401, code)


def test_a_key_that_is_bound_reads_and_moves_its_user_only(running):
    bound = new_key(running, "recommend", "feedback", user="anna")
    mine, others = {"user": "anna"}, {"user": "bert"}
    rating = {"item": "i0", "rating": 4.0}
    for body, status in ((mine, 200), (others, 403)):
        name = body["user"]
        assert running.post("/v1/recommend", body, headers=bound).status_code == status
        assert running.post("/v1/feedback", body | rating, headers=bound).status_code == status
        for path in (f"/v1/users/{name}", f"/v1/questions/{name}"):
            assert running.get(path, headers=bound).status_code == status
        assert running.client.delete(f"/v1/users/{name}", headers=bound).status_code == status
    both = {"events": [mine | rating, others | rating]}
    assert running.post("/v1/feedback", both, headers=bound).status_code == 403
    assert running.store.events == []  # none of a request that is refused
    results = running.post("/v1/recommend:batch", {"requests": [mine, others]}, headers=bound).json()["results"]
    assert [one.get("error", {}).get("code") for one in results] == [None, "forbidden"]
    assert running.post("/v1/recommend", {"ratings": {}}, headers=bound).status_code == 200


def test_rates(running):
    slow = new_key(running, "recommend", rate=2.0)
    answers = [running.post("/v1/recommend", {"user": "anna"}, headers=slow) for _ in range(4)]
    assert [one.status_code for one in answers[:2]] == [200, 200]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_rate_counts_the_events_and_the_requests_of_a_batch(running):
    event, asked = {"user": "anna", "item": "i0", "rating": 4.0}, {"user": "anna"}
    for path, body in (
        ("/v1/feedback", {"events": [event] * 40}),
        ("/v1/recommend:batch", {"requests": [asked] * 40}),
    ):
        key = new_key(running, "recommend", "feedback", rate=4.0)
        assert running.post(path, body, headers=key).status_code == 200
        refused = running.post("/v1/recommend", asked, headers=key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate")
        assert 5 < int(refused.headers["retry-after"]) <= 10  # the bucket had 4 of 40


def test_what_a_request_holds_is_waited_for_later():
    now = [0.0]
    rates = Rates(lambda: now[0])
    assert rates.wait("a", 2.0) == 0
    rates.charge("a", 5)
    assert rates.wait("a", 2.0) == 3
    now[0] = 2.4
    assert rates.wait("a", 2.0) == 1
    now[0] = 2.5
    assert [rates.wait("a", 2.0) for _ in range(2)] == [0, 1]
    rates.charge("nobody", 5)
    assert rates.wait("nobody", 2.0) == 0


def test_a_bucket_fills_again():
    now = [0.0]
    rates = Rates(lambda: now[0])
    assert [rates.wait("a", 2.0) for _ in range(3)] == [0, 0, 1]
    assert rates.wait("b", 2.0) == 0
    now[0] = 0.5
    assert [rates.wait("a", 2.0) for _ in range(2)] == [0, 1]
    assert [rates.wait("slow", 0.1) for _ in range(2)] == [0, 10]
    now[0] = 100.0
    assert [rates.wait("a", 2.0) for _ in range(3)] == [0, 0, 1]


def test_the_cookie_is_bound_to_a_new_user(running):
    session = running.client.get("/v1/session")
    cookie = session.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    user = session.json()["user"]
    assert running.client.get("/v1/session").json()["user"] == user  # is remembered
    event = {"user": user, "item": "i0", "rating": 5.0}
    assert running.client.post("/v1/feedback", json=event).json()["results"][0]["stored"]
    assert running.client.post("/v1/recommend", json={"user": user}).status_code == 200
    assert running.client.post("/v1/recommend", json={"user": "anna"}).status_code == 403
    assert running.client.get("/v1/admin/models").status_code in (403, 404)
    assert running.client.delete(f"/v1/users/{user}").json()["events"] == 1
    assert running.client.post("/v1/recommend", json={"user": user}).status_code == 401  # the cookie is gone
    assert running.client.get("/v1/session").json()["user"] != user


def test_a_cookie_that_was_altered_opens_nothing(running):
    sessions = Sessions(SECRET, 1.0)
    _, cookie = sessions.create()
    assert sessions.find(cookie) is not None
    assert Sessions(SECRET[::-1], 1.0).find(cookie) is None
    claims = {"sub": "anna", "aud": "metajax-session", "exp": time.time() + 60}
    forged = jwt.encode(claims, None, algorithm="none")
    for wrong in ("", cookie[:-4], forged, "a.b.c"):
        assert sessions.find(wrong) is None
        headers = {"Cookie": f"metajax_session={wrong}"}
        assert running.client.post("/v1/recommend", json={"user": "anna"}, headers=headers).status_code == 401


def token(key=SECRET, algorithm="HS256", **claims):
    return jwt.encode({"aud": "metajax", "exp": time.time() + 60} | claims, key, algorithm=algorithm)


def test_tokens_of_another_service(version, tmp_path):
    with worlds.running(version, tmp_path, tokens=WebTokens(SECRET)) as running:
        for claims, status in [
            ({"scope": "recommend feedback"}, 200),
            ({"scopes": ["recommend"], "sub": "anna"}, 200),
            ({"scopes": ["recommend"], "sub": "bert"}, 403),
            ({"scope": "feedback"}, 403),
            ({"scope": "recommend", "exp": 1}, 401),
            ({"scope": "recommend", "aud": "another"}, 401),
        ]:
            headers = worlds.bearer(token(**claims))
            assert running.post("/v1/recommend", {"user": "anna"}, headers=headers).status_code == status


def test_the_algorithm_is_the_keys_and_not_the_tokens():
    private = Ed25519PrivateKey.generate()
    encoding = serialization.Encoding.PEM
    public = private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    tokens = WebTokens(public)
    assert tokens.find(token(private, "EdDSA", scope="recommend")).scopes == {"recommend"}
    assert tokens.find(token(SECRET, "HS256", scope="recommend")) is None
    assert tokens.find(jwt.encode({"scope": "recommend"}, None, algorithm="none")) is None
    none = serialization.NoEncryption()
    with pytest.raises(ConfigError, match="Keep the private one"):
        WebTokens(private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none))
    with pytest.raises(ConfigError, match="32 bytes or more, got 5"):
        WebTokens(b"short")


def test_the_administrators_routes_are_hidden_until_there_is_a_key(running):
    assert running.get("/v1/admin/models").status_code == 404
    admin = new_key(running, "admin")
    assert running.get("/v1/admin/models").status_code == 403
    assert running.get("/v1/admin/models", headers=admin).status_code == 200


def test_logs_have_no_user_and_no_body(version, tmp_path, caplog, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("planted")

    from metajax.serving.logs import JsonLines

    with worlds.running(version, tmp_path) as running:
        monkeypatch.setattr("metajax.serving.batching.run", fail)
        running.post("/v1/recommend", {"user": "anna-maria", "exclude": ["i13"]})
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "metajax.serving"]
    requests = [line for line in lines if line["message"] == "request"]
    assert [(line["route"], line["status"], len(line["user"])) for line in requests] == [("/v1/recommend", 500, 12)]
    assert any("planted" in line.get("error", "") for line in lines)
    assert "anna-maria" not in json.dumps(lines)
    assert "i13" not in json.dumps(lines)
