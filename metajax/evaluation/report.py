"""report.json and report.html: every number with its interval, users, seeds and protocol. docs/report-schema.md."""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

from metajax.errors import StorageError
from metajax.evaluation.cells import Comparison
from metajax.evaluation.groups import GroupGap
from metajax.evaluation.page import render_page
from metajax.evaluation.summary import ErrorBin, Estimate, Summary
from metajax.files import read_json, write_json, write_text

SCHEMA = "metajax-report"
VERSION = 2
_LISTS = {"results": Estimate, "comparisons": Comparison, "breakdown": ErrorBin, "groups": GroupGap}


class Report(NamedTuple):
    """A report that was read: what was found, and what was run."""

    summary: Summary
    metadata: dict[str, Any]


def write_report(folder: Path, summary: Summary, metadata: Mapping[str, Any]) -> None:
    """Write report.json and report.html to `folder`, each atomically.

    Args:
        folder: made if it is not there.
        summary: what was found; its protocol is the one that is written.
        metadata: name, data, command, commit, created, versions, config, learning_curves, training_seconds, notes;
            what is missing is left out. Numbers that are not finite are written as null.
    """
    document = report_document(summary, metadata)
    write_json(folder / "report.json", document)
    write_text(folder / "report.html", render_page(summary, document["metadata"]))


def report_document(summary: Summary, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what report.json holds."""
    protocol = _json(dict(summary.protocol))
    name = str(protocol.get("name", ""))
    results = [_json(asdict(one)) | {"protocol": name} for one in summary.estimates]
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "metadata": {key: _json(value) for key, value in metadata.items() if key != "protocol"},
        "protocol": protocol,
        "seeds": list(summary.seeds),
        "reference_baseline": dict(summary.reference_baseline),
        "rank_reference": dict(summary.rank_reference),
        "results": results,
        "comparisons": [_json(asdict(one)) | {"protocol": name} for one in summary.comparisons],
        "breakdown": [_json(asdict(one)) | {"protocol": name} for one in summary.breakdown],
        "groups": [_json(asdict(one)) | {"protocol": name} for one in summary.groups],
    }


def read_report(path: Path) -> Report:
    """Read a report.json and check it against the schema.

    Raises:
        StorageError: naming the entry that is missing or of a wrong type.
    """
    document = read_json(path, limit=1 << 28)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise StorageError(f"{path} is not a report of metajax. Name the report.json of an evaluated run.")
    if document.get("version") != VERSION:
        raise StorageError(
            f"{path} has version {document.get('version')!r}; this metajax reads {VERSION}. Evaluate again."
        )
    for key in ("metadata", "protocol", "reference_baseline"):
        if not isinstance(document.get(key), dict):
            raise StorageError(f"{path}: {key!r} must be an object, got {document.get(key)!r}.")
    rows = {}
    for key, kind in _LISTS.items():
        if not isinstance(document.get(key), list):
            raise StorageError(f"{path}: {key!r} must be a list, got {document.get(key)!r}.")
        rows[key] = tuple(_record(kind, entry, f"{path}: {key}[{i}]") for i, entry in enumerate(document[key]))
    ranked = document.get("rank_reference", {})
    summary = Summary(document["protocol"], document["reference_baseline"], *rows.values(), rank_reference=ranked)
    for scenario in summary.scenarios:
        if not isinstance(summary.reference_baseline.get(scenario), str):
            raise StorageError(f"{path}: 'reference_baseline' names none for scenario {scenario!r}.")
    return Report(summary, document["metadata"])


def _record(kind: type, entry: Any, where: str) -> Any:
    if not isinstance(entry, dict):
        raise StorageError(f"{where} must be an object, got {entry!r}.")
    hints = get_type_hints(kind)
    values = {}
    for field in fields(kind):
        if field.name not in entry:
            raise StorageError(f"{where} has no {field.name!r}.")
        values[field.name] = _checked(hints[field.name], entry[field.name], f"{where}.{field.name}")
    return kind(**values)


def _checked(wanted: Any, value: Any, where: str) -> Any:
    options = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    for option in options:
        if option is NoneType and value is None:
            return None
        if option is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if option in (int, str) and type(value) is option:
            return value
        if get_origin(option) is tuple and isinstance(value, list) and all(type(one) is int for one in value):
            return tuple(value)
    names = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise StorageError(f"{where} must be {names}, got {value!r}.")


def _json(value: Any) -> Any:
    """Make a value JSON can hold: null for what is not finite, text for what has no form in JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return _json(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _json(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(one) for one in value]
    if isinstance(value, np.generic):
        return _json(value.item())
    if isinstance(value, bool | int | str | NoneType):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
