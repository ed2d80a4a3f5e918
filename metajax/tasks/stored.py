"""Histories on disk, for logs that do not fit into memory: memory-mapped arrays; Grain reads the rows of a step."""

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

import numpy as np

from metajax.errors import ConfigError, StorageError, TaskError
from metajax.files import check_manifest, read_json, write_json, write_manifest
from metajax.tasks.catalogue import StoredHistories
from metajax.tasks.episodes import Bucket, EpisodeConfig

ARRAYS = {"offsets": np.int64, "items": np.int32, "target": np.float32}
ABOUT, SCHEMA, VERSION = "histories.json", "metajax-histories", 1

Chunk = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Positions of users, positions of items and targets of some rows, equally long."""


class StreamedRows(NamedTuple):
    """Rows of one bucket's users, as read from disk; leaves get a leading steps axis, or none inside a step.

    Attributes:
        user: `[tasks]` positions in the user table.
        count: `[tasks]` how many rows are real, the first of them.
        items: `[tasks, rows]` positions in the catalogue.
        target: `[tasks, rows]`.
    """

    user: Any
    count: Any
    items: Any
    target: Any


def write_histories(folder: Path, chunks: Callable[[], Iterator[Chunk]], *, num_users: int) -> StoredHistories:
    """Write rows, grouped by user, to a folder that is there whole or not at all.

    Rows are read twice, a chunk at a time: once to count each user's, once to put them in their place. Memory holds a
    chunk and two numbers a user.

    Args:
        folder: to be made; must not exist.
        chunks: returns an iterator over the same chunks at each call.
        num_users: size of the user table.

    Raises:
        StorageError: if the folder exists.
        TaskError: if arrays of a chunk differ in length or a user's position is outside the table.
    """
    if folder.exists():
        raise StorageError(f"{folder} exists. Delete it or name another folder.")
    counts = np.zeros(num_users, np.int64)
    for chunk in chunks():
        counts += np.bincount(_checked(chunk, num_users), minlength=num_users)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    partial = folder.with_name(f".{folder.name}.part")
    rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    np.save(partial / "offsets.npy", offsets)
    items, target = (
        np.lib.format.open_memmap(partial / f"{name}.npy", "w+", ARRAYS[name], (int(offsets[-1]),))
        for name in ("items", "target")
    )
    following = offsets[:-1].copy()
    for users, chunk_items, chunk_target in chunks():
        order = np.argsort(users, kind="stable")
        users = users[order]
        first = np.searchsorted(users, users)  # position of each user's first row in the chunk
        places = following[users] + np.arange(len(users)) - first
        items[places], target[places] = chunk_items[order], chunk_target[order]
        following += np.bincount(users, minlength=num_users)
    items.flush()
    target.flush()
    write_json(partial / ABOUT, {"schema": SCHEMA, "version": VERSION, "users": num_users, "rows": int(offsets[-1])})
    write_manifest(partial)
    partial.rename(folder)
    return open_histories(folder)


def _checked(chunk: Chunk, num_users: int) -> np.ndarray:
    users, items, target = chunk
    if not len(users) == len(items) == len(target):
        raise TaskError(f"users, items and target must be equally long, got {len(users)}, {len(items)}, {len(target)}.")
    if len(users) and not 0 <= users.min() <= users.max() < num_users:
        raise TaskError(f"User positions must lie in 0..{num_users - 1}, got {users.min()}..{users.max()}.")
    return users


def open_histories(folder: Path, *, verify: bool = False) -> StoredHistories:
    """Map the arrays of a folder; nothing is read until a row is.

    Args:
        folder: from `write_histories`.
        verify: compare every byte with the manifest, which reads everything once.

    Raises:
        StorageError: if something is missing, of another version, size or kind or, with `verify`, altered.
    """
    about = read_json(folder / ABOUT)
    if not isinstance(about, dict) or (about.get("schema"), about.get("version")) != (SCHEMA, VERSION):
        raise StorageError(f"{folder} holds no histories that this metajax reads. Write them with write_histories.")
    if verify:
        check_manifest(folder)
    try:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    except (OSError, ValueError) as error:
        raise StorageError(f"{folder} is damaged: {error}. Write it again.") from error
    wanted = {"offsets": about["users"] + 1, "items": about["rows"], "target": about["rows"]}
    for name, array in arrays.items():
        if array.shape != (wanted[name],) or array.dtype != ARRAYS[name]:
            raise StorageError(
                f"{folder / name}.npy holds {array.dtype} {array.shape}, wanted {np.dtype(ARRAYS[name])} "
                f"({wanted[name]},). Write it again."
            )
    return StoredHistories(**arrays)


def stream_rows(
    stored: StoredHistories, bucket: Bucket, config: EpisodeConfig, *, seed: int, first_step: int
) -> Iterator[StreamedRows]:
    """Yield the rows of one step after the other, from `first_step` on, without end.

    The order of users is a new shuffle at every pass. What a step reads depends on `seed` and the step alone, so that a
    resumed run reads what the run that was never stopped would have read.

    Args:
        stored: the rows.
        bucket: which users, how many a step and how many rows each; longer histories give a random part, by time a
            contiguous one.
        config: of episodes.
        seed: of the order and the parts.
        first_step: counts from 0.

    Raises:
        ConfigError: if Grain is missing.
    """
    grain = import_grain()

    def cut(user: np.integer, generator: np.random.Generator) -> StreamedRows:
        start, end = int(stored.offsets[user]), int(stored.offsets[user + 1])
        have, kept = end - start, min(end - start, bucket.rows)
        if config.order == "time":
            places = start + generator.integers(have - kept + 1) + np.arange(kept)
        else:
            places = start + np.sort(generator.choice(have, kept, replace=False))
        items, target = np.zeros(bucket.rows, np.int32), np.zeros(bucket.rows, np.float32)
        items[:kept], target[:kept] = stored.items[places], stored.target[places]
        return StreamedRows(np.int32(user), np.int32(kept), items, target)

    passes = (1 << 60) // len(bucket.users)  # endless, but a length that an int of 64 bits holds
    users = grain.MapDataset.source(np.asarray(bucket.users)).seed(seed).shuffle().repeat(passes)
    steps = users.random_map(cut).batch(bucket.tasks)
    return iter(steps[first_step:].to_iter_dataset(grain.ReadOptions(num_threads=4, prefetch_buffer_size=32)))


def import_grain() -> Any:
    """Return grain, or raise `ConfigError` with what to install."""
    try:
        import grain
    except ImportError as error:
        raise ConfigError(
            "Histories on disk need grain, which is not installed: pip install 'metajax[stream]'"
        ) from error
    return grain
