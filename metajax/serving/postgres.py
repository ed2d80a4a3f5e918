"""Users in PostgreSQL: a store that replicas share.

Tables metajax_events, metajax_states and metajax_schema are made by the first call, in the first schema of the
connection's search path. What moves one user takes that user's advisory lock, so that events are seen in the order of
their numbers and no state outlives an erasure.

What survives: PostgreSQL answers after the fsync of its log; a server or role with `fsync` or `synchronous_commit` off
is refused unless `durable=False`. Standbys receive it before the answer only if the server names them in
`synchronous_standby_names`. An erased user stays readable in free space until a vacuum, and in archived log
and backups.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from metajax.errors import StoreError
from metajax.serving.store import STATES_PER_USER, Event, StoredState, UserRecord, check_events, check_names

SCHEMA_VERSION = 1

_SCHEMA = """
    CREATE TABLE metajax_schema (version integer NOT NULL);
    CREATE SEQUENCE metajax_numbers;
    CREATE TABLE metajax_events (
        number bigint PRIMARY KEY,
        id text NOT NULL UNIQUE,
        user_id text NOT NULL,
        item_id text NOT NULL,
        rating double precision,
        time double precision NOT NULL
    );
    CREATE INDEX metajax_events_of_user ON metajax_events (user_id, number);
    CREATE TABLE metajax_states (
        user_id text NOT NULL,
        model text NOT NULL,
        revision bigint NOT NULL,
        state bytea NOT NULL,
        written timestamptz NOT NULL,
        PRIMARY KEY (user_id, model)
    );
"""

# Events are numbered in the order of the call, but inserted in that of their ids, as all calls do: two calls that share
# ids wait for each other and never in a circle.
_APPEND = """
    WITH new AS (
        SELECT nextval('metajax_numbers') AS number, ordered.*
        FROM (
            SELECT *
            FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[], %s::float8[])
                WITH ORDINALITY AS given (id, user_id, item_id, rating, time, place)
            ORDER BY place
        ) AS ordered
    )
    INSERT INTO metajax_events (number, id, user_id, item_id, rating, time)
    SELECT number, id, user_id, item_id, rating, time FROM new ORDER BY id, place
    ON CONFLICT (id) DO NOTHING
    RETURNING id
"""

# The first number sets these locks apart from an application's own. Slots are few enough that a call with very many
# users fits the server's table of locks, and sorted, against circles.
_LOCK_USERS = """
    SELECT pg_advisory_xact_lock(1835688312, slot)
    FROM (SELECT DISTINCT hashtext(name) & 1023 AS slot FROM unnest(%s::text[]) AS name ORDER BY slot) AS slots
"""

_EVENTS = """
    SELECT id, user_id, item_id, rating, time FROM metajax_events WHERE user_id = %(user)s ORDER BY number
"""

_STATE = "SELECT revision, state FROM metajax_states WHERE user_id = %(user)s AND model = %(model)s"

_EVENT_BEFORE = "SELECT id FROM metajax_events WHERE user_id = %(user)s ORDER BY number LIMIT 1 OFFSET %(before)s"

_WRITE_STATE = """
    INSERT INTO metajax_states AS known (user_id, model, revision, state, written)
    VALUES (%(user)s, %(model)s, %(revision)s, %(state)s, clock_timestamp())
    ON CONFLICT (user_id, model) DO UPDATE
    SET revision = excluded.revision, state = excluded.state, written = excluded.written
    WHERE known.revision <= excluded.revision
"""

_KEEP_THE_LATEST = """
    DELETE FROM metajax_states WHERE user_id = %(user)s AND model IN (
        SELECT model FROM metajax_states WHERE user_id = %(user)s ORDER BY written DESC, model OFFSET %(kept)s
    )
"""

_Connection = psycopg.AsyncConnection[Any]


class PostgresStore:
    """Keeps users in the PostgreSQL database at `address`, which the first call reaches.

    Args:
        address: such as postgresql://user:password@host/database.
        durable: refuse a server that does not fsync before it answers. False takes the server as it is.
        seconds: how long to wait for a connection, and half of how long for a call. A server that accepts connections
            but stands still is given up about five seconds later: so long its client tries to take the call back.
        connections: at most, of this process.
    """

    def __init__(self, address: str, *, durable: bool = True, seconds: float = 5.0, connections: int = 4):
        self._address = address
        self._durable = durable
        self._seconds = seconds
        self._connections = connections
        self._pool: AsyncConnectionPool[_Connection] | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def append(self, events: Sequence[Event]) -> list[bool]:
        check_events(events)
        if not events:
            return []
        columns = [
            [event.id for event in events],
            [event.user for event in events],
            [event.item for event in events],
            [None if event.rating is None else float(event.rating) for event in events],
            [float(event.time) for event in events],
        ]
        async with self._transaction() as connection:
            await connection.execute(_LOCK_USERS, [columns[1]])
            rows = await (await connection.execute(_APPEND, columns)).fetchall()
        new = {name for (name,) in rows}
        return [event.id in new and not new.discard(event.id) for event in events]

    async def read(self, user: str, model: str) -> UserRecord:
        check_names(user, model)
        async with self._transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            rows = await (await connection.execute(_EVENTS, {"user": user})).fetchall()
            found = await (await connection.execute(_STATE, {"user": user, "model": model})).fetchone()
        events = tuple(Event(*row) for row in rows)
        if found is None:
            return UserRecord(events, None)
        revision, state = found
        return UserRecord(events, StoredState(model, revision, state, events[revision - 1].id))

    async def write_state(self, user: str, state: StoredState) -> None:
        check_names(user, state.model)
        if state.revision < 1:
            return
        values = {"user": user, **state._asdict(), "before": state.revision - 1, "kept": STATES_PER_USER}
        async with self._transaction() as connection:
            await connection.execute(_LOCK_USERS, [[user]])
            last = await (await connection.execute(_EVENT_BEFORE, values)).fetchone()
            if last is not None and state.last in (None, *last):
                await connection.execute(_WRITE_STATE, values)
                await connection.execute(_KEEP_THE_LATEST, values)

    async def erase(self, user: str) -> int:
        check_names(user)
        async with self._transaction() as connection:
            await connection.execute(_LOCK_USERS, [[user]])
            await connection.execute("DELETE FROM metajax_states WHERE user_id = %s", [user])
            return (await connection.execute("DELETE FROM metajax_events WHERE user_id = %s", [user])).rowcount

    async def ready(self) -> None:
        async with self._transaction() as connection:
            await connection.execute("SELECT version FROM metajax_schema")

    async def close(self) -> None:
        self._is_closed = True
        async with self._opening:
            if self._pool is not None:
                await self._pool.close()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[_Connection]:
        """Yield a connection whose work is committed at the end of the block, if that is reached in time."""
        if self._is_closed:
            raise StoreError("The PostgreSQL store is closed.")
        try:
            async with asyncio.timeout(2 * self._seconds), (await self._opened()).connection() as connection:
                yield connection
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise StoreError(
                f"The PostgreSQL store failed: {str(error).strip() or 'it did not answer in time'}. "
                f"See whether the server runs, is reached from here, and has disk left."
            ) from error

    async def _opened(self) -> "AsyncConnectionPool[_Connection]":
        """Return the pool; the first call makes it, and the tables if there are none."""
        async with self._opening:
            if self._pool is None:
                async with await psycopg.AsyncConnection.connect(
                    self._address, connect_timeout=_whole(self._seconds)
                ) as connection:
                    if self._durable:
                        await _check_durable(connection)
                    await _prepare(connection)
                pool: AsyncConnectionPool[_Connection] = AsyncConnectionPool(
                    self._address,
                    kwargs={"connect_timeout": _whole(self._seconds)},
                    min_size=0,
                    max_size=self._connections,
                    timeout=self._seconds,
                    reconnect_timeout=self._seconds,
                    check=AsyncConnectionPool.check_connection,  # the server may have been restarted
                    open=False,
                )
                await pool.open()
                self._pool = pool
            return self._pool


async def _check_durable(connection: _Connection) -> None:
    """Refuse a server that would forget what it acknowledged."""
    query = (
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit') AND setting = 'off' ORDER BY name"
    )
    off = [f"{name}=off" for (name,) in await (await connection.execute(query)).fetchall()]
    if off:
        raise StoreError(
            f"The PostgreSQL server may lose what it acknowledged: it has {' and '.join(off)}. Set it to on, for the "
            f"role by `ALTER ROLE ... SET`, or accept the loss with ?durability=none."
        )


async def _prepare(connection: _Connection) -> None:
    """Make the tables if there are none; refuse those of a newer metajax."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(f"The PostgreSQL database has the encoding {encoding}: make one with ENCODING 'UTF8'.")
    await connection.execute("SELECT pg_advisory_xact_lock(1835688312, -1)")
    found = await (await connection.execute("SELECT to_regclass('metajax_schema') IS NOT NULL")).fetchall()
    if found == [(False,)]:
        await connection.execute(_SCHEMA)
        await connection.execute("INSERT INTO metajax_schema VALUES (%s)", [SCHEMA_VERSION])
    rows = await (await connection.execute("SELECT version FROM metajax_schema")).fetchall()
    version = max(row[0] for row in rows)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"The PostgreSQL store was made by a newer metajax: its schema is {version}, this one knows "
            f"{SCHEMA_VERSION}. Update metajax, or name another database."
        )


def _whole(seconds: float) -> int:
    """Round to what libpq takes: whole seconds, and no fewer than two."""
    return max(2, round(seconds))
