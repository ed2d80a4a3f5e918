"""docs/serving.md does what it says: its curl lines are answered, its Python runs, its flags and metrics exist."""

import json
import re
import shlex
from functools import partial
from pathlib import Path

import pytest
from serving import worlds
from serving.test_client import Inside

from metajax.cli.serving import ServeOptions
from metajax.experiment.artifact import write_artifact
from metajax.serving import client as client_module
from metajax.serving.metrics import Metrics
from metajax.serving.settings import Settings
from metajax.serving.version import manifest_hash

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
CALLS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if "curl " in line
]
OTHER = "f3a9c1d20b7e"


@pytest.fixture
def administered(version, other, tmp_path):
    """Serve with all scopes; what is loaded is the version two."""
    write_artifact(worlds.make_artifact(seed=1), tmp_path / "models" / "second")
    settings = Settings(buckets=worlds.BUCKETS, deadline=30.0, models=tmp_path / "models")
    scopes = ("recommend", "feedback", "admin")
    with worlds.running(version, tmp_path, settings=settings, scopes=scopes, load=lambda _: other) as running:
        yield running


def as_in_tests(text, loaded):
    """Name the tests' items, which are called i0 to i19, and their versions."""
    text = re.sub(r'"(\d+)"', r'"i\1"', text)
    text = re.sub(r"(?<=items/|clude=)(\d+)", r"i\1", text)
    return text.replace(OTHER, loaded)


def requested(line, loaded):
    """Read a line of curl: method, address, body and whether it shows a key."""
    words = shlex.split(as_in_tests(line, loaded), comments=True)
    method, body, has_key, address = None, None, False, None
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "--json":
            body = json.loads(next(rest))
        elif word == "-H":
            has_key = next(rest) in ("$AUTH", "$ADMIN")
        elif word == "-c":
            next(rest)
        else:
            address = word
    return method or ("POST" if body is not None else "GET"), address.removeprefix("localhost:8000"), body, has_key


def test_every_line_of_curl_is_answered(administered, version, tmp_path):
    """And there is one for every route that the API describes."""
    running, asked = administered, set()
    loaded = manifest_hash(tmp_path / "models" / "second")
    for line in CALLS:
        method, path, body, has_key = requested(line, loaded)
        headers = running.headers if has_key else {}
        answer = running.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 200, (line, answer.text)
        if path == "/v1/feedback":
            assert all(one["stored"] for one in answer.json()["results"]), answer.text
        if path == "/v1/recommend":
            assert answer.json()["items"], line
            assert answer.json()["unknown_items"] == []
        asked.add((method.lower(), path.split("?")[0]))
    described = running.get("/openapi.json").json()["paths"]
    routes = {(method, path) for path, operations in described.items() for method in operations}
    patterns = {(method, path): re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path)) for method, path in routes}
    called = {
        (method, path)
        for method, path in routes
        for how, where in asked
        if how == method and patterns[method, path].fullmatch(where)
    }
    assert routes - called == set()
    assert running.service.versions.active is version  # promoted, and rolled back


def test_its_python_runs(running, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    inside = partial(client_module.Client, transport=Inside(running))
    monkeypatch.setattr(client_module, "Client", inside)
    key = running.headers["Authorization"].removeprefix("Bearer ")
    block = as_in_tests(block, "two").replace("http://127.0.0.1:8000", "http://testserver.local")
    printed = []
    exec(block, {"key": key, "print": lambda *what: printed.append(what)})
    assert len(printed) == 4
    assert printed[-1][-1] == {"i1": 5.0, "i6": 2.0}
    assert [event.user for event in running.store.events] == ["bert"]


def test_its_flags_and_metrics_exist():
    options = {name.replace("_", "-") for name in ServeOptions.__dataclass_fields__}
    of_others = {"json", "help", "scope", "user", "rate", "file", "tables", "sign", "public-key", "parts", "keep"}
    named = set(re.findall(r"(?<![\w-])--(?:no-)?([a-z][a-z-]*)", PAGE))
    assert named - of_others <= options
    exposed = Metrics().text().decode()
    for name in re.findall(r"`(metajax_\w+)", PAGE):
        assert f"# TYPE {name} " in exposed, name
