"""Texts of items as vectors, by a sentence encoder that was trained elsewhere (sentence-transformers, extra "text").

An encoder of titles knows what it has read about the works that are called so. That serves an item which is new to a
catalogue but not to the world, such as an old film that is added. Of an item that appeared after the encoder was
trained it knows no more than the words say: do not expect there what is gained here.

References:
    Reimers and Gurevych, 2019, "Sentence-BERT: sentence embeddings using siamese BERT-networks", arXiv:1908.10084.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from metajax.data.interactions import Interactions
from metajax.data.sources import cache_folder
from metajax.errors import ConfigError, DataError
from metajax.files import atomic

VECTOR = "text_vector"
BATCH = 64


def with_text_vectors(interactions: Interactions, encoder: str, columns: Sequence[str] = ("title",)) -> Interactions:
    """Add a column of vectors to the item table, which the content estimate reads; it is no feature of models.

    The data set is called otherwise then, such as "ml-1m + title": who was told of it is not compared with who was not.

    Args:
        interactions: ratings and tables.
        encoder: see `text_vectors`.
        columns: of the item table, whose known values are read as one text, in this order; lists with commas.

    Raises:
        DataError: if the item table lacks one of the columns, or has one called as the vectors already.
        ConfigError: see `text_vectors`.
    """
    items = interactions.items
    for name in columns:
        if name not in items.columns or name == "item":
            known = [column for column in items.columns if column != "item"]
            raise DataError(f"There is no item column {name!r} whose texts could be read; the items have {known}.")
    if VECTOR in items.columns:
        raise DataError(f"The items have a column {VECTOR!r} already. Rename it, or leave out data.text_encoder.")
    texts = [". ".join(part for part in map(_as_text, row) if part) for row in items.select(columns).iter_rows()]
    told = np.asarray([bool(text) for text in texts])
    found = text_vectors([text for text in texts if text], encoder)
    vectors = np.zeros((len(texts), found.shape[1]), np.float32)
    vectors[told] = found
    column = pl.when(pl.Series(told)).then(pl.Series(VECTOR, vectors).cast(pl.List(pl.Float32))).alias(VECTOR)
    name = " + ".join((interactions.name, *columns))
    return replace(interactions, items=items.with_columns(column), name=name)


def text_vectors(texts: Sequence[str], encoder: str) -> np.ndarray:
    """Return float32 `[texts, width]` vectors of length 1, computed on the CPU and kept in the user's cache.

    Args:
        texts: what to encode.
        encoder: a model of sentence-transformers: a folder, or a name of its hub, "@" and a revision, which is fetched
            the first time, such as
            "sentence-transformers/all-mpnet-base-v2@e8c3b32edf5434bc2275fc9bab85f82640a19130".

    Raises:
        ConfigError: if sentence-transformers is not installed, the encoder is a name without a revision (which might be
            another model tomorrow), or it cannot be loaded.
    """
    if not texts:
        return np.zeros((0, 1), np.float32)
    folder = Path(encoder).expanduser()
    name, _, revision = encoder.partition("@")
    if not folder.is_dir() and not revision:
        raise ConfigError(
            f"The encoder {encoder!r} is no folder, and has no revision. Say which one of the hub: {name}@<commit>."
        )
    kept = cache_folder() / "texts" / f"{_key(texts, encoder, folder)}.npy"
    if kept.is_file():
        return np.load(kept, allow_pickle=False)
    vectors = _encode(_load(str(folder) if folder.is_dir() else name, revision or None), texts)
    with atomic(kept) as temporary, temporary.open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
    return vectors


def _load(name: str, revision: str | None) -> Any:
    try:
        from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError("Reading texts needs sentence-transformers: pip install 'metajax[text]'.") from error
    try:
        return SentenceTransformer(name, revision=revision, device="cpu")
    except (OSError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise ConfigError(f"The encoder {name!r} could not be loaded: {told} Give a folder that holds it.") from error


def _encode(model: Any, texts: Sequence[str]) -> np.ndarray:
    """Encode by falling length, so that a batch is padded little, with progress."""
    from rich.progress import track

    order = sorted(range(len(texts)), key=lambda one: -len(texts[one]))
    starts = range(0, len(order), BATCH)
    found = [
        np.asarray(model.encode([texts[one] for one in order[start : start + BATCH]], normalize_embeddings=True))
        for start in track(starts, description="reading texts of items")
    ]
    vectors = np.empty((len(texts), found[0].shape[1]), np.float32)
    vectors[order] = np.concatenate(found)
    return vectors


def _key(texts: Sequence[str], encoder: str, folder: Path) -> str:
    """Name the vectors by everything they follow from; a folder by the sizes and times of its files."""
    files = sorted(folder.rglob("*")) if folder.is_dir() else []
    stamps = [(str(one.relative_to(folder)), one.stat().st_size, one.stat().st_mtime_ns) for one in files]
    return hashlib.sha256(json.dumps([encoder, stamps, list(texts)]).encode()).hexdigest()


def _as_text(value: Any) -> str:
    """Return "" where nothing is known."""
    if isinstance(value, list):
        return ", ".join(str(one) for one in value if one is not None)
    return "" if value is None else str(value).strip()
