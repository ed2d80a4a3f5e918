"""Signed tokens: the page's cookie, and JSON Web Tokens of somebody else's making."""

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt

from metajax.errors import ConfigError, StorageError
from metajax.serving.keys import SCOPES, Principal

AUDIENCE = "metajax"
SESSION_AUDIENCE = "metajax-session"
SESSION_SECONDS = 365 * 24 * 3600
SHORTEST = 32
"""Bytes of a shared secret: as many as HS256 signs with."""


class Sessions:
    """Cookies, each bound to a random user and signed."""

    def __init__(self, secret: bytes, rate: float) -> None:
        """Sign with a secret; a cookie may make `rate` requests per second."""
        self._secret = secret
        self._rate = rate

    def create(self) -> tuple[str, str]:
        """Return a new user and the cookie that is bound to them."""
        user = f"guest-{secrets.token_hex(16)}"
        claims = {"sub": user, "aud": SESSION_AUDIENCE, "exp": int(time.time()) + SESSION_SECONDS}
        return user, jwt.encode(claims, self._secret, algorithm="HS256")

    def find(self, cookie: str) -> Principal | None:
        """Return whom a cookie stands for, or None."""
        options: Any = {"require": ["sub", "exp", "aud"]}
        try:
            claims = jwt.decode(cookie, self._secret, algorithms=["HS256"], audience=SESSION_AUDIENCE, options=options)
        except jwt.PyJWTError:
            return None
        user = claims["sub"]
        return Principal(f"session:{user}", frozenset({"recommend", "feedback"}), user, self._rate)


class WebTokens:
    """JSON Web Tokens that another service signs; the algorithm is that of the key, never that of the token."""

    def __init__(self, key: bytes) -> None:
        """Take a public Ed25519 key in PEM, or else a shared secret.

        Raises:
            ConfigError: if the secret is too short, or the key is not public, or of another kind.
        """
        if b"-----BEGIN" in key:
            if b"PRIVATE" in key:
                raise ConfigError(
                    "The service checks tokens with the public key. Keep the private one where they are made."
                )
            self._algorithm, self._key = "EdDSA", _public_key(key)
        elif len(key) < SHORTEST:
            raise ConfigError(f"A shared secret has {SHORTEST} bytes or more, got {len(key)}.")
        else:
            self._algorithm, self._key = "HS256", key

    @classmethod
    def from_file(cls, path: Path) -> "WebTokens":
        """Read the key from a file.

        Raises:
            StorageError: if the file cannot be read.
        """
        try:
            return cls(path.read_bytes().strip())
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error}.") from error

    def find(self, token: str) -> Principal | None:
        """Return whom a token stands for, or None."""
        options: Any = {"require": ["exp", "aud"]}
        try:
            claims = jwt.decode(token, self._key, algorithms=[self._algorithm], audience=AUDIENCE, options=options)
        except jwt.PyJWTError:
            return None
        user = claims.get("sub")
        return Principal(f"jwt:{user or 'any'}", _scopes(claims), user)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Read `scope`, a text of words, or `scopes`, a list of them."""
    found = claims.get("scopes", claims.get("scope", []))
    words = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    return frozenset(word for word in words if word in SCOPES)


def _public_key(pem: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise ConfigError(f"The key for tokens is not a public key in PEM: {error}.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"The key for tokens is a {type(key).__name__}, wanted one of Ed25519.")
    return key
