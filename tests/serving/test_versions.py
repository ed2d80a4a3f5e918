"""Models are loaded, promoted, rolled back, compared and split without a failed request."""

import gc
import shutil
import weakref
from dataclasses import replace
from functools import cache, partial

import jax
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from serving import worlds

from metajax.cli import main
from metajax.experiment.artifact import write_artifact
from metajax.recommender import Recommender
from metajax.serving.packing import Packed
from metajax.serving.settings import Buckets, Settings
from metajax.serving.version import Version
from metajax.training.compilations import compilations

BUCKETS = Buckets(tasks=(1,), rows=(8,), lists=(100,))


@pytest.fixture(scope="module")
def artifacts(as_services_run, tmp_path_factory):
    """Return a folder with the artifacts one and two, and one that was altered."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("one", "two")):
        write_artifact(worlds.make_artifact(seed=seed), folder / name)
    alter(shutil.copytree(folder / "two", folder / "corrupt"))
    return folder


def alter(artifact):
    content = bytearray((artifact / "arrays.safetensors").read_bytes())
    content[-1] ^= 1
    (artifact / "arrays.safetensors").write_bytes(content)


@pytest.fixture(scope="module")
def load():
    """Load each artifact once: compiling is most of a test."""
    return cache(Version.load)


@pytest.fixture
def admin(artifacts, load, tmp_path):
    settings = Settings(buckets=BUCKETS, deadline=30.0, models=artifacts)
    scopes = ("recommend", "feedback", "admin")
    with worlds.running(load(artifacts / "one"), tmp_path, settings=settings, scopes=scopes, load=load) as running:
        yield running


def models(response):
    assert response.status_code == 200, response.text
    return {one["version"]: one["roles"] for one in response.json()["models"]}


def test_a_model_is_loaded_promoted_and_rolled_back(admin):
    running = admin
    running.rate("anna", i0=5.0, i1=1.0)
    first = running.post("/v1/recommend", {"user": "anna", "n": 20}).json()
    (name,) = models(running.get("/v1/admin/models"))
    loaded = models(running.post("/v1/admin/models:load", {"path": "two"}))
    (other,) = loaded.keys() - {name}
    assert loaded == {name: ["active"], other: []}
    compiled = compilations()
    assert models(running.post("/v1/admin/models:promote", {"version": other})) == {
        name: ["previous"],
        other: ["active"],
    }
    second = running.post("/v1/recommend", {"user": "anna", "n": 20}).json()
    assert (first["model"], second["model"]) == (name, other)
    assert second["user_known"]  # its events are the store's, and made its state anew
    assert second["items"] != first["items"]
    assert second["items"] == running.items({"ratings": {"i0": 5.0, "i1": 1.0}, "n": 20})
    models(running.post("/v1/admin/models:rollback", {}))
    third = running.post("/v1/recommend", {"user": "anna", "n": 20}).json()
    assert (third["model"], third["items"]) == (name, first["items"])
    assert compilations() == compiled


@pytest.mark.parametrize(
    ("path", "message"),
    [("corrupt", "was altered"), ("nothing", "holds no artifact"), ("../..", "from below"), ("/etc", "from below")],
)
def test_what_is_not_a_whole_artifact_never_serves(admin, path, message):
    before = models(admin.get("/v1/admin/models"))
    response = admin.post("/v1/admin/models:load", {"path": path})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "refused")
    assert message in response.json()["error"]["message"]
    assert models(admin.get("/v1/admin/models")) == before
    assert message in admin.get("/v1/admin/models").json()["last_error"]
    assert len(admin.items({"user": "anna"})) == 10


def test_a_model_that_predicts_no_number_never_serves(admin, artifacts):
    artifact = worlds.make_artifact(seed=2)
    nothing = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), artifact.meta_params)
    write_artifact(replace(artifact, meta_params=nothing), artifacts / "nan")
    response = admin.post("/v1/admin/models:load", {"path": "nan"})
    assert response.status_code == 400
    assert "predicts no number" in response.json()["error"]["message"]


def test_only_what_the_right_key_signed_is_served(artifacts, load, tmp_path, capsys):
    private = Ed25519PrivateKey.generate()
    public = tmp_path / "mine.pub"
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    key = tmp_path / "mine"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_artifact(worlds.make_artifact(), tmp_path / "signed", key=key)
    first = Version.load(tmp_path / "signed", public_key=public)
    assert first.folder == tmp_path / "signed"
    assert main(["serve", str(artifacts / "one"), "--public-key", str(public)]) == 5
    assert "is not signed" in capsys.readouterr().err

    settings = Settings(buckets=BUCKETS, deadline=30.0, models=artifacts)
    wary = partial(Version.load, public_key=public)
    with worlds.running(load(artifacts / "one"), tmp_path, settings=settings, scopes=("admin",), load=wary) as running:
        before = models(running.get("/v1/admin/models"))
        response = running.post("/v1/admin/models:load", {"path": "two"})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "refused")
        assert "is not signed" in response.json()["error"]["message"]
        assert models(running.get("/v1/admin/models")) == before


def test_users_are_split_and_stay_where_they_are(admin):
    (name,) = models(admin.get("/v1/admin/models"))
    (other,) = models(admin.post("/v1/admin/models:load", {"path": "two"})).keys() - {name}
    models(admin.post("/v1/admin/models:split", {"version": other, "share": 0.3}))
    arms = {}
    for user in map(str, range(40)):
        answers = [admin.post("/v1/recommend", {"user": user, "n": 1}).json() for _ in range(2)]
        assert answers[0]["model"] == answers[1]["model"] == (other if answers[0]["arm"] == "b" else name)
        arms[user] = answers[0]["arm"]
    assert 4 <= list(arms.values()).count("b") <= 20
    models(admin.post("/v1/admin/models:split", {"version": other, "share": 0.6}))
    for user in (user for user, arm in arms.items() if arm == "b"):
        assert admin.post("/v1/recommend", {"user": user, "n": 1}).json()["arm"] == "b"
    models(admin.post("/v1/admin/models:split", {"version": None}))
    assert admin.post("/v1/recommend", {"user": "1", "n": 1}).json()["arm"] == "a"


def test_an_event_is_judged_by_the_version_that_answers_its_user(version, tmp_path):
    """One whose ratings go to ten, with a mean of seven."""
    wide = Version(Recommender(replace(worlds.make_artifact(), scale=(1.0, 10.0), offset=7.0)), "wide")
    with worlds.running(version, tmp_path) as running:
        versions = running.service.versions
        versions._held["wide"] = wide
        versions.split("wide", 0.5)
        users = {versions.of(user)[1]: user for user in map(str, range(40))}
        events = [{"user": users[arm], "item": "i0", "rating": 8.0} for arm in "ab"]
        results = running.post("/v1/feedback", {"events": events}).json()["results"]
        assert [one["stored"] for one in results] == [False, True]
        assert results[0]["error"]["message"] == "The rating is 8, but ratings go from 1 to 5."
        versions.promote("wide")
        assert running.post("/v1/feedback", events[0]).json()["results"][0]["stored"]
        assert "metajax_rating_shift 1.0" in running.get("/metrics").text


def test_a_shadow_answers_nobody(admin):
    (name,) = models(admin.get("/v1/admin/models"))
    (other,) = models(admin.post("/v1/admin/models:load", {"path": "two"})).keys() - {name}
    assert models(admin.post("/v1/admin/models:shadow", {"version": other}))[other] == ["shadow"]
    assert admin.post("/v1/recommend", {"user": "anna"}).json()["model"] == name
    admin.get("/health/live")
    text = f'metajax_shadow_overlap_count{{model="{other}"}} 1.0'
    assert any(text in admin.get("/metrics").text for _ in range(100))
    assert models(admin.post("/v1/admin/models:shadow", {"version": None}))[other] == []


def test_administrators_mistakes_are_told(admin):
    for path, body, message in [
        ("promote", {"version": "x"}, "There is no version 'x'"),
        ("shadow", {"version": "x"}, "There is no version 'x'"),
        ("split", {"version": "x", "share": 0.5}, "There is no version 'x'"),
        ("split", {"version": "x", "share": 1.5}, "<= 1.0"),
        ("rollback", {}, "No version was active before"),
    ]:
        response = admin.post(f"/v1/admin/models:{path}", body)
        assert response.status_code == 400
        assert message in response.json()["error"]["message"]


def test_no_more_versions_are_held_than_there_is_room_for(artifacts, load, tmp_path):
    settings = Settings(buckets=BUCKETS, deadline=30.0, models=artifacts, max_versions=1)
    first = load(artifacts / "one")
    with worlds.running(first, tmp_path, settings=settings, scopes=("admin",), load=load) as running:
        response = running.post("/v1/admin/models:load", {"path": "two"})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "too_many")


def test_an_idle_version_goes_once_another_can_answer_in_its_place(artifacts, load, tmp_path):
    settings = Settings(buckets=BUCKETS, deadline=30.0, models=artifacts, max_versions=2)
    write_artifact(worlds.make_artifact(seed=3), artifacts / "three")
    with worlds.running(load(artifacts / "one"), tmp_path, settings=settings, scopes=("admin",), load=load) as running:
        models(running.post("/v1/admin/models:load", {"path": "two"}))
        before = models(running.get("/v1/admin/models"))
        alter(shutil.copytree(artifacts / "three", artifacts / "altered"))
        assert running.post("/v1/admin/models:load", {"path": "altered"}).status_code == 400
        assert models(running.get("/v1/admin/models")) == before
        after = models(running.post("/v1/admin/models:load", {"path": "three"}))
        assert (len(after), len(after.keys() & before.keys())) == (2, 1)


def test_a_version_that_is_let_go_is_freed_without_the_collector(as_services_run):
    """What is there when the service is ready is frozen: a cycle would hold the first version for ever."""
    gc.disable()
    try:
        version = Version(Recommender(worlds.make_artifact()), "one")
        version.answer(version.together([version.prior]), Packed(1, 4, len(version.catalogue)), 1)
        gone = weakref.ref(version)
        del version
        assert gone() is None
    finally:
        gc.enable()
