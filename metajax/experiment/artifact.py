"""The artifact of a run: all that adapting to a new user needs, without the training data.

A folder of safetensors and JSON with a sha256 manifest. Reading it executes nothing, and nothing of it is used before
every file's size and hash are checked.
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from metajax import files
from metajax.data import Encoding
from metajax.data.encoding import IDENTITY
from metajax.errors import StorageError
from metajax.experiment.codec import decode, encode
from metajax.experiment.experiment import Experiment
from metajax.experiment.exported import PROGRAM
from metajax.experiment.parts import Parts, make_parts
from metajax.experiment.quantized import Tables, dequantize, quantize
from metajax.experiment.signature import check_signature, sign
from metajax.experiment.traces import trace_places
from metajax.types import PyTree

SCHEMA = 1
DOCUMENT, ENCODING, ITEMS, ARRAYS, CARD, METRICS = (
    "artifact.json",
    "encoding.json",
    "items.json",
    "arrays.safetensors",
    "model_card.md",
    "metrics.json",
)


@dataclass(frozen=True)
class Artifact:
    """A trained learner and its catalogue.

    Attributes:
        experiment: the resolved choices.
        encoding: how users' and items' features are encoded.
        offset: mean training target.
        levels: distinct training targets, ascending.
        scale: (lowest, highest) target.
        item_ids: the data's own ids, in catalogue order.
        titles: of the items, or None where there are none.
        num_ratings: int32 `[num_items]`, of each item in training.
        items: encoded features of the catalogue, leaves `[num_items, ...]`.
        meta_params: the best of the run.
        training: seed, best step, validation value, data set and when it was made.
        metrics: of the evaluation, empty before there is one.
    """

    experiment: Experiment
    encoding: Encoding
    offset: float
    levels: tuple[float, ...]
    scale: tuple[float, float]
    item_ids: list[Any]
    titles: list[str | None] | None
    num_ratings: np.ndarray
    items: dict[str, np.ndarray]
    meta_params: PyTree
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def trace_places(self, folder: Path | None) -> Callable[[str], Path] | None:
        """Return name of a program, with its shapes -> where its trace is kept (`traces.trace_places`)."""
        return trace_places(self.experiment, self.encoding.columns, self.offset, self.levels, folder)

    def new_user(self) -> PyTree:
        """Encode the features of somebody of whom nothing is known."""
        encoded = self.encoding.encode_users(pl.DataFrame({"user": [None]}, {"user": pl.String}))
        return {name: jax.device_put(column[0]) for name, column in encoded.items()}

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which numbers predictions lie: on the scale, or anywhere where scores only order items."""
        only_ranks = self.experiment.loss.build(self.levels).ranks_only
        return (-math.inf, math.inf) if only_ranks else self.scale

    @property
    def user_features(self) -> set[str]:
        """Names of what may be said of a user: "user", the id, among them."""
        names = {one.feature.name for one in self.encoding.encoders if one.feature.of == "user"}
        return (names - {IDENTITY}) | {"user"}

    def takes(self, rating: float) -> bool:
        """Say whether a rating is on the scale; float32, which ratings are kept in, makes other numbers of its ends."""
        return bool(self.takes_each(np.array([rating], np.float32))[0])

    def takes_each(self, ratings: np.ndarray) -> np.ndarray:
        """Say of each of some ratings, float32, whether it is on the scale."""
        low, high = np.array(self.scale, np.float32)
        return (ratings >= low) & (ratings <= high)

    def parts(self) -> Parts:
        """Build the learner that `meta_params` belong to, once."""
        return self._parts

    @cached_property
    def _parts(self) -> Parts:
        return make_parts(self.experiment, self.encoding, offset=self.offset, levels=self.levels)


def write_artifact(
    artifact: Artifact,
    folder: Path,
    *,
    tables: Tables = "float32",
    program: bytes | None = None,
    key: Path | None = None,
) -> None:
    """Write an artifact; the folder appears whole or not at all, and replaces an older artifact.

    Args:
        artifact: to write.
        folder: where it goes.
        tables: how parameters are stored, see `metajax.experiment.quantized`.
        program: of `metajax.experiment.exported`, kept beside it.
        key: file of a private key that signs it, see `metajax.experiment.signature`.
    """
    if folder.exists() and not (folder / DOCUMENT).is_file():
        raise StorageError(f"{folder} exists and is no artifact. Choose another folder.")
    scratch, old = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        _write_files(artifact, scratch, tables=tables, program=program)
        if key:
            sign(scratch, key)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.replace(old)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _write_files(artifact: Artifact, folder: Path, *, tables: Tables, program: bytes | None) -> None:
    """Write all files of an artifact but a signature into a new folder."""
    folder.mkdir(parents=True)
    document = {
        "schema": SCHEMA,
        "experiment": encode(artifact.experiment),
        "offset": artifact.offset,
        "levels": artifact.levels,
        "scale": artifact.scale,
        "training": artifact.training,
    }
    files.write_json(folder / DOCUMENT, document)
    files.write_json(folder / ENCODING, artifact.encoding.to_json())
    files.write_json(folder / ITEMS, {"ids": artifact.item_ids, "titles": artifact.titles})
    files.write_json(folder / METRICS, artifact.metrics)
    files.write_text(folder / CARD, model_card(artifact))
    params = quantize(flatten(artifact.meta_params), tables)
    arrays = {f"items/{name}": column for name, column in artifact.items.items()} | params
    arrays["num_ratings"] = artifact.num_ratings
    with files.atomic(folder / ARRAYS) as temporary:
        save_file({name: np.array(array, order="C") for name, array in arrays.items()}, temporary)
    if program:
        files.write_bytes(folder / PROGRAM, program)
    files.write_manifest(folder)


def as_stored(artifact: Artifact, tables: Tables) -> Artifact:
    """Return what is read back of an artifact that was written with `tables`."""
    arrays = dequantize(quantize(flatten(artifact.meta_params), tables))
    return replace(artifact, meta_params=unflatten(arrays, jax.eval_shape(lambda: artifact.meta_params)))


def read_artifact(folder: Path, *, experiment: Experiment | None = None, public_key: Path | None = None) -> Artifact:
    """Check and read an artifact.

    Args:
        folder: that `write_artifact` wrote.
        experiment: for a run with parts of your own, which are not rebuilt from a file.
        public_key: file of the public key that must have signed it; None asks for no signature.

    Raises:
        StorageError: if it is not signed as wanted, if a file is missing, altered or of another size, or what it holds
            is not an artifact.
    """
    if not (folder / DOCUMENT).is_file():
        raise StorageError(f"{folder} holds no artifact ({DOCUMENT} is missing). Finish `metajax train` first.")
    if public_key:
        check_signature(folder, public_key)
    _check_files(folder)
    document = files.read_json(folder / DOCUMENT)
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise StorageError(f"{folder} has schema {schema!r}, this version reads {SCHEMA}.")
    encoding = Encoding.from_json(files.read_json(folder / ENCODING))
    items = files.read_json(folder / ITEMS)
    try:
        arrays = dequantize(load_file(folder / ARRAYS))
    except (SafetensorError, OSError) as error:
        raise StorageError(f"{folder / ARRAYS} cannot be read: {error}.") from error
    try:
        choices: Experiment = decode(document["experiment"], own=experiment)
        parts = make_parts(choices, encoding, offset=document["offset"], levels=tuple(document["levels"]))
        low, high = document["scale"]
        artifact = Artifact(
            experiment=choices,
            encoding=encoding,
            offset=document["offset"],
            levels=tuple(document["levels"]),
            scale=(low, high),
            item_ids=items["ids"],
            titles=items["titles"],
            num_ratings=arrays["num_ratings"],
            items=_items(arrays, encoding, len(items["ids"])),
            meta_params=_meta_params(arrays, jax.eval_shape(parts.learner.init, jax.random.key(0))),
            training=document["training"],
            metrics=files.read_json(folder / METRICS),
        )
    except KeyError as error:
        raise StorageError(
            f"{folder} lacks {error}. It was written by another version; export the run again."
        ) from error
    vars(artifact)["_parts"] = parts  # built already, to check the parameters
    return artifact


def _check_files(folder: Path) -> None:
    """Check the manifest, and that it lists every file that is read: one left out would go unchecked."""
    files.check_manifest(folder)
    listed = files.read_json(folder / files.MANIFEST)["files"]
    for name in (DOCUMENT, ENCODING, ITEMS, METRICS, ARRAYS):
        if name not in listed:
            raise StorageError(f"{folder / files.MANIFEST} does not list {name}. Copy the folder again.")


def _items(arrays: dict[str, np.ndarray], encoding: Encoding, num_items: int) -> dict[str, np.ndarray]:
    """Take the items' features, after a look whether they are what `encoding` makes of items."""
    items = {}
    for name, column in encoding.encode_items(pl.DataFrame({"item": ["new"]})).items():
        array, shape = arrays.get(f"items/{name}"), (num_items, *column.shape[1:])
        if array is None:
            raise StorageError(f"The artifact has no feature {name!r} of its items. Export the run again.")
        if array.shape != shape or array.dtype != column.dtype:
            raise StorageError(
                f"The items' feature {name!r} is {array.dtype}{list(array.shape)} in the artifact, "
                f"but its encoding makes {column.dtype}{list(shape)}. Export the run again."
            )
        items[name] = array
    return items


def flatten(meta_params: PyTree) -> dict[str, np.ndarray]:
    """Name every leaf by its path below "params/"."""
    leaves = jax.tree_util.tree_leaves_with_path(meta_params)
    return {_name(path): np.asarray(leaf) for path, leaf in leaves}


def _meta_params(arrays: dict[str, np.ndarray], like: PyTree) -> PyTree:
    """Put the parameters among an artifact's arrays into the shape of `like`, and see that none is left over."""
    names = {_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(like)}
    if left := [name for name in arrays if name.startswith("params/") and name not in names]:
        raise StorageError(
            f"The artifact has the parameter {left[0]}, which the learner does not have: it is of another experiment "
            "or version. Give the experiment file that it was trained by, or export the run again."
        )
    return unflatten(arrays, like)


def unflatten(arrays: dict[str, np.ndarray], like: PyTree) -> PyTree:
    """Put arrays back into the shape of `like`.

    Raises:
        StorageError: if one is missing or has another shape or type.
    """

    def take(path: tuple, expected: jax.ShapeDtypeStruct) -> jax.Array:
        array = arrays.get(_name(path))
        if array is None:
            raise StorageError(
                f"The artifact has no parameter {_name(path)}, which this version of the learner wants. Train the run "
                "again, or take the version of metajax that made it."
            )
        if array.shape != expected.shape or array.dtype != expected.dtype:
            raise StorageError(
                f"The parameter {_name(path)} is {array.dtype}{list(array.shape)} in the artifact, "
                f"but the learner wants {expected.dtype}{list(expected.shape)}."
            )
        return jax.device_put(array)  # `asarray` compiles a program for every shape, 10 ms

    return jax.tree_util.tree_map_with_path(take, like)


def model_card(artifact: Artifact) -> str:
    """Write what a person must know before using the artifact, as Markdown."""
    experiment, training = artifact.experiment, artifact.training
    lines = [
        f"# {experiment.name}",
        "",
        f"A {type(experiment.learner).__name__} learner on a {type(experiment.model).__name__} model, meta-trained "
        f"with metajax on {training.get('data', 'unknown data')}. "
        "It adapts to a user it has never seen from a few ratings.",
        "",
        f"- items: {len(artifact.item_ids):,}; targets from {artifact.scale[0]:g} to {artifact.scale[1]:g}",
        *(f"- {name}: {value}" for name, value in training.items()),
        "",
        "## Evaluation",
        "",
        *(_metric_lines(artifact.metrics) or ["Not evaluated yet: run `metajax evaluate`."]),
        "",
        "## Limits",
        "",
        "It learned from who chose to rate what; it inherits their taste and their absence. Items that training has "
        "not seen are known by their features only. The data's own terms apply to what is made from them.",
        "",
    ]
    return "\n".join(lines)


def _metric_lines(metrics: dict[str, Any]) -> list[str]:
    return [
        f"- {scenario}, {name}: {cell['value']:.4f} [{cell['low']:.4f}, {cell['high']:.4f}]"
        for scenario, named in metrics.items()
        for name, cell in named.items()
    ]


def _name(path: tuple) -> str:
    return "params/" + jax.tree_util.keystr(path, simple=True, separator="/")
