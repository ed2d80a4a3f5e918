"""What happens to users when a process is killed, a disk is full, or a server is gone, stands still or forgets."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from serving.servers import PostgresServer, RedisServer

from metajax.errors import StoreError
from metajax.serving.open_store import open_store
from metajax.serving.sqlite import SqliteStore
from metajax.serving.store import Event

SERVERS = {"redis": RedisServer, "postgres": PostgresServer}


@contextmanager
def running(kind: str, *options: str):
    server = SERVERS[kind](*options)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def impatient(server) -> object:
    """Return a store that waits half a second for its server."""
    if isinstance(server, RedisServer):
        from metajax.serving.redis import RedisStore

        return RedisStore(server.address, seconds=0.5)
    from metajax.serving.postgres import PostgresStore

    return PostgresStore(server.address, seconds=0.5)


def event(number: int, user: str = "u") -> Event:
    return Event(f"e{number}", user, "i", 1.0, 0.0)


# Four tasks append batches of 25. Each says before it appends that it will, and which are acknowledged after.
SENDER = """
import asyncio, os, sys
from metajax.errors import StoreError
from metajax.serving.open_store import open_store
from metajax.serving.store import Event

async def main(address, round):
    store = open_store(address)
    async def send(task):
        for batch in range(1_000_000):
            name = f"{round}-{task}-{batch}"
            os.write(1, f"sent {name}\\n".encode())
            try:
                await store.append([Event(f"{name}-{place}", f"u{place % 5}", "i", 1.0, 0.0) for place in range(25)])
            except StoreError:
                return
            os.write(1, f"acknowledged {name}\\n".encode())
    await asyncio.gather(*(send(task) for task in range(4)))
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


class Told:
    """Which batches were sent and which acknowledged, over all rounds."""

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()

    def hear(self, lines: list[bytes]) -> None:
        for line in lines:
            if line.endswith(b"\n"):
                word, name = line.decode().split()
                (self.sent if word == "sent" else self.acknowledged).add(name)


def send_until(address: str, round_: int, kill, told: Told) -> None:
    """Send under load until some batches are acknowledged and a moment more; `kill` something; hear the rest."""
    sender = subprocess.Popen([sys.executable, "-c", SENDER, address, str(round_)], stdout=subprocess.PIPE)
    lines = [sender.stdout.readline() for _ in range(40)]
    time.sleep(random.Random(round_).uniform(0, 0.1))
    kill(sender)
    told.hear(lines + sender.stdout.readlines())
    sender.wait(60)
    sender.stdout.close()


def check_nothing_is_lost_doubled_or_torn(address: str, told: Told) -> None:
    async def stored() -> list[str]:
        store = open_store(address)
        records = [await store.read(f"u{user}", "m") for user in range(5)]
        await store.close()
        return [event.id for record in records for event in record.events]

    ids = asyncio.run(stored())
    assert len(ids) == len(set(ids))
    batches = {name.rpartition("-")[0] for name in ids}
    assert told.acknowledged <= batches <= told.sent
    assert set(ids) == {f"{batch}-{place}" for batch in batches for place in range(25)}


@pytest.mark.slow
def test_twenty_kills_of_the_process_lose_and_double_nothing_in_sqlite(tmp_path):
    path, told = tmp_path / "users.db", Told()
    for round_ in range(20):
        send_until(f"sqlite:///{path}", round_, lambda sender: sender.send_signal(signal.SIGKILL), told)
        check_nothing_is_lost_doubled_or_torn(f"sqlite:///{path}", told)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(told.acknowledged) > 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", SERVERS)
def test_kills_of_the_server_lose_and_double_nothing(kind):
    told = Told()
    with running(kind) as server:
        for round_ in range(5):
            send_until(server.address, round_, lambda _: server.kill(), told)
            server.start()
            check_nothing_is_lost_doubled_or_torn(server.address, told)
    assert len(told.acknowledged) > 5


@contextmanager
def small_disk(folder: Path, size: str):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root, to mount a small tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_fails_calls_whole_and_is_recovered_from(tmp_path):
    async def run(folder: Path) -> None:
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(1_000_000))
        store = SqliteStore(folder / "users.db")
        stored, errors = [], []
        for batch in range(1000):
            events = [event(batch * 200 + place) for place in range(200)]
            try:
                assert all(await store.append(events))
                stored += events
            except StoreError as error:
                errors.append(str(error))
                if len(errors) == 5:
                    break
        assert ["nothing of this call is stored" in error for error in errors] == [True] * 5
        assert list((await store.read("u", "m")).events) == stored
        ballast.unlink()
        assert await store.append([event(-1)]) == [True]
        assert list((await store.read("u", "m")).events) == [*stored, event(-1)]
        await store.close()
        with closing(sqlite3.connect(folder / "users.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    with small_disk(tmp_path / "disk", "2m") as folder:
        asyncio.run(run(folder))


@pytest.mark.slow
def test_an_erasure_on_a_full_disk_is_whole_or_fails_whole(tmp_path):
    async def run(folder: Path) -> None:
        ballast = folder / "ballast"
        store = SqliteStore(folder / "users.db")
        await store.append([event(number, f"NAME{number % 7}") for number in range(3000)])
        with suppress(OSError):
            ballast.write_bytes(bytes(2_000_000))
        try:
            erased = await store.erase("NAME3")
        except StoreError:
            erased = 0
        left = (await store.read("NAME3", "m")).revision
        assert (erased, left) in [(0, 429), (429, 0)]
        ballast.unlink()
        await store.erase("NAME3")
        await store.erase("NAME4")
        assert b"NAME3" not in b"".join(path.read_bytes() for path in folder.iterdir())
        await store.close()

    with small_disk(tmp_path / "disk", "2m") as folder:
        asyncio.run(run(folder))


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from metajax.errors import StoreError
from metajax.serving.sqlite import SqliteStore
from metajax.serving.store import Event

async def main(path):
    store, stored = SqliteStore(path), []
    await store.append([Event("first", "u", "i", 1.0, 0.0)])
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    for batch in range(1000):
        events = [Event(f"{batch}-{place}", "u", "i", 1.0, 0.0) for place in range(100)]
        try:
            await store.append(events)
        except StoreError as error:
            print(error)
            break
        stored += events
    before = (await store.read("u", "m")).events[1:]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    again = await store.append(events)
    await store.close()
    print(before == tuple(stored), all(again))

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_limit_on_the_files_size_fails_calls_whole_and_is_recovered_from(tmp_path):
    command = [sys.executable, "-c", LIMITED, tmp_path / "users.db"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "the disk reported an error or a limit" in told[0]
    assert told[1] == "True True"


@pytest.mark.slow
@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_is_gone_is_told_and_found_again(kind):
    async def run(server) -> None:
        store = impatient(server)
        assert await store.append([event(0)]) == [True]
        server.stop()
        for call in (store.append([event(1)]), store.read("u", "m"), store.ready(), store.erase("u")):
            with pytest.raises(StoreError, match="See whether the server runs"):
                await asyncio.wait_for(call, 30)
        server.start()
        await found_again(store)
        assert (await store.read("u", "m")).events == (event(0), event(2))
        await store.close()

    with running(kind) as server:
        asyncio.run(run(server))


@pytest.mark.slow
@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_stands_still_is_given_up(kind):
    async def run(server) -> None:
        store = impatient(server)
        await store.append([event(0)])
        server.send_to_all(signal.SIGSTOP)
        try:
            for call in (store.append([event(1)]), store.read("u", "m"), store.ready()):
                with pytest.raises(StoreError, match="See whether the server runs"):
                    await asyncio.wait_for(call, 30)
        finally:
            server.send_to_all(signal.SIGCONT)
        await found_again(store)
        assert event(0) in (await store.read("u", "m")).events
        await store.close()

    with running(kind) as server:
        asyncio.run(run(server))


@pytest.mark.slow
@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_is_gone_when_a_store_is_opened_is_found_when_it_comes(kind):
    async def run(server) -> None:
        server.stop()
        store = impatient(server)
        with pytest.raises(StoreError, match="See whether the server runs"):
            await asyncio.wait_for(store.ready(), 30)
        server.start()
        await found_again(store)
        await store.close()

    with running(kind) as server:
        asyncio.run(run(server))


async def found_again(store) -> None:
    """Append until it succeeds: a client may wait a while before it tries a server that was gone."""
    for _ in range(100):
        try:
            await store.append([event(2)])
            return
        except StoreError:
            await asyncio.sleep(0.1)
    pytest.fail("the store did not find its server again")


def call(address: str) -> None:
    async def run() -> None:
        store = open_store(address)
        try:
            await store.append([event(0)])
        finally:
            await store.close()

    asyncio.run(run())


def test_a_redis_that_may_forget_is_refused_unless_that_is_accepted():
    with running("redis", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru") as server:
        with pytest.raises(
            StoreError, match=r"appendonly no, appendfsync everysec, maxmemory-policy allkeys-lru\. Set"
        ):
            call(server.address)
        call(server.address + "?durability=none")


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit"])
def test_a_postgresql_that_may_forget_is_refused_unless_that_is_accepted(setting):
    with running("postgres", "-c", f"{setting}=off") as server:
        with pytest.raises(StoreError, match=rf"it has {setting}=off\. Set it to on"):
            call(server.address)
        call(server.address + "?durability=none")


def test_a_redis_without_memory_fails_calls_whole_and_is_recovered_from():
    from redis import Redis

    async def run(address: str) -> None:
        store, stored, told = open_store(address), [], None
        for batch in range(1000):
            events = [event(batch * 100 + place) for place in range(100)]
            try:
                await store.append(events)
                stored += events
            except StoreError as error:
                told = str(error)
                break
        assert "has memory and disk left" in told
        assert list((await store.read("u", "m")).events) == stored
        Redis.from_url(address).config_set("maxmemory", 0)
        assert all(await store.append(events))
        assert (await store.read("u", "m")).revision == len(stored) + 100
        await store.close()

    options = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "3mb"]
    with running("redis", *options) as server:
        asyncio.run(run(server.address))


def test_a_redis_of_a_newer_schema_is_refused():
    with running("redis") as server:
        call(server.address)
        subprocess.run([shutil.which("redis-cli"), "-p", str(server.port), "SET", "metajax:schema", "2"], check=True)
        with pytest.raises(StoreError, match="made by a newer metajax: its schema is 2, this one knows 1"):
            call(server.address)


@pytest.mark.slow
def test_a_postgresql_of_a_newer_schema_or_another_encoding_is_refused():
    import psycopg

    with running("postgres") as server:
        call(server.address)
        with psycopg.connect(server.address, autocommit=True) as connection:
            connection.execute("UPDATE metajax_schema SET version = 2")
            connection.execute("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0")
        with pytest.raises(StoreError, match="made by a newer metajax: its schema is 2, this one knows 1"):
            call(server.address)
        with pytest.raises(StoreError, match="has the encoding LATIN1: make one with ENCODING 'UTF8'"):
            call(server.address.replace("/postgres", "/old"))


def test_calls_that_fight_for_the_same_ids_in_postgresql_do_not_wait_in_a_circle():
    """Both wait for a transaction that has the id in the middle; then each wants what the other would have first."""
    import psycopg

    async def waiting(connection) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return (await (await connection.execute(query)).fetchone())[0]

    async def run(address: str) -> None:
        store = open_store(address)
        await store.ready()
        middle = await psycopg.AsyncConnection.connect(address)
        watch = await psycopg.AsyncConnection.connect(address, autocommit=True)
        await middle.execute("INSERT INTO metajax_events VALUES (0, 'e1', 'u', 'i', 1, 0)")
        calls = []
        for user, order in (("forwards", 1), ("backwards", -1)):
            events = [event(number, user) for number in range(3)[::order]]
            calls.append(asyncio.create_task(store.append(events)))
            while await waiting(watch) < len(calls) and not calls[-1].done():
                await asyncio.sleep(0.01)
        await middle.rollback()
        assert await asyncio.gather(*calls) == [[True] * 3, [False] * 3]
        for one in (middle, watch, store):
            await one.close()

    with running("postgres") as server:
        asyncio.run(asyncio.wait_for(run(server.address), 60))
