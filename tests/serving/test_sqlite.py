"""The SQLite store: against a dict, and what only a file can do."""

import asyncio
import gc
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax.errors import StoreError
from metajax.serving.sqlite import SCHEMA_VERSION, SqliteStore
from metajax.serving.store import STATES_PER_USER, Event, StoredState, UserRecord

USERS, MODELS = ("u", "v"), ("m1", "m2")


class Model:
    """What a store is, without a file; STATES_PER_USER is more than there are models here."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.states: dict[tuple[str, str], StoredState] = {}

    def append(self, events: list[Event]) -> list[bool]:
        new = []
        for event in events:
            new.append(all(event.id != known.id for known in self.events))
            self.events += [event] * new[-1]
        return new

    def read(self, user: str, model: str) -> UserRecord:
        return UserRecord(tuple(event for event in self.events if event.user == user), self.states.get((user, model)))

    def write_state(self, user: str, state: StoredState) -> None:
        events, known = self.read(user, state.model)
        if not 1 <= state.revision <= len(events) or (known and known.revision > state.revision):
            return
        last = events[state.revision - 1].id
        if state.last in (None, last):
            self.states[user, state.model] = state._replace(last=last)

    def erase(self, user: str) -> int:
        before = len(self.events)
        self.events = [event for event in self.events if event.user != user]
        self.states = {key: state for key, state in self.states.items() if key[0] != user}
        return before - len(self.events)


ids = st.integers(0, 9).map(str)
users, models = st.sampled_from(USERS), st.sampled_from(MODELS)
some_events = st.lists(
    st.builds(
        Event,
        ids,
        users,
        st.sampled_from("ab"),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.floats(0, 9),
    ),
    max_size=4,
)
states = st.builds(StoredState, models, st.integers(0, 5), st.binary(max_size=9), st.none() | ids)
calls = st.one_of(
    st.tuples(st.just("append"), some_events),
    st.tuples(st.just("write_state"), users, states),
    st.tuples(st.just("erase"), users),
)


@settings(max_examples=40)
@given(st.lists(calls, max_size=15))
def test_it_does_what_a_dict_does(sequence):
    assert len(MODELS) < STATES_PER_USER

    async def run(path: Path) -> None:
        store, model = SqliteStore(path), Model()
        for name, *arguments in sequence:
            assert await getattr(store, name)(*arguments) == getattr(model, name)(*arguments)
        for user in USERS:
            for version in MODELS:
                assert await store.read(user, version) == model.read(user, version)
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "users.db"))


def event(number: int, user: str = "u") -> Event:
    return Event(f"e{number}", user, "i", 1.0, 0.0)


def test_an_erased_user_cannot_be_read_in_the_files(tmp_path):
    """So many events in random order that b-trees split and merge pages, which leaves copies behind."""
    draw = random.Random(0)
    names = [f"NAME{draw.randrange(10**9):09d}" for _ in range(200)]

    async def run() -> bytes:
        store = SqliteStore(tmp_path / "users.db")
        for batch in range(60):
            chosen = [draw.choice(names) for _ in range(100)]
            await store.append(
                [
                    Event(f"{draw.random()}-{batch}-{place}-{name}", name, "i", 1.0, 0.0)
                    for place, name in enumerate(chosen)
                ]
            )
            state = StoredState("m", 1, chosen[0].encode() * draw.randrange(900))
            await store.write_state(chosen[0], state)
        before = await found(names[:60])
        for name in names[:50]:
            await store.erase(name)
        assert (before, await found(names[:50]), await found(names[50:60])) == (60, 0, 10)
        await store.close()

    async def found(wanted: list[str]) -> int:
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        return sum(name.encode() in content for name in wanted)

    asyncio.run(run())


def test_an_erasure_that_cannot_rewrite_deletes_all_the_same(tmp_path, caplog):
    """A reader of another process keeps the log from being emptied; the next erasure empties it."""
    path = tmp_path / "users.db"

    async def run() -> tuple[int, bool, int, bool]:
        store = SqliteStore(path, busy_seconds=0.1)
        await store.append([event(0, "FIRST"), event(1, "SECOND")])
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM events").fetchall()
            first = await store.erase("FIRST"), b"FIRST" in readable()
        second = await store.erase("SECOND"), b"FIRST" in readable()
        await store.close()
        return *first, *second

    def readable() -> bytes:
        return b"".join(file.read_bytes() for file in tmp_path.iterdir())

    assert asyncio.run(run()) == (1, True, 1, False)


def test_the_file_is_rewritten_only_where_something_was_erased(tmp_path):
    told = []

    async def run() -> list[tuple[int, int]]:
        store = SqliteStore(tmp_path / "users.db")
        store._write_connection.set_trace_callback(told.append)
        await store.append([event(0), event(1, "v")])
        await store.write_state("v", StoredState("m", 1, b"state"))
        found = [(await store.erase(user), told.count("VACUUM")) for user in ("nobody", "u", "u", "v")]
        store._write_connection.execute("INSERT INTO states (user, model, revision, state) VALUES ('w', 'm', 1, '')")
        found.append((await store.erase("w"), told.count("VACUUM")))
        await store.close()
        return found

    assert asyncio.run(run()) == [(0, 0), (1, 1), (0, 1), (1, 2), (0, 3)]


@pytest.mark.parametrize("again", ["the next process", "another that shares the file"])
def test_an_erasure_that_was_cut_off_is_finished_when_it_is_asked_for_again(tmp_path, again):
    """By the death of its process, between the deletion and the rewriting."""
    path = tmp_path / "users.db"

    async def run() -> tuple[bool, int, bool]:
        first = SqliteStore(path)
        second = SqliteStore(path) if again == "another that shares the file" else None
        await first.append([event(number, "NAME") for number in range(1000)])
        first._write_connection.execute("PRAGMA secure_delete = OFF")
        first._sweep = lambda: None
        await first.erase("NAME")
        before = is_readable()
        await first.close()
        second = second or SqliteStore(path)
        found = before, await second.erase("NAME"), is_readable()
        await second.close()
        return found

    def is_readable() -> bool:
        return any(b"NAME" in file.read_bytes() for file in tmp_path.iterdir())

    assert asyncio.run(run()) == (True, 0, False)


def test_calls_that_wait_share_a_commit(tmp_path):
    commits = []

    async def run() -> list[list[bool]]:
        store = SqliteStore(tmp_path / "users.db")
        store._write_connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        go = threading.Event()
        store._writer.submit(go.wait)
        waiting = [asyncio.create_task(store.append([event(number)])) for number in range(20)]
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*waiting)
        await store.close()
        return results

    assert asyncio.run(run()) == [[True]] * 20
    assert len(commits) == 1


def test_a_call_that_fails_does_not_fail_those_it_would_share_a_commit_with(tmp_path):
    async def run() -> tuple[list, UserRecord]:
        store = SqliteStore(tmp_path / "users.db")
        go = threading.Event()
        store._writer.submit(go.wait)
        too_long = StoredState("m", 2**70, b"")  # more than SQLite's integers
        calls = [store.append([event(0)]), store.write_state("u", too_long), store.append([event(1)])]
        waiting = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        record = await store.read("u", "m")
        await store.close()
        return results, record

    (first, failed, second), record = asyncio.run(run())
    assert (first, type(failed), second) == ([True], OverflowError, [True])
    assert record == UserRecord((event(0), event(1)), None)


def test_reads_that_wait_share_a_transaction_and_no_error(tmp_path):
    """Of users u, v and w, one of whom cannot be read and one of whose readers has gone: that read is not run."""
    told = []

    async def run() -> list:
        store = SqliteStore(tmp_path / "users.db")
        users = dict(zip("uvw", [event(number)._replace(user=user) for number, user in enumerate("uvw")], strict=True))
        await store.append(list(users.values()))
        store._write_connection.execute("INSERT INTO states (user, model, revision, state) VALUES ('v', 'm', 9, '')")
        store._read_connection.set_trace_callback(told.append)
        go = threading.Event()
        store._reader.submit(go.wait)
        waiting = [asyncio.create_task(store.read(user, model)) for user, model in ("um", "wm", "uo", "vo")]
        await asyncio.sleep(0)
        waiting[1].cancel()
        go.set()
        together = await asyncio.gather(*waiting, return_exceptions=True)
        assert (told.count("BEGIN"), "'w'" in str(told)) == (1, False)
        apart = await asyncio.gather(*(store.read(user, "m") for user in "uv"), return_exceptions=True)
        assert (await store.read("w", "m")).events == (users["w"],)
        await store.close()
        with pytest.raises(StoreError, match="is closed"):
            await asyncio.wait_for(store.read("u", "m"), 5)
        return [one.events[0].user if isinstance(one, UserRecord) else type(one) for one in (*together, *apart)]

    assert asyncio.run(run()) == ["u", asyncio.CancelledError, "u", "v", "u", IndexError]


def test_a_read_that_comes_while_others_are_taken_is_answered_too(tmp_path):
    """The event loop adds one just after the reader took the first of two."""

    class Interrupted(deque):
        def __init__(self, add) -> None:
            super().__init__()
            self.add = add

        def popleft(self):
            item = super().popleft()
            if self.add is not None:
                add, self.add = self.add, None
                add()
            return item

    async def run() -> list[UserRecord]:
        store, loop = SqliteStore(tmp_path / "users.db"), asyncio.get_running_loop()
        late, come, go = [], threading.Event(), threading.Event()

        def read_late() -> None:
            late.append(loop.create_task(store.read("w", "m")))
            loop.call_soon(come.set)

        def add() -> None:
            loop.call_soon_threadsafe(read_late)
            assert come.wait(5)

        store._reading = Interrupted(add)
        store._reader.submit(go.wait)
        waiting = [loop.create_task(store.read(user, "m")) for user in "uv"]
        await asyncio.sleep(0)
        go.set()
        found = await asyncio.wait_for(asyncio.gather(*waiting), 5)
        found += await asyncio.wait_for(asyncio.gather(*late, store.read("x", "m")), 5)
        await store.close()
        return found

    assert asyncio.run(run()) == [UserRecord((), None)] * 4


def test_a_call_that_was_given_up_while_it_waited_is_not_stored(tmp_path):
    async def run() -> UserRecord:
        store = SqliteStore(tmp_path / "users.db")
        go = threading.Event()
        store._writer.submit(go.wait)
        waiting = asyncio.create_task(store.append([event(0)]))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        go.set()
        await store.append([event(1)])
        record = await store.read("u", "m")
        await store.close()
        return record

    assert asyncio.run(run()).events == (event(1),)


def test_a_write_that_waits_for_another_process_does_not_hold_up_reads(tmp_path):
    async def run() -> UserRecord:
        store = SqliteStore(tmp_path / "users.db")
        await store.append([event(0)])
        with closing(sqlite3.connect(tmp_path / "users.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(store.append([event(1)]))
            await asyncio.sleep(0.05)
            record = await store.read("u", "m")
            assert not waiting.done()
            other.execute("ROLLBACK")
            assert await waiting == [True]
        await store.close()
        return record

    assert asyncio.run(run()).events == (event(0),)


def test_a_locked_file_says_who_holds_it_and_works_again_afterwards(tmp_path):
    async def run() -> UserRecord:
        store = SqliteStore(tmp_path / "users.db", busy_seconds=0.05)
        with closing(sqlite3.connect(tmp_path / "users.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="nothing of this call is stored: another process held its lock"):
                await store.append([event(0)])
        await store.append([event(1)])
        record = await store.read("u", "m")
        await store.close()
        return record

    assert asyncio.run(run()).events == (event(1),)


def test_calls_that_wait_for_a_locked_file_wait_for_it_once(tmp_path):
    begins = []

    async def run() -> list:
        store = SqliteStore(tmp_path / "users.db", busy_seconds=0.05)
        store._write_connection.set_trace_callback(begins.append)
        with closing(sqlite3.connect(tmp_path / "users.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            go = threading.Event()
            store._writer.submit(go.wait)
            waiting = [asyncio.create_task(store.append([event(number)])) for number in range(20)]
            await asyncio.sleep(0)
            go.set()
            results = await asyncio.gather(*waiting, return_exceptions=True)
        await store.close()
        return results

    assert [type(result) for result in asyncio.run(run())] == [StoreError] * 20
    assert begins == ["BEGIN IMMEDIATE"]


def test_a_full_file_stores_nothing_of_a_call_and_works_again_with_space(tmp_path):
    async def run() -> UserRecord:
        store = SqliteStore(tmp_path / "users.db")
        await store.append([event(0)])
        connection = store._write_connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(StoreError, match=r"the disk is full\. Free some space: the store then goes on by itself"):
            await store.append([event(number) for number in range(1, 1000)])
        assert (await store.read("u", "m")).events == (event(0),)
        connection.execute("PRAGMA max_page_count = 1000000")
        assert all(await store.append([event(number) for number in range(1, 1000)]))
        record = await store.read("u", "m")
        await store.close()
        return record

    assert asyncio.run(run()).revision == 1000


def test_a_file_that_vanished_is_not_written_to(tmp_path):
    """Its descriptors still work, but what is written there ends with the process."""
    folder = tmp_path / "folder"
    folder.mkdir()

    async def run() -> UserRecord:
        store = SqliteStore(folder / "users.db")
        await store.append([event(0)])
        folder.rename(tmp_path / "away")
        for call in (store.append([event(1)]), store.read("u", "m"), store.ready()):
            with pytest.raises(StoreError, match=r"is not reached: No such file or directory"):
                await call
        (tmp_path / "away").rename(folder)
        await store.append([event(2)])
        record = await store.read("u", "m")
        await store.close()
        return record

    assert event(2) in asyncio.run(run()).events


def test_a_file_that_was_replaced_is_not_written_to(tmp_path):
    path = tmp_path / "users.db"

    async def run() -> None:
        store = SqliteStore(path)
        await store.append([event(0)])
        path.rename(tmp_path / "old.db")
        path.touch()
        for call in (store.append([event(1)]), store.read("u", "m")):
            with pytest.raises(StoreError, match="was replaced by another file: restart the service"):
                await call
        await store.close()

    asyncio.run(run())


def test_a_store_needs_a_folder(tmp_path):
    with pytest.raises(StoreError, match=r"No such file or directory\. It must be a file .* in a folder that exists"):
        SqliteStore(tmp_path / "nowhere" / "users.db")
    with pytest.raises(StoreError, match="Is a directory"):
        SqliteStore(tmp_path)


READ_ONLY = """
import os, sys
from pathlib import Path
from metajax.errors import StoreError
from metajax.serving.sqlite import SqliteStore
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    SqliteStore(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("mode", [(0o444, 0o777), (0o666, 0o555)], ids=["file", "folder"])
def test_a_store_that_may_not_be_written_is_refused(mode):
    """In a process of its own, which is not root: root may write to anything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "users.db"
        asyncio.run(SqliteStore(path).close())
        path.chmod(mode[0])
        folder.chmod(mode[1])
        told = subprocess.run(
            [sys.executable, "-c", READ_ONLY, path], capture_output=True, text=True, check=True
        ).stdout
        folder.chmod(0o777)
    assert "may write" in told or "may not write" in told or "may be written to" in told, told


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE events (id)")
        other.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is an SQLite file of something else than metajax's users"):
        SqliteStore(path)
    assert path.read_bytes() == before
    path.write_bytes(b"not a database, but text: " * 99)
    with pytest.raises(StoreError, match="it is not an SQLite file"):
        SqliteStore(path)
    gc.collect()  # which warns of a connection that was left open


def test_a_file_of_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "users.db"
    asyncio.run(SqliteStore(path).close())
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="was made by a newer metajax: its schema is 2, this one knows 1"):
        SqliteStore(path)


def test_a_damaged_file_says_so(tmp_path):
    path = tmp_path / "users.db"

    async def run() -> None:
        store = SqliteStore(path)
        await store.append([event(number) for number in range(2000)])
        await store.close()
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        store = SqliteStore(path)
        with pytest.raises(StoreError, match="the file is damaged"):
            await store.read("u", "m")
        await store.close()

    asyncio.run(run())
