"""Users in one SQLite file: the store that needs no server, for the processes of one machine.

WAL, synchronous=FULL and one thread that writes: calls that wait for it share a transaction, and return after the
fsync of its commit. Reads have a thread and a connection of their own and do not wait for writes; they share
transactions too, for passing from one thread to another took longer than reading.
"""

import asyncio
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from metajax.errors import StoreError
from metajax.serving.store import STATES_PER_USER, Event, StoredState, UserRecord, check_events, check_names

SCHEMA_VERSION = 1

_APPLICATION = int.from_bytes(b"mjax", "big")
_SCHEMA = (
    """CREATE TABLE events (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        user TEXT NOT NULL,
        item TEXT NOT NULL,
        rating REAL,
        time REAL NOT NULL
    )""",
    "CREATE INDEX events_of_user ON events (user, number)",
    """CREATE TABLE states (
        number INTEGER PRIMARY KEY,
        user TEXT NOT NULL,
        model TEXT NOT NULL,
        revision INTEGER NOT NULL,
        state BLOB NOT NULL,
        UNIQUE (user, model)
    )""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_UNSWEPT = "CREATE TABLE IF NOT EXISTS unswept (erasure INTEGER PRIMARY KEY AUTOINCREMENT)"
"""Erasures whose rows are deleted and may be readable still, for whoever erases next. No number comes again."""

_logger = logging.getLogger(__name__)

T = TypeVar("T")
Call = Callable[[sqlite3.Connection], Any]


class _Waiting(NamedTuple):
    call: Call
    future: "Future[Any]"


class _Reading(NamedTuple):
    call: Call
    future: "asyncio.Future[Any]"


Outcome = tuple[Any, BaseException | None]
"""What a read came to: a result, or an error."""


class SqliteStore:
    """Keeps users in the file `path`, which is made if it is not there, readable by its owner alone.

    Several processes of one machine may share it; the file must not be on a network file system.

    Erasure rewrites the file without the user and empties its log, so that nothing of the user can be read there. All
    erasures that wait share one rewrite, which takes a second or two for a million events; other writes wait for it,
    reads do not. Where it fails, as on a full disk or beside a process that reads for long, the user is deleted all
    the same, and the next erasure rewrites. One that finds nothing to delete or to rewrite costs nothing.

    Args:
        path: in a folder that exists.
        busy_seconds: how long to wait for a process that holds the file's lock.
    """

    def __init__(self, path: Path, *, busy_seconds: float = 5.0):
        self._path = path
        self._waiting: deque[_Waiting] = deque()
        self._reading: deque[_Reading] = deque()
        with _errors_told(path):
            self._file = _make_private(path)
            self._write_connection = _connect(path, busy_seconds)
            try:
                _prepare(self._write_connection, path)
                self._read_connection = _connect(path, busy_seconds)
            except BaseException:
                self._write_connection.close()
                raise
        self._writer = ThreadPoolExecutor(1, "metajax-store-writes")
        self._reader = ThreadPoolExecutor(1, "metajax-store-reads")

    async def append(self, events: Sequence[Event]) -> list[bool]:
        check_events(events)
        return await self._write(lambda connection: _insert(connection, events))

    async def read(self, user: str, model: str) -> UserRecord:
        check_names(user, model)
        return await self._read(lambda connection: _select(connection, user, model))

    async def write_state(self, user: str, state: StoredState) -> None:
        check_names(user, state.model)
        await self._write(lambda connection: _replace_state(connection, user, state))

    async def erase(self, user: str) -> int:
        check_names(user)

        def delete(connection: sqlite3.Connection) -> int:
            states, events = (
                connection.execute(f"DELETE FROM {table} WHERE user = ?", (user,)).rowcount  # nosec B608 # two names
                for table in ("states", "events")
            )
            if states + events:
                connection.execute("INSERT INTO unswept DEFAULT VALUES")
            return events

        count = await self._write(delete)
        await asyncio.wrap_future(self._submit(self._writer, self._sweep))
        return count

    async def ready(self) -> None:
        await self._read(lambda connection: connection.execute("SELECT count(*) FROM sqlite_master").fetchone())

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for executor in (self._writer, self._reader):
            executor.shutdown()
        self._read_connection.close()
        self._write_connection.close()

    async def _read(self, call: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._reading.append(_Reading(call, future))
        if len(self._reading) == 1:  # else a submission that has not begun takes it along
            try:
                self._submit(self._reader, self._read_all_that_wait, loop)
            except StoreError:
                self._reading.clear()
                raise
        return await future

    def _read_all_that_wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read until nothing waits: who comes meanwhile, finding others before it, has submitted nothing."""
        group = list[_Reading]()
        while True:
            try:
                group.append(self._reading.popleft())
            except IndexError:
                break
        group = [reading for reading in group if not reading.future.done()]  # else who asked has given up
        if not group:
            return
        try:
            outcomes = self._read_together(group)
        except BaseException:
            outcomes = [self._read_alone(reading) for reading in group]  # an error of one is no error of another
        loop.call_soon_threadsafe(_answer, group, outcomes)

    def _read_alone(self, reading: _Reading) -> Outcome:
        try:
            return self._read_together([reading])[0]
        except BaseException as error:
            return None, error

    def _read_together(self, group: Sequence[_Reading]) -> list[Outcome]:
        """Run calls in one transaction."""
        with _errors_told(self._path):
            self._check_that_the_file_is_there()
            with _transaction(self._read_connection, "BEGIN"):
                return [(reading.call(self._read_connection), None) for reading in group]

    async def _write(self, call: Callable[[sqlite3.Connection], T]) -> T:
        future: Future[T] = Future()
        self._waiting.append(_Waiting(call, future))
        self._submit(self._writer, self._write_all_that_wait)
        return await asyncio.wrap_future(future)

    def _submit(self, executor: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> "Future[T]":
        try:
            return executor.submit(function, *arguments)
        except RuntimeError as error:
            raise StoreError(f"The store {self._path} is closed.") from error

    def _write_all_that_wait(self) -> None:
        """Write what came since the last transaction began; the first of several submissions does the work of all."""
        group = [self._waiting.popleft() for _ in range(len(self._waiting))]
        group = [waiting for waiting in group if waiting.future.set_running_or_notify_cancel()]
        if not group:
            return
        try:
            self._write_together(group)
        except BaseException as error:
            if len(group) == 1 or _kind(error.__cause__) == "SQLITE_BUSY":
                for waiting in group:
                    waiting.future.set_exception(error)
            else:
                # One call that cannot be stored must not fail the others: each has a transaction of its own.
                for waiting in group:
                    self._write_alone(waiting)

    def _write_alone(self, waiting: _Waiting) -> None:
        try:
            self._write_together([waiting])
        except BaseException as error:
            waiting.future.set_exception(error)

    def _write_together(self, group: Sequence[_Waiting]) -> None:
        """Run calls in one transaction and, if all of them succeed, answer them after its commit."""
        with _errors_told(self._path):
            with _transaction(self._write_connection, "BEGIN IMMEDIATE"):
                results = [waiting.call(self._write_connection) for waiting in group]
            self._check_that_the_file_is_there()
        for waiting, result in zip(group, results, strict=True):
            waiting.future.set_result(result)

    def _check_that_the_file_is_there(self) -> None:
        """Refuse to go on in a file that has no name: what is written there ends with the process."""
        found = os.stat(self._path)
        if (found.st_dev, found.st_ino) != self._file:
            raise StoreError(f"{self._path} was replaced by another file: restart the service to use that one.")

    def _sweep(self) -> None:
        """Rewrite the file and empty its log, once for all erasures so far: their rows are deleted already.

        `secure_delete` overwrites rows, but not the copies that a b-tree leaves in a page whose rows moved to another.
        """
        try:
            (latest,) = self._write_connection.execute("SELECT max(erasure) FROM unswept").fetchone()
            if latest is None:
                return
            self._write_connection.execute("VACUUM")
            busy, *_ = self._write_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                self._write_connection.execute("DELETE FROM unswept WHERE erasure <= ?", (latest,))
        except sqlite3.Error as error:
            _logger.warning(
                "Erased users may be readable in free space of %s until the next erasure: %s", self._path, error
            )


def _answer(group: Sequence[_Reading], outcomes: Sequence[Outcome]) -> None:
    for reading, (result, error) in zip(group, outcomes, strict=True):
        if reading.future.done():  # given up
            continue
        if error is None:
            reading.future.set_result(result)
        else:
            reading.future.set_exception(error)


def _insert(connection: sqlite3.Connection, events: Sequence[Event]) -> list[bool]:
    statement = "INSERT INTO events (id, user, item, rating, time) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
    return [connection.execute(statement, event).rowcount == 1 for event in events]


def _select(connection: sqlite3.Connection, user: str, model: str) -> UserRecord:
    rows = connection.execute("SELECT id, user, item, rating, time FROM events WHERE user = ? ORDER BY number", (user,))
    events = tuple(Event(*row) for row in rows)
    found = connection.execute("SELECT revision, state FROM states WHERE user = ? AND model = ?", (user, model))
    for revision, state in found:
        return UserRecord(events, StoredState(model, revision, state, events[revision - 1].id))
    return UserRecord(events, None)


def _replace_state(connection: sqlite3.Connection, user: str, state: StoredState) -> None:
    if state.revision < 1:
        return
    known = "SELECT id FROM events WHERE user = ? ORDER BY number LIMIT 1 OFFSET ?"
    last = connection.execute(known, (user, state.revision - 1)).fetchone()
    better = "SELECT 1 FROM states WHERE user = ? AND model = ? AND revision > ?"
    if (
        last is None
        or state.last not in (None, *last)
        or connection.execute(better, (user, state.model, state.revision)).fetchone()
    ):
        return
    connection.execute(
        "INSERT OR REPLACE INTO states (user, model, revision, state) VALUES (?, ?, ?, ?)",
        (user, state.model, state.revision, state.state),
    )
    connection.execute(
        "DELETE FROM states WHERE number IN"
        " (SELECT number FROM states WHERE user = ? ORDER BY number DESC LIMIT -1 OFFSET ?)",
        (user, STATES_PER_USER),
    )


def _make_private(path: Path) -> tuple[int, int]:
    """Make the file if it is not there; return which one it is. SQLite gives its log the same permissions."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return found.st_dev, found.st_ino


def _connect(path: Path, busy_seconds: float) -> sqlite3.Connection:
    # Each connection has a thread of its own, but is made and closed in others.
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
    except BaseException:  # it is not an SQLite file
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file; refuse one that is not ours, before anything is changed in it."""
    with _transaction(connection, "BEGIN IMMEDIATE"):
        application, version, tables = (
            connection.execute(query).fetchone()[0]
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if application != _APPLICATION and (application or version or tables):
            raise StoreError(f"{path} is an SQLite file of something else than metajax's users: name another file.")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path} was made by a newer metajax: its schema is {version}, this one knows {SCHEMA_VERSION}. "
                f"Update metajax, or name another file."
            )
        if application != _APPLICATION:
            for statement in _SCHEMA:
                connection.execute(statement)
        connection.execute(_UNSWEPT)
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"{path} is kept with journal_mode={mode}, but wal is needed: put it on a local disk.")


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors of SQLite end it
            connection.execute("ROLLBACK")
        raise


_REMEDIES = {
    "SQLITE_FULL": "the disk is full. Free some space: the store then goes on by itself",
    "SQLITE_BUSY": "another process held its lock for too long. Try again; end what keeps a transaction open",
    "SQLITE_LOCKED": "another connection held its lock for too long. Try again",
    "SQLITE_READONLY": "this user may not write to it. Give the file and its folder write permission",
    "SQLITE_CANTOPEN": "it cannot be opened. See whether its folder is there, and may be written to",
    "SQLITE_IOERR": "the disk reported an error or a limit. See the system's log, free some space, try again",
    "SQLITE_NOTADB": "it is not an SQLite file. Name another file",
    "SQLITE_CORRUPT": "the file is damaged. Restore it from a backup, or rescue what is left with `sqlite3 .recover`",
}


def _kind(error: BaseException | None) -> str:
    """Name the kind of an SQLite error, such as SQLITE_IOERR for SQLITE_IOERR_WRITE; of any other, the empty text."""
    return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])


@contextmanager
def _errors_told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        remedy = _REMEDIES.get(_kind(error), "see the SQLite error")
        raise StoreError(f"The store {path} failed, and nothing of this call is stored: {remedy} ({error}).") from error
    except OSError as error:
        raise StoreError(
            f"The store {path} is not reached: {error.strerror}. "
            f"It must be a file that this user may write, in a folder that exists."
        ) from error
