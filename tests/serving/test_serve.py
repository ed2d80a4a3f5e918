"""The command: it greets, serves, ends in order on SIGTERM, keeps what it acknowledged, and says what is missing."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from serving import worlds

from metajax.cli import main
from metajax.cli.serving import ServeOptions, _store_address
from metajax.experiment.artifact import write_artifact
from metajax.serving.access import Access
from metajax.serving.app import make_app
from metajax.serving.keys import Keys, create_key
from metajax.serving.metrics import Metrics
from metajax.serving.server import Server
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


@pytest.fixture
def server(version, tmp_path):
    """Return a server that lingers for five seconds, and has not begun."""
    create_key(tmp_path / "keys.json", ("recommend",))
    settings = Settings(buckets=worlds.BUCKETS, linger=5.0)
    service = Service(Versions(version, settings), worlds.MemoryStore(), settings, Metrics())
    app = make_app(service, Access(Keys(tmp_path / "keys.json"), None, None))
    yield Server(app, service, print)
    asyncio.run(service.close())


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
def test_a_process_that_is_still_compiling_ends_in_order(as_services_run, tmp_path):
    write_artifact(worlds.make_artifact(), tmp_path / "model")
    process = Process(tmp_path)
    assert not process.is_ready()
    assert process.call("/health/live") == b"live\n"
    code, errors = process.end(signal.SIGTERM)
    assert code == 0, errors
    assert "Traceback" not in errors
