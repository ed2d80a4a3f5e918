"""Files that are whole or absent: atomic writes, and a sha256 manifest that names what was altered."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metajax.errors import StorageError

MANIFEST = "manifest.json"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; fsync it and rename it to `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        _sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, document: Any) -> None:
    """Write `document` to `path` atomically, as indented JSON; NaN and infinities are refused."""
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, *, limit: int = 1 << 30) -> Any:
    """Read JSON from `path`; raise `StorageError` if it is missing, larger than `limit` bytes or malformed."""
    if not path.is_file():
        raise StorageError(f"{path} does not exist.")
    if (size := path.stat().st_size) > limit:
        raise StorageError(f"{path} has {size} bytes, more than the {limit} that are read.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StorageError(f"{path} is not JSON: {error}") from error


def sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, names: Iterable[str] | None = None) -> None:
    """Record size and sha256 of the files below `folder` (all of them, or `names`) in its manifest."""
    names = sorted(names if names is not None else _files_below(folder))
    entries = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in names}
    write_json(folder / MANIFEST, {"files": entries})


def check_manifest(folder: Path) -> None:
    """Check every file of the manifest; name the first that is missing, of another size, or altered.

    Raises:
        StorageError: with the file's name, what was recorded and what was found.
    """
    document = read_json(folder / MANIFEST)
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict):
        raise StorageError(f"{folder / MANIFEST} has no 'files' table. The folder is not one that metajax wrote.")
    for name, entry in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise StorageError(f"{folder / MANIFEST} names {name!r}, which lies outside {folder}.")
        if not isinstance(entry, dict) or not {"bytes", "sha256"} <= entry.keys():
            raise StorageError(f"{folder / MANIFEST} does not say size and sha256 of {name}. Copy the folder again.")
        if not path.is_file():
            raise StorageError(f"{path} is missing, though {MANIFEST} lists it. Copy the folder again.")
        if (size := path.stat().st_size) != entry["bytes"]:
            raise StorageError(f"{path} has {size} bytes, but {MANIFEST} recorded {entry['bytes']}.")
        if sha256(path) != entry["sha256"]:
            raise StorageError(f"{path} was altered: its sha256 is not the one in {MANIFEST}.")


def _files_below(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return [str(path.relative_to(folder)) for path in paths if path.name != MANIFEST]


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
