"""Addresses of stores: where users are kept, in one line of the command's."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from metajax.errors import StoreError
from metajax.serving.store import UserStore

_SCHEMES = """\
  sqlite:///users.db                       a file here; sqlite:////var/lib/metajax/users.db for one by its full path
  redis://[:password@]host:6379/0          a Redis server; rediss:// by TLS, unix:///path by a socket
  postgresql://user:password@host/database a PostgreSQL server"""


def open_store(address: str) -> UserStore:
    """Return the store at an address; a server is reached by the first call.

    Raises:
        StoreError: for an address that names no store, a file that cannot be used, or a client that is not installed.
    """
    try:
        url = urlsplit(address)
    except ValueError as error:
        raise _no_store(address) from error
    if url.scheme == "sqlite" and not url.netloc and url.path not in ("", "/") and not (url.query or url.fragment):
        from metajax.serving.sqlite import SqliteStore

        return SqliteStore(Path(unquote(url.path.removeprefix("/"))))
    raise _no_store(address)


def _no_store(address: str) -> StoreError:
    # An address may hold a password: only its scheme is shown.
    return StoreError(
        f"Got an address of a store that starts {address.split(':')[0][:20]!r}. Wanted one of\n{_SCHEMES}"
    )
