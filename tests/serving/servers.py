"""Real servers for tests: Debian's Redis and PostgreSQL, on a free port and with their files in a temporary folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(holds: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{process.args} did not start: {process.returncode=}")
        time.sleep(0.02)


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def answers_ping(port: int) -> bool:
    """Say whether Redis has read its files: until then it accepts connections and refuses commands."""
    with socket.socket() as client:
        if client.connect_ex(("127.0.0.1", port)) != 0:
            return False
        client.settimeout(10)
        client.sendall(b"PING\r\n")
        return client.recv(100).startswith(b"+PONG")


class Server:
    """A process that is started, stopped and started again on the same port and files."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="metajax-"))
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    def launch(self, command: list[str | Path]) -> subprocess.Popen:
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self.process

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(by)
            self.process.wait(60)
            self.process = None

    def send_to_all(self, sent: signal.Signals) -> None:
        """Send a signal to the server and to the processes it started."""
        listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        for pid in (self.process.pid, *map(int, listing.stdout.split())):
            os.kill(pid, sent)

    def kill(self) -> None:
        self.send_to_all(signal.SIGKILL)
        self.process.wait(60)
        self.process = None

    def remove(self) -> None:
        self.stop(signal.SIGINT)
        shutil.rmtree(self.folder)


class RedisServer(Server):
    def __init__(self, *options: str):
        self.program = shutil.which("redis-server") or shutil.which("valkey-server")
        if self.program is None:
            pytest.skip("needs Debian's package redis-server")
        super().__init__()
        self.options = options or ("--appendonly", "yes", "--appendfsync", "always")
        self.address = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder, "--save", ""]
        wait_until(lambda: answers_ping(self.port), self.launch([self.program, *place, *self.options]))


class PostgresServer(Server):
    """PostgreSQL refuses to run as root, so root runs it as another user, who gets the folder."""

    def __init__(self, *options: str):
        programs = sorted(glob("/usr/lib/postgresql/*/bin"), key=lambda folder: int(folder.split("/")[-2]))
        if not programs and (initdb := shutil.which("initdb")):
            programs = [str(Path(initdb).resolve().parent)]
        if not programs:
            pytest.skip("needs Debian's package postgresql")
        super().__init__()
        self.programs = Path(programs[-1])
        self.address = f"postgresql://metajax@127.0.0.1:{self.port}/postgres"
        self.options = options
        self.as_user: list[str] = []
        if os.geteuid() == 0:
            os.chown(self.folder, 65534, 65534)
            self.as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        initdb = [
            self.programs / "initdb",
            "-D",
            self.folder / "data",
            "-U",
            "metajax",
            "-E",
            "UTF8",
            "-A",
            "trust",
            "-N",
        ]
        subprocess.run([*self.as_user, *initdb, "--locale=C"], check=True, capture_output=True, cwd=self.folder)

    def start(self) -> None:
        place = ["-D", self.folder / "data", "-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1", *self.options]
        process = self.launch([*self.as_user, self.programs / "postgres", *place])
        ready = [self.programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, process)

    def stop(self, by: signal.Signals = signal.SIGINT) -> None:
        super().stop(by)  # SIGINT is its fast shutdown; SIGTERM would wait for clients


STORES = ("sqlite", "redis", "postgres")


@contextmanager
def store_address(kind: str, folder: Path) -> Iterator[str]:
    """Yield the address of a new store, whose server runs until the end of the block."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'users.db'}"
        return
    server = RedisServer() if kind == "redis" else PostgresServer()
    try:
        server.start()
        yield server.address
    finally:
        server.remove()
