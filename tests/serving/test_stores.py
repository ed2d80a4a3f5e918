"""What every store of users promises, of each store, with the real servers."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from serving.servers import STORES, store_address

from metajax.errors import DataError, StoreError
from metajax.serving.open_store import open_store
from metajax.serving.store import MAX_BYTES, STATES_PER_USER, Event, StoredState, UserRecord, UserStore

_numbers = count()


@pytest.fixture(scope="module", params=STORES)
def address(request, tmp_path_factory):
    """Yield the address of one store, which the tests of this module share: each with users of its own."""
    with store_address(request.param, tmp_path_factory.mktemp("stores")) as one:
        yield one


@pytest.fixture
def user() -> str:
    return f"user {next(_numbers)}"


def with_store(address: str, scenario: Callable[[UserStore], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        store = open_store(address)
        try:
            return await asyncio.wait_for(scenario(store), 120)
        finally:
            await store.close()

    return asyncio.run(run())


def event(user: str, number: int, rating: float | None = 3.5, time: float = 0.0, item: str | None = None) -> Event:
    return Event(f"{user}-{number}", user, item or f"item {number}", rating, time)


def events(user: str, numbers: range) -> list[Event]:
    return [event(user, number) for number in numbers]


def test_it_is_a_store(address):
    with_store(address, lambda store: store.ready())
    store = open_store(address)
    assert isinstance(store, UserStore)
    asyncio.run(store.close())


def test_a_user_nobody_has_seen_has_neither_events_nor_state(address, user):
    assert with_store(address, lambda store: store.read(user, "m")) == UserRecord((), None)


def test_events_are_read_as_they_were_stored_and_in_that_order(address, user):
    stored = [
        event(user, 3, 4.5, time=1700000000.123456),
        event(user, 1, None, time=5.0),
        event(user, 2, 0.1 + 0.2, time=-1e-300, item='ünï "code" 🎬 \n\\ %s {}'),
        event(user, 0, 1e300, time=0.0, item="x" * MAX_BYTES),
    ]

    async def scenario(store):
        assert await store.append(stored[:1]) == [True]
        assert await store.append(stored[1:]) == [True, True, True]
        return (await store.read(user, "m")).events

    assert list(with_store(address, scenario)) == stored


def test_integers_are_read_as_the_floats_they_are(address, user):
    async def scenario(store):
        await store.append([event(user, 0, rating=4, time=7)])
        (stored,) = (await store.read(user, "m")).events
        return type(stored.rating), type(stored.time)

    assert with_store(address, scenario) == (float, float)


def test_names_are_compared_byte_by_byte(address, user):
    names = [f"{user}{end}" for end in ("A", "a", "A ", "\u0041\u030a", "\u00c5", ":x", "*")]

    async def scenario(store):
        assert all(await store.append([event(name, 0) for name in names]))
        return [len((await store.read(name, "m")).events) for name in names]

    assert with_store(address, scenario) == [1] * len(names)


def test_what_one_process_stored_another_reads(address, user):
    with_store(address, lambda store: store.append([event(user, 0)]))
    assert with_store(address, lambda store: store.read(user, "m")).events == (event(user, 0),)


def test_an_empty_call_stores_nothing(address):
    assert with_store(address, lambda store: store.append([])) == []


def test_an_event_is_stored_once(address, user):
    async def scenario(store):
        first = await store.append([event(user, 0), event(user, 1)])
        again = await store.append(
            [event(user, 1, rating=1.0, time=9.0), event(user, 2), event(user, 0), event(user, 2)]
        )
        return first, again, (await store.read(user, "m")).events

    assert with_store(address, scenario) == ([True, True], [False, True, False, False], tuple(events(user, range(3))))


def test_an_id_of_another_user_is_not_stored_again(address, user):
    other = user + " other"

    async def scenario(store):
        await store.append([event(user, 0)])
        again = await store.append([event(user, 0)._replace(user=other, rating=1.0), event(other, 1)])
        return again, (await store.read(user, "m")).events, (await store.read(other, "m")).events

    assert with_store(address, scenario) == ([False, True], (event(user, 0),), (event(other, 1),))


def test_a_call_is_stored_whole_or_not_at_all(address, user):
    async def scenario(store):
        with pytest.raises(DataError, match="must be finite"):
            await store.append([event(user, 0), event(user, 1, rating=float("nan"))])
        with pytest.raises(DataError, match="cannot name"):
            await store.append([event(user, 0), event(user, 1, item="a\0b")])
        return (await store.read(user, "m")).events

    assert with_store(address, scenario) == ()


def test_names_that_cannot_be_kept_are_refused_everywhere(address, user):
    async def scenario(store):
        for call in (
            store.read("a\0b", "m"),
            store.read(user, ""),
            store.erase(""),
            store.write_state("\ud800", StoredState("m", 1, b"")),
            store.write_state(user, StoredState("", 1, b"")),
        ):
            with pytest.raises(DataError, match="cannot name"):
                await call

    with_store(address, scenario)


def test_late_events_and_withdrawals_are_honoured(address, user):
    async def scenario(store):
        await store.append([event(user, 0, 5.0, time=20.0, item="a"), event(user, 1, 4.0, time=20.0, item="b")])
        await store.append([event(user, 2, 1.0, time=10.0, item="a"), event(user, 3, None, time=30.0, item="b")])
        return (await store.read(user, "m")).ratings()

    assert with_store(address, scenario) == {"a": 5.0}


def test_a_state_is_read_as_it_was_written(address, user):
    state = StoredState("m", 2, bytes(range(256)) * 300, f"{user}-1")

    async def scenario(store):
        await store.append(events(user, range(3)))
        await store.write_state(user, state)
        return (await store.read(user, "m")).state, (await store.read(user, "other model")).state

    assert with_store(address, scenario) == (state, None)


def test_a_state_that_knows_less_does_not_replace_one_that_knows_more(address, user):
    async def scenario(store):
        await store.append(events(user, range(12)))
        found = []
        for revision, content in ((9, b"nine"), (3, b"three"), (9, b"nine again"), (11, b"eleven"), (10, b"ten")):
            await store.write_state(user, StoredState("m", revision, content))
            found.append((await store.read(user, "m")).state.state)
        return found

    assert with_store(address, scenario) == [b"nine", b"nine", b"nine again", b"eleven", b"eleven"]


def test_each_model_version_has_a_state_of_its_own(address, user):
    async def scenario(store):
        await store.append(events(user, range(3)))
        await store.write_state(user, StoredState("m1", 3, b"one"))
        await store.write_state(user, StoredState("m2", 1, b"two"))
        return [(await store.read(user, model)).state.state for model in ("m1", "m2")]

    assert with_store(address, scenario) == [b"one", b"two"]


def test_the_states_of_the_last_models_are_kept(address, user):
    models = [f"m{number}" for number in range(STATES_PER_USER + 1)]

    async def scenario(store):
        await store.append(events(user, range(3)))
        for model in (*models[:-1], models[0], models[-1]):
            await store.write_state(user, StoredState(model, 1, b"state"))
        return [model for model in models if (await store.read(user, model)).state is None]

    assert with_store(address, scenario) == [models[1]]


@pytest.mark.parametrize(
    "state", [StoredState("m", 0, b"x"), StoredState("m", 3, b"x"), StoredState("m", 2, b"x", "?")]
)
def test_a_state_of_other_events_is_not_kept(address, user, state):
    async def scenario(store):
        await store.append(events(user, range(2)))
        await store.write_state(user, state)
        return (await store.read(user, "m")).state

    assert with_store(address, scenario) is None


def test_an_erased_user_is_as_one_nobody_has_seen(address, user):
    async def scenario(store):
        await store.append([*events(user, range(3)), event(user + " other", 9)])
        await store.write_state(user, StoredState("m", 3, b"state"))
        erased = await store.erase(user), await store.erase(user)
        other = (await store.read(user + " other", "m")).events
        return erased, await store.read(user, "m"), other

    expected = ((3, 0), UserRecord((), None), (event(user + " other", 9),))
    assert with_store(address, scenario) == expected


def test_the_state_of_an_erased_user_does_not_come_back(address, user):
    async def scenario(store):
        await store.append(events(user, range(2)))
        old = StoredState("m", 2, b"old", f"{user}-1")
        await store.erase(user)
        await store.write_state(user, old)
        before = (await store.read(user, "m")).state
        await store.append(events(user, range(2, 5)))
        await store.write_state(user, old)
        return before, (await store.read(user, "m")).state

    assert with_store(address, scenario) == (None, None)


def test_an_erased_id_may_be_stored_again(address, user):
    async def scenario(store):
        await store.append([event(user, 0)])
        await store.erase(user)
        return await store.append([event(user, 0)])

    assert with_store(address, scenario) == [True]


def test_tasks_that_append_at_once_lose_and_double_nothing(address, user):
    """Eight tasks send overlapping batches, half of them backwards; each id must be new to exactly one of them."""
    batches = [list(range(start, start + 30)) for start in range(0, 80, 10)]
    users = [f"{user} {number}" for number in range(7)]

    async def scenario(store):
        async def send(numbers):
            sent = [event(user, number)._replace(user=users[number % 7]) for number in numbers]
            return sum(await store.append(sent))

        stored = await asyncio.gather(*(send(batch[:: (-1) ** place]) for place, batch in enumerate(batches)))
        found = [stored.id for name in users for stored in (await store.read(name, "m")).events]
        return sum(stored), sorted(found)

    numbers = range(100)
    assert with_store(address, scenario) == (100, sorted(event(user, number).id for number in numbers))


def test_one_call_may_have_events_of_very_many_users(address, user):
    async def scenario(store):
        async def send(start):
            return sum(await store.append([event(f"{user} {number}", 0) for number in range(start, start + 1000)]))

        return await asyncio.gather(*(send(start) for start in range(0, 2000, 500)))

    assert sum(with_store(address, scenario)) == 2500


def test_a_user_who_is_read_while_others_write_only_grows(address, user):
    async def scenario(store):
        async def write(part):
            for number in range(part, 60, 3):
                await store.append([event(user, number), event(user, 100 + number)])

        async def read():
            seen = ()
            for _ in range(40):
                found = tuple((await store.read(user, "m")).events)
                assert found[: len(seen)] == seen
                assert len(found) % 2 == 0
                seen = found

        await asyncio.gather(*(write(part) for part in range(3)), read(), read())
        return len((await store.read(user, "m")).events)

    assert with_store(address, scenario) == 120


def test_a_state_and_an_erasure_at_once_leave_no_state(address, user):
    async def scenario(store):
        for number in range(10):
            await store.append([event(user, number)])
            state = StoredState("m", 1, b"state", f"{user}-{number}")
            await asyncio.gather(store.write_state(user, state), store.erase(user), store.write_state(user, state))
            assert await store.read(user, "m") == UserRecord((), None)

    with_store(address, scenario)


APPENDER = """
import asyncio, sys
from metajax.serving.open_store import open_store
from metajax.serving.store import Event

async def main(address, user, start):
    store = open_store(address)
    new = 0
    for number in range(start, start + 100, 5):
        new += sum(await store.append([Event(f"{user}-{n}", user, "i", 1.0, 0.0) for n in range(number, number + 5)]))
    await store.close()
    print(new)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def test_two_processes_share_a_store(address, user, tmp_path):
    """Both open it at once, which for SQLite is a new file; half of what they send is the same."""
    if address.startswith("sqlite"):
        address = f"sqlite:///{tmp_path / 'new.db'}"
    processes = [
        subprocess.Popen([sys.executable, "-c", APPENDER, address, user, start], stdout=subprocess.PIPE, text=True)
        for start in ("0", "50")
    ]
    new = [int(process.communicate(timeout=120)[0]) for process in processes]
    found = with_store(address, lambda store: store.read(user, "m")).events
    assert sum(new) == 150
    assert sorted(stored.id for stored in found) == sorted(f"{user}-{number}" for number in range(150))


def test_a_closed_store_says_so(address, user):
    async def scenario(store):
        await store.ready()
        await store.close()
        for call in (store.append([event(user, 0)]), store.read(user, "m"), store.erase(user), store.ready()):
            with pytest.raises(StoreError, match="closed"):
                await call

    with_store(address, scenario)  # closes it once more


@pytest.mark.parametrize(
    "address",
    ["", "users.db", "mysql://me:secret@host/db", "sqlite://", "sqlite:///", "sqlite://host/users.db", "redis://"],
)
def test_an_address_that_names_no_store_is_told_what_does(address):
    with pytest.raises(StoreError, match=r"(?s)Wanted one of.*sqlite:///.*redis://.*postgresql://") as told:
        open_store(address)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(("client", "address"), [("redis", "redis://host"), ("psycopg_pool", "postgresql://host/db")])
def test_a_missing_client_names_its_extra(client, address, monkeypatch):
    for module in [
        name for name in sys.modules if re.match(rf"({client}|metajax\.serving\.(redis|postgres))(\.|$)", name)
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(StoreError, match=rf"needs {client}.*pip install 'metajax\[stores\]'"):
        open_store(address)


def test_an_address_may_be_below_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asyncio.run(open_store("sqlite:///my%20users.db").close())
    assert Path("my users.db").stat().st_mode & 0o777 == 0o600


def test_an_unknown_durability_is_refused():
    with pytest.raises(StoreError, match=r"durability=\['most'\].*durability=fsync"):
        open_store("redis://127.0.0.1/0?durability=most")
