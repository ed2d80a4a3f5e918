"""The command: it greets, serves, ends in order on SIGTERM, keeps what it acknowledged, and says what is missing."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from serving import worlds

from metajax.cli import main
from metajax.cli.serving import ServeOptions, _settings, _store_address
from metajax.errors import StorageError
from metajax.experiment.artifact import write_artifact
from metajax.serving.access import Access
from metajax.serving.app import make_app
from metajax.serving.keys import Keys, create_key
from metajax.serving.metrics import Metrics
from metajax.serving.server import Server, open_socket
from metajax.serving.service import Service
from metajax.serving.settings import Settings
from metajax.serving.versions import Versions


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for word in ("--store", "postgresql://", "/docs", "keys create"):
        assert word in text


def test_keys_are_made_listed_and_deleted(tmp_path, capsys):
    file = ["--file", str(tmp_path / "keys.json")]
    assert main(["serve", "keys", "create", "--scope", "recommend", "--user", "anna", "--rate", "5", *file]) == 0
    key = capsys.readouterr().out.strip()
    assert re.fullmatch(r"mjx_[0-9a-f]{12}_[\w-]{43}", key)
    assert main(["serve", "keys", "list", *file]) == 0
    name = key.split("_")[1]
    assert capsys.readouterr().out == f"{name}  recommend  user anna  5 a second\n"
    assert main(["serve", "keys", "delete", name, *file]) == 0
    assert main(["serve", "keys", "delete", name, *file]) == 2
    assert "has no key" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "litestar", None)
    assert main(["serve", str(tmp_path)]) == 2
    assert "pip install 'metajax[serve]'" in capsys.readouterr().err


def test_it_imports_nothing_that_judges_learners():
    """Baselines and reports would take 7 MB that no request needs."""
    script = (
        "import sys; import metajax.serving.app, metajax.serving.server, metajax.serving.version; "
        "print([name for name in sys.modules if name.startswith('metajax.evaluation.')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['metajax.evaluation.config']"


def test_what_is_no_run_is_told(tmp_path, capsys):
    assert main(["serve", str(tmp_path), "--keys", str(tmp_path / "keys.json")]) == 5
    assert "holds no artifact" in capsys.readouterr().err


def test_the_address_of_a_store_may_be_in_a_file(tmp_path, capsys):
    file = tmp_path / "store"
    options = ServeOptions(store_file=file)
    assert main(["serve", str(tmp_path), "--store-file", str(file)]) == 5
    assert "store cannot be read" in capsys.readouterr().err
    file.write_text("redis://:secret@host/0\n")
    assert _store_address(options) == "redis://:secret@host/0"
    assert _store_address(ServeOptions()) == "sqlite:///users.db"


@pytest.mark.parametrize("run", ["runs/demo", "models/first"])
def test_models_are_loaded_from_the_folder_that_the_run_lies_in(tmp_path, monkeypatch, run):
    """Be it the folder of a run, whose artifact lies within, or an exported artifact."""
    folder = tmp_path / run
    (folder / "artifact" if run == "runs/demo" else folder).mkdir(parents=True)
    (folder / "artifact" if run == "runs/demo" else folder).joinpath("artifact.json").write_text("{}")
    monkeypatch.chdir(folder.parent)
    assert _settings(Path(folder.name), ServeOptions()).models == folder.parent
    assert _settings(folder, ServeOptions(models=tmp_path)).models == tmp_path


@pytest.fixture
def server(version, tmp_path):
    """Return a server that has not begun."""
    server = make_server(version, tmp_path)
    yield server
    asyncio.run(server._service.close())


def make_server(version, tmp_path):
    """Return a server that lingers for five seconds."""
    create_key(tmp_path / "keys.json", ("recommend",))
    settings = Settings(buckets=worlds.BUCKETS, linger=5.0)
    service = Service(Versions(version, settings), worlds.MemoryStore(), settings, Metrics())
    app = make_app(service, Access(Keys(tmp_path / "keys.json"), None, None))
    return Server(app, service, print)


def test_a_server_that_lingers_takes_requests_though_it_is_not_ready(server, monkeypatch):
    server.handle_exit(signal.SIGTERM, None)
    assert server._service.is_closing
    assert not asyncio.run(server.on_tick(1))
    now = time.monotonic()
    monkeypatch.setattr("metajax.serving.server.time.monotonic", lambda: now + 6.0)
    assert asyncio.run(server.on_tick(1))
    assert not server.force_exit


def test_ctrl_c_and_a_second_signal_do_not_wait(server):
    server.handle_exit(signal.SIGTERM, None)
    server.handle_exit(signal.SIGTERM, None)
    assert (server.should_exit, server.force_exit) == (True, True)
    server._service.is_closing = False
    server.handle_exit(signal.SIGINT, None)
    assert (server.should_exit, server.force_exit) == (True, False)


def test_a_first_version_that_cannot_answer_ends_the_server(version, tmp_path, monkeypatch):
    async def fail():
        raise StorageError("planted")

    server = make_server(version, tmp_path)
    service = server._service
    monkeypatch.setattr(service.versions, "warm_up_first", fail)
    listening = open_socket("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert str(service.failure) == "planted"
    assert not service.is_ready


@pytest.mark.parametrize("options", [["--store", "sqlite:///nowhere/users.db"], ["--jwt-key", "nothing.pem"]])
def test_no_key_is_made_that_is_not_shown(as_services_run, tmp_path, capsys, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("metajax.serving.logs.log_as_json", lambda: None)
    write_artifact(worlds.make_artifact(), tmp_path / "model")
    assert main(["serve", "model", "--port", "0", *options]) == 5
    assert options[1].removeprefix("sqlite:///") in capsys.readouterr().err
    assert not (tmp_path / "keys.json").exists()


class Process:
    """A service in a process of its own."""

    def __init__(self, folder):
        command = [sys.executable, "-m", "metajax.cli", "serve", str(folder / "model"), "--port", "0"]
        variables = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        lines = iter(self.process.stdout.readline, "")
        self.address = next(line for line in lines if line.startswith("The page:")).split()[-1].rstrip("/")
        words = next(line for line in lines if line.startswith("A key:")).split()
        self.key = words[-1] if words[-1].startswith("mjx_") else None

    def call(self, path, body=None, key=None):
        headers = {"Content-Type": "application/json"} | (worlds.bearer(key) if key else {})
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, content, headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read()

    def is_ready(self):
        try:
            return self.call("/health/ready") == b"ready\n"
        except urllib.error.URLError:
            return False

    def wait_until_ready(self):
        for _ in range(1200):
            if self.is_ready():
                return
            time.sleep(0.1)
        raise AssertionError(self.process.communicate(timeout=10))

    def end(self, number):
        self.process.send_signal(number)
        try:
            code = self.process.wait(timeout=30)
        finally:
            self.process.kill()
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, errors


@pytest.mark.slow
def test_a_process_keeps_what_it_acknowledged_and_ends_in_order(as_services_run, tmp_path):
    write_artifact(worlds.make_artifact(), tmp_path / "model")
    first = Process(tmp_path)
    first.wait_until_ready()
    event = {"user": "anna", "item": "i0", "rating": 5.0}
    assert b'"stored":true' in first.call("/v1/feedback", event, first.key)
    before = json.loads(first.call("/v1/recommend", {"user": "anna"}, first.key))["items"]
    first.end(signal.SIGKILL)

    second = Process(tmp_path)
    assert second.key is None  # there is a file of keys
    second.wait_until_ready()
    assert json.loads(second.call("/v1/recommend", {"user": "anna"}, first.key))["items"] == before
    code, errors = second.end(signal.SIGTERM)
    assert code == 0, errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_process_whose_model_predicts_no_number_ends_with_an_error(as_services_run, tmp_path):
    artifact = worlds.make_artifact()
    nothing = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), artifact.meta_params)
    write_artifact(replace(artifact, meta_params=nothing), tmp_path / "model")
    process = Process(tmp_path)
    assert process.process.wait(120) == 5
    assert "predicts no number" in process.end(signal.SIGTERM)[1]


@pytest.mark.slow
def test_a_process_that_is_still_compiling_ends_in_order(as_services_run, tmp_path):
    write_artifact(worlds.make_artifact(), tmp_path / "model")
    process = Process(tmp_path)
    assert not process.is_ready()
    assert process.call("/health/live") == b"live\n"
    code, errors = process.end(signal.SIGTERM)
    assert code == 0, errors
    assert "Traceback" not in errors
