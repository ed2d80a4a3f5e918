"""An artifact's signature: Ed25519 over its manifest, which holds the hash of every file that is read.

A hash tells that a file is as it was written; a signature tells by whom. Keys are PEM files:
`openssl genpkey -algorithm ed25519 -out key.pem`, and `openssl pkey -in key.pem -pubout -out public.pem`.

References:
    Josefsson and Liusvaara, 2017, "Edwards-curve digital signature algorithm (EdDSA)". https://www.rfc-editor.org/rfc/rfc8032
"""

from pathlib import Path
from typing import TYPE_CHECKING

from metajax.errors import ConfigError, StorageError
from metajax.files import MANIFEST, write_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.sig"


def sign(folder: Path, key: Path) -> None:
    """Sign a folder's manifest with a private key.

    Raises:
        ConfigError: if the file holds no Ed25519 private key without a password, or cryptography is not installed.
    """
    signature = _private_key(key).sign((folder / MANIFEST).read_bytes())
    write_bytes(folder / SIGNATURE, signature)


def check_signature(folder: Path, public_key: Path) -> None:
    """Check that a folder's manifest was signed by the owner of a public key.

    Raises:
        StorageError: if there is no signature, or it is not of this manifest and key.
        ConfigError: if the file holds no Ed25519 public key, or cryptography is not installed.
    """
    from_file = _public_key(public_key)
    from cryptography.exceptions import InvalidSignature

    path = folder / SIGNATURE
    if not path.is_file() or not (folder / MANIFEST).is_file():
        raise StorageError(f"{folder} is not signed, but a public key was given. Export it with --sign.")
    try:
        from_file.verify(path.read_bytes(), (folder / MANIFEST).read_bytes())
    except InvalidSignature as error:
        raise StorageError(
            f"The signature of {folder} is not by the owner of {public_key}, or its {MANIFEST} was altered. "
            "Do not use it; ask for another copy."
        ) from error


def _private_key(path: Path) -> "Ed25519PrivateKey":
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} holds no private key without a password: {error}.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds a {type(key).__name__}, wanted one of `openssl genpkey -algorithm ed25519`.")
    return key


def _public_key(path: Path) -> "Ed25519PublicKey":
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} holds no public key: {error}.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} holds a {type(key).__name__}, wanted one of `openssl pkey -pubout`, of Ed25519.")
    return key


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ConfigError("Signatures need cryptography: pip install 'metajax[serve]'.") from error
