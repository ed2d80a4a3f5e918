"""Addresses of stores: where users are kept, in one line of the command's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode

from metajax.errors import StoreError
from metajax.serving.store import UserStore

_SCHEMES = """\
  sqlite:///users.db                       a file here; sqlite:////var/lib/metajax/users.db for one by its full path
  redis://[:password@]host:6379/0          a Redis server; rediss:// by TLS, unix:///path by a socket
  postgresql://user:password@host/database a PostgreSQL server"""


def open_store(address: str) -> UserStore:
    """Return the store at an address; a server is reached, and its durability checked, by the first call.

    `?durability=none` after the address of a server takes it as it is, though it may lose what it acknowledged.

    Raises:
        StoreError: for an address that names no store, a file that cannot be used, or a client that is not installed.
    """
    scheme, _, rest = address.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        from metajax.serving.sqlite import SqliteStore

        return SqliteStore(Path(unquote(rest[1:])))
    if scheme in ("redis", "rediss", "unix") and rest:
        with _extra("a Redis server"):
            from metajax.serving.redis import RedisStore

        address, durable = _without_durability(address)
        return RedisStore(address, durable=durable)
    if scheme in ("postgresql", "postgres") and rest:
        with _extra("a PostgreSQL server"):
            from metajax.serving.postgres import PostgresStore

        address, durable = _without_durability(address)
        return PostgresStore(address, durable=durable)
    raise _no_store(address)


def _without_durability(address: str) -> tuple[str, bool]:
    """Take `durability=` off an address; return whether the server is to be durable."""
    start, _, query = address.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    kept = urlencode([(name, value) for name, value in options if name != "durability"])
    wanted = {value for name, value in options if name == "durability"} or {"fsync"}
    if not wanted <= {"fsync", "none"} or len(wanted) > 1:
        raise StoreError(
            f"Got durability={sorted(wanted)}. Wanted durability=fsync, as without it, or durability=none."
        )
    return start + ("?" + kept if kept else ""), wanted == {"fsync"}


@contextmanager
def _extra(place: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise StoreError(
            f"Keeping users in {place} needs {error.name}, which is not installed: pip install 'metajax[stores]'."
        ) from error


def _no_store(address: str) -> StoreError:
    # An address may hold a password: only its scheme is shown.
    return StoreError(
        f"Got an address of a store that starts {address.split(':')[0][:20]!r}. Wanted one of\n{_SCHEMES}"
    )
