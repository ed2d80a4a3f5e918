"""Users in Redis: a store that replicas share.

Keys, of which every name ends with a user's own id where it is a user's:

    metajax:schema         the version of this layout
    metajax:ids            hash: event id -> "", so that an id is stored once
    metajax:events:<user>  list of JSON [id, item, rating, time], in the order in which they were stored
    metajax:states:<user>  hash: model version -> "<revision>:<when it was written>:<state>"

Each call is one script, which Redis runs whole and alone. Scripts touch keys of several users at once, so this store
needs one primary (with replicas and Sentinel, if you like), not a Redis Cluster.

What survives: with `appendonly yes` and `appendfsync always`, which is demanded unless `durable=False`, Redis answers
after the fsync of its log. Replication is asynchronous: an event that was acknowledged can be lost when a primary is
given up for a replica that had not received it. An erased user stays readable in the append-only file, and in
snapshots and backups, until Redis rewrites it: `BGREWRITEAOF` does so at once.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from metajax.errors import StoreError
from metajax.serving.store import STATES_PER_USER, Event, StoredState, UserRecord, check_events, check_names

SCHEMA_VERSION = 1

_IDS = "metajax:ids"

_APPEND = """
local stored = {}
for i = 1, #ARGV, 2 do
    local new = redis.call('HSETNX', KEYS[1], ARGV[i], '')
    if new == 1 then redis.call('RPUSH', KEYS[1 + (i + 1) / 2], ARGV[i + 1]) end
    stored[#stored + 1] = new
end
return stored
"""

_READ = """
return {redis.call('LRANGE', KEYS[1], 0, -1), redis.call('HGET', KEYS[2], ARGV[1])}
"""

_WRITE_STATE = """
local model, revision, last, state, kept = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local event = redis.call('LINDEX', KEYS[1], revision - 1)
if not event or (last ~= '' and cjson.decode(event)[1] ~= last) then return end
local known = redis.call('HGET', KEYS[2], model)
if known and tonumber(string.match(known, '^%d+')) > revision then return end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('HSET', KEYS[2], model, string.format('%d:%.0f:', revision, now) .. state)
while redis.call('HLEN', KEYS[2]) > kept do
    local fields, oldest, oldest_time = redis.call('HGETALL', KEYS[2]), nil, nil
    for i = 1, #fields, 2 do
        local written = tonumber(string.match(fields[i + 1], '^%d+:(%d+):'))
        if fields[i] ~= model and (not oldest or written < oldest_time) then
            oldest, oldest_time = fields[i], written
        end
    end
    redis.call('HDEL', KEYS[2], oldest)
end
"""

_ERASE = """
local events = redis.call('LRANGE', KEYS[2], 0, -1)
for _, event in ipairs(events) do redis.call('HDEL', KEYS[1], cjson.decode(event)[1]) end
redis.call('DEL', KEYS[2], KEYS[3])
return #events
"""


class RedisStore:
    """Keeps users in the Redis server at `address`, which the first call reaches.

    Args:
        address: such as redis://:password@host:6379/0.
        durable: refuse a server that does not fsync before it answers. False takes the server as it is.
        seconds: how long to wait for an answer, and half of how long for a call.
    """

    def __init__(self, address: str, *, durable: bool = True, seconds: float = 5.0):
        self._durable = durable
        self._seconds = seconds
        self._is_checked = False
        self._is_closed = False
        try:
            self._client = Redis.from_url(
                address,
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                # Once: for a connection that the server closed while it was idle.
                retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            )
        except ValueError as error:
            raise StoreError(f"The address of the Redis server cannot be read: {error}.") from error
        self._scripts = {text: self._client.register_script(text) for text in (_APPEND, _READ, _WRITE_STATE, _ERASE)}

    async def append(self, events: Sequence[Event]) -> list[bool]:
        check_events(events)
        if not events:
            return []
        keys = [_IDS, *(_events_of(event.user) for event in events)]
        arguments = [text for event in events for text in (event.id, _encode(event))]
        return [new == 1 for new in await self._run(_APPEND, keys, arguments)]

    async def read(self, user: str, model: str) -> UserRecord:
        check_names(user, model)
        stored, state = await self._run(_READ, [_events_of(user), _states_of(user)], [model])
        events = tuple(_decode(user, event) for event in stored)
        if state is None:
            return UserRecord(events, None)
        revision, _, state = state.split(b":", 2)
        return UserRecord(events, StoredState(model, int(revision), state, events[int(revision) - 1].id))

    async def write_state(self, user: str, state: StoredState) -> None:
        check_names(user, state.model)
        if state.revision >= 1:
            arguments = [state.model, state.revision, state.last or "", state.state, STATES_PER_USER]
            await self._run(_WRITE_STATE, [_events_of(user), _states_of(user)], arguments)

    async def erase(self, user: str) -> int:
        check_names(user)
        return await self._run(_ERASE, [_IDS, _events_of(user), _states_of(user)], [])

    async def ready(self) -> None:
        async with self._reached() as client:
            await client.ping()

    async def close(self) -> None:
        self._is_closed = True
        await self._client.aclose()

    async def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        async with self._reached():
            return await self._scripts[script](keys=keys, args=arguments)

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[Redis]:
        if self._is_closed:
            raise StoreError("The Redis store is closed.")
        try:
            async with asyncio.timeout(2 * self._seconds):
                if not self._is_checked:
                    await self._check()
                    self._is_checked = True
                yield self._client
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreError(
                f"The Redis store failed: {error or 'it did not answer in time'}. "
                f"See whether the server runs, is reached from here, and has memory and disk left."
            ) from error

    async def _check(self) -> None:
        """Refuse a server that would forget users, or holds what a newer metajax wrote."""
        await self._client.set("metajax:schema", SCHEMA_VERSION, nx=True)
        schema = int(await self._client.get("metajax:schema") or 0)
        if schema > SCHEMA_VERSION:
            raise StoreError(
                f"The Redis store was made by a newer metajax: its schema is {schema}, this one knows "
                f"{SCHEMA_VERSION}. Update metajax, or name another database."
            )
        if not self._durable:
            return
        settings = {
            **await self._client.config_get("appendonly"),
            **await self._client.config_get("appendfsync"),
            **await self._client.config_get("maxmemory-policy"),
        }
        wanted = {"appendonly": "yes", "appendfsync": "always"}
        wrong = [f"{name} {settings.get(name)}" for name, value in wanted.items() if settings.get(name) != value]
        if str(settings.get("maxmemory-policy")).startswith("allkeys"):
            wrong.append(f"maxmemory-policy {settings['maxmemory-policy']}")
        if wrong:
            raise StoreError(
                f"The Redis server may lose what it acknowledged: it has {', '.join(wrong)}. Set appendonly yes, "
                f"appendfsync always and maxmemory-policy noeviction, or accept the loss with ?durability=none."
            )


def _events_of(user: str) -> str:
    return f"metajax:events:{user}"


def _states_of(user: str) -> str:
    return f"metajax:states:{user}"


def _encode(event: Event) -> str:
    # As text from end to end: Lua reads the id of it only, so no number passes through Lua.
    return json.dumps([event.id, event.item, event.rating, event.time], ensure_ascii=False)


def _decode(user: str, text: bytes) -> Event:
    name, item, rating, time = json.loads(text)
    return Event(name, user, item, None if rating is None else float(rating), float(time))
