"""Keys that open the service: made here, stored as hashes, limited in rate."""

import hashlib
import hmac
import os
import secrets
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from metajax import files
from metajax.errors import ConfigError, StorageError

Scope = Literal["recommend", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = ("recommend", "feedback", "admin")
PREFIX = "mjx"


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key, without what opens.

    Attributes:
        id: which is not secret.
        sha256: of the secret part, 256 random bits: there is nothing to guess, so a fast hash is enough.
        scopes: what it may do.
        user: the only user whose state it may read and move; None for any.
        rate: requests per second; None for no limit.
    """

    id: str
    sha256: str
    scopes: tuple[Scope, ...]
    user: str | None = None
    rate: float | None = None


class KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    """All keys, and the secret that signs cookies and hides users in logs."""

    secret: str
    keys: list[Key] = []


class Principal(NamedTuple):
    """Who asks.

    Attributes:
        name: for rates and logs.
        scopes: what they may do.
        user: the only user whose state they may read and move; None for any.
        rate: requests per second; None for no limit.
    """

    name: str
    scopes: frozenset[str]
    user: str | None = None
    rate: float | None = None


def read_keys(path: Path) -> KeyFile:
    """Read the file of keys.

    Raises:
        StorageError: if there is none, or it is not one.
    """
    try:
        return msgspec.convert(files.read_json(path, limit=1 << 24), KeyFile)
    except msgspec.ValidationError as error:
        raise StorageError(
            f"{path} is not a file of keys: {error}. Make one with `metajax serve keys create`."
        ) from error


def create_key(path: Path, scopes: Iterable[Scope], *, user: str | None = None, rate: float | None = None) -> str:
    """Add a key to the file, which is made if need be, and return it: it is kept nowhere.

    Raises:
        ConfigError: for no scope, a rate that is not positive, or an administrator who is bound.
        StorageError: if the file is not one of keys.
    """
    scopes = tuple(dict.fromkeys(scopes))
    if not scopes or not set(scopes) <= set(SCOPES):
        raise ConfigError(
            f"A key has one or more of the scopes {', '.join(SCOPES)}, got {', '.join(scopes) or 'none'}."
        )
    if rate is not None and not 0 < rate < float("inf"):
        raise ConfigError(f"A rate is a positive number of requests per second, got {rate:g}.")
    if user is not None and "admin" in scopes:
        raise ConfigError("A key of an administrator is not bound to a user. Leave out --user, or the scope admin.")
    document = read_keys(path) if path.exists() else KeyFile(secrets.token_hex(32))
    name, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    document.keys.append(Key(name, _digest(secret), scopes, user, rate))
    _write(path, document)
    return f"{PREFIX}_{name}_{secret}"


def delete_key(path: Path, name: str) -> None:
    """Take a key out of the file.

    Raises:
        ConfigError: if there is none of that id.
    """
    document = read_keys(path)
    kept = [key for key in document.keys if key.id != name]
    if len(kept) == len(document.keys):
        raise ConfigError(f"{path} has no key {name!r}; it has {', '.join(key.id for key in kept) or 'none'}.")
    document.keys = kept
    _write(path, document)


class Keys:
    """The keys of a file; a file that changes is read again within a second."""

    def __init__(self, path: Path) -> None:
        """Read the file."""
        self._path = path
        self._read()

    @property
    def has_admin(self) -> bool:
        """Whether there is a key for an administrator."""
        self._refresh()
        return any("admin" in key.scopes for key in self._keys.values())

    def find(self, text: str) -> Principal | None:
        """Return whom a key stands for, or None."""
        self._refresh()
        prefix, _, rest = text.partition("_")
        name, _, secret = rest.partition("_")
        key = self._keys.get(name)
        expected = key.sha256 if key else _digest("")
        is_right = hmac.compare_digest(_digest(secret), expected)
        if key is None or prefix != PREFIX or not is_right:
            return None
        return Principal(f"key:{key.id}", frozenset(key.scopes), key.user, key.rate)

    def derived(self, purpose: str) -> bytes:
        """Return a secret for one purpose: knowing it tells nothing of the others."""
        return hmac.digest(bytes.fromhex(self._secret), purpose.encode(), "sha256")

    def _refresh(self) -> None:
        if (now := time.monotonic()) < self._next_look:
            return
        self._next_look = now + 1.0
        try:
            if _stamp(self._path) != self._stamp:
                self._read()
        except (OSError, StorageError):
            return  # being replaced, or broken: the keys that were read hold on

    def _read(self) -> None:
        stamp = _stamp(self._path) if self._path.exists() else None  # first: what replaces it meanwhile is seen later
        document = read_keys(self._path)
        if len(document.secret) < 64:
            raise StorageError(f"The secret of {self._path} is shorter than 256 bits. Make a new file of keys.")
        self._stamp = stamp
        self._next_look = time.monotonic() + 1.0
        self._secret = document.secret
        self._keys = {key.id: key for key in document.keys}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes with a file's content."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _write(path: Path, document: KeyFile) -> None:
    """Write the file so that its owner alone reads it, from the first byte on; one that is there keeps its mode."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
    before = os.umask(0o077)
    try:
        with files.atomic(path) as temporary:
            files.write_json(temporary, msgspec.to_builtins(document))
            temporary.chmod(mode)
    finally:
        os.umask(before)
