"""The report as one self-contained page of HTML: no script, no font, no file from elsewhere; all text escaped."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from metajax.evaluation import figures
from metajax.evaluation.figures import Line, Style
from metajax.evaluation.page_style import STYLE
from metajax.evaluation.page_tables import against_reference, group_table, references, results_tables, shot_table
from metajax.evaluation.summary import Estimate, Summary
from metajax.evaluation.tables import TableRow, setting, table_rows
from metajax.evaluation.wording import (
    describe_metric,
    headline,
    regime,
    shot,
)

Styles = Mapping[str, Style]

_BREAKDOWN = {
    "history": "support rows available (ratings)",
    "popularity": "mean log popularity of the query items",
}
# Nothing may be loaded, from here or elsewhere, whatever the text says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render_page(summary: Summary, metadata: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        summary: what was found.
        metadata: what was run (docs/report-schema.md names the keys); a key that is missing is left out.
    """
    name = str(metadata.get("name", "metajax"))
    body = [
        _header(name, summary, metadata),
        *(_scenario(summary, scenario) for scenario in summary.scenarios),
        _learning_curves(summary, metadata),
        _provenance(metadata),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(name)}: report</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(filter(None, body)) + "\n</body></html>\n"
    )


def _header(name: str, summary: Summary, metadata: Mapping[str, Any]) -> str:
    protocol = summary.protocol
    data = metadata.get("data") or {}
    facts: dict[str, str] = {"protocol": _protocol_line(protocol)}
    if isinstance(data, Mapping):
        facts["data"] = ", ".join([str(data.get("name", "")), *_counts(data.get("counts"))])
    facts["training seeds"] = ", ".join(map(str, summary.seeds)) or "none: nothing was drawn"
    facts["reference baseline"] = ", ".join(sorted({references(summary, one) for one in summary.reference_baseline}))
    lines = [f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items() if value]
    for key in ("command", "commit", "created"):
        if metadata.get(key):
            lines.append(f"<dt>{key}</dt><dd><code>{escape(str(metadata[key]))}</code></dd>")
    sentence = f"<p>{escape(str(protocol.get('sentence', '')))}</p>"
    return f"<header><h1>{escape(name)}</h1>{sentence}<dl>{''.join(lines)}</dl></header>"


def _protocol_line(protocol: Mapping[str, Any]) -> str:
    parts = [str(protocol.get("name", ""))]
    for key, text in (("regime", "{} regime"), ("draws", "{} draws"), ("gain", "{} gain")):
        if protocol.get(key):
            parts.append(text.format(protocol[key]))
    if (threshold := protocol.get("relevance_threshold")) is not None:
        parts.append(f"relevant from {threshold:g}")
    return ", ".join(filter(None, parts))


def _counts(counts: Any) -> list[str]:
    if not isinstance(counts, Mapping):
        return []
    return [f"{value:,} {key}" if isinstance(value, int) else f"{value} {key}" for key, value in counts.items()]


def _scenario(summary: Summary, scenario: str) -> str:
    metrics, shots = summary.metrics(scenario), summary.shots(scenario)
    rows = table_rows(summary, scenario, metrics, shots[-1])
    styles = _styles(summary.reference_baseline[scenario], rows)
    support = "the full support" if shots[-1] is None else f"{shots[-1]} ratings of support"
    return (
        f'<section><h2>{escape(scenario)}</h2><p class="muted">{escape(setting(summary, scenario))}. '
        f"After {support}; 95 % intervals by bootstrap over users; best in bold.</p>"
        + results_tables(summary, scenario, metrics, shots[-1])
        + against_reference(summary, scenario, shots[-1])
        + _k_shot_curves(summary, scenario, styles)
        + _calibration(summary, scenario, styles)
        + _breakdown(summary, scenario, styles)
        + group_table(summary, scenario, [one for one, style in styles.items() if style not in figures.BASELINES])
        + "</section>"
    )


def _styles(reference: str, rows: Sequence[TableRow]) -> dict[str, Style]:
    """Choose what figures show: five learners, the reference, and the two best baselines beside it."""
    learners = [row.method for row in rows if row.is_learner]
    others = [row.method for row in rows if not row.is_learner and row.method != reference and row.cells[0]]
    styles = dict(zip(learners, figures.LEARNERS, strict=False))
    return styles | {reference: figures.REFERENCE} | dict(zip(others, figures.BASELINES, strict=False))


def _legend(styles: Styles, reference: str) -> str:
    lines = [
        f"<li>{figures.swatch(style)}{escape(method)}{' (reference)' if method == reference else ''}</li>"
        for method, style in styles.items()
    ]
    return f'<ul class="legend">{"".join(lines)}</ul>'


def _k_shot_curves(summary: Summary, scenario: str, styles: Styles) -> str:
    shots = summary.shots(scenario)
    if len(shots) < 2:
        return ""
    found = {(one.method, one.metric, one.k): one for one in summary.estimates if one.scenario == scenario}
    drawings, numbers = [], []
    for metric in headline(summary.telling(scenario)):
        lines = [_shot_line(found, method, style, metric, shots) for method, style in styles.items()]
        said = describe_metric(metric, summary.protocol)
        svg = figures.curve(
            [line for line in lines if line.x],
            x_label="ratings in the support (k)",
            y_label=said.header,
            ticks=[shot(k) for k in shots],
        )
        drawings.append(f"<figure><figcaption>{escape(said.name)} by support size</figcaption>{svg}</figure>")
        numbers.append(shot_table(summary, scenario, metric, shots))
    return (
        f"<h3>k-shot curves</h3>{_legend(styles, summary.reference_baseline[scenario])}"
        f'<div class="grid">{"".join(drawings)}</div>'
        f"<details><summary>The numbers, for every method</summary>{''.join(numbers)}</details>"
    )


def _shot_line(
    found: Mapping[tuple[str, str, int | None], Estimate],
    method: str,
    style: Style,
    metric: str,
    shots: Sequence[int | None],
) -> Line:
    placed = [(i, found[method, metric, k]) for i, k in enumerate(shots) if (method, metric, k) in found]
    x, y = [i for i, _ in placed], [one.value for _, one in placed]
    if style in figures.BASELINES:
        return Line(style, x, y)
    return Line(style, x, y, [one.low for _, one in placed], [one.high for _, one in placed])


def _calibration(summary: Summary, scenario: str, styles: Styles) -> str:
    """Draw the histogram of the randomised PIT at the smallest and the full support; flat is calibrated."""
    shots = summary.shots(scenario)
    drawings = []
    for k in dict.fromkeys((shots[0], shots[-1])):
        lines = []
        for method, style in styles.items():
            bars = [
                one
                for one in summary.estimates
                if (one.scenario, one.method, one.k) == (scenario, method, k) and regime(one.metric) == "calibration"
            ]
            if bars and style not in figures.BASELINES:
                places = [int(one.metric.removeprefix("pit_")) - 1 for one in bars]
                ends = [one.low for one in bars], [one.high for one in bars]
                lines.append(Line(style, places, [one.value for one in bars], *ends))
        if lines:
            ticks = [f".{position}" for position in range(10)]
            label = "share of ratings (flat at .1: calibrated)"
            svg = figures.intervals(lines, x_label="randomised PIT from", y_label=label, ticks=ticks)
            drawings.append(f"<figure><figcaption>Calibration, k = {shot(k)}</figcaption>{svg}</figure>")
    return f'<h3>Calibration</h3><div class="grid">{"".join(drawings)}</div>' if drawings else ""


def _breakdown(summary: Summary, scenario: str, styles: Styles) -> str:
    drawings = []
    for by, label in _BREAKDOWN.items():
        bins = [one for one in summary.breakdown if one.scenario == scenario and one.by == by]
        ranges = sorted({(one.first, one.last) for one in bins})
        if len(ranges) < 2:
            continue
        lines = []
        shown = {method: style for method, style in styles.items() if style not in figures.BASELINES}
        for method, style in shown.items():
            mine = [one for one in bins if one.method == method]
            x = [ranges.index((one.first, one.last)) for one in mine]
            ends = [one.low for one in mine], [one.high for one in mine]
            lines.append(Line(style, x, [one.value for one in mine], *ends))
        metric = describe_metric(bins[0].metric, summary.protocol)
        ticks = [_range(first, last) for first, last in ranges]
        svg = figures.intervals([line for line in lines if line.x], x_label=label, y_label=metric.header, ticks=ticks)
        drawings.append(f"<figure><figcaption>{escape(metric.name)} by {label}</figcaption>{svg}</figure>")
    if not drawings:
        return ""
    return f'<h3>Where the error is</h3><div class="grid">{"".join(drawings)}</div>'


def _range(first: float, last: float) -> str:
    short = [f"{value:.0f}" if value == int(value) else f"{value:.1f}" for value in (first, last)]
    return short[0] if short[0] == short[1] else "-".join(short)


def _learning_curves(summary: Summary, metadata: Mapping[str, Any]) -> str:
    lines = [line for line in metadata.get("learning_curves") or () if isinstance(line, Mapping)]
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault((str(line.get("method", "")), str(line.get("seed", ""))), []).append(line)
    several = len({method for method, _ in groups}) > 1
    names = list(dict.fromkeys(method if several else f"seed {seed}" for method, seed in groups))
    styles = dict(zip(names, figures.LEARNERS, strict=False))
    drawings = []
    for key, label in (("loss", "training loss"), ("validation", "validation value (lower is better)")):
        drawn = []
        for (method, seed), group in groups.items():
            style = styles.get(method if several else f"seed {seed}")
            points = [(line["step"], line[key]) for line in group if _is_number(line.get(key))]
            if style and points:
                drawn.append(Line(style, [x for x, _ in points], [y for _, y in points]))
        if drawn:
            svg = figures.curve(drawn, x_label="outer step", y_label=label, markers=key == "validation")
            drawings.append(f"<figure><figcaption>{label}</figcaption>{svg}</figure>")
    if not drawings:
        return ""
    return (
        f'<section><h2>Learning curves</h2>{_legend(styles, "")}<div class="grid">{"".join(drawings)}</div></section>'
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and value - value == 0


def _provenance(metadata: Mapping[str, Any]) -> str:
    data = metadata.get("data")
    parts = [f"<h3>Data</h3>{_definitions(data.items())}" if isinstance(data, Mapping) else ""]
    if versions := metadata.get("versions"):
        parts.append(f"<h3>Versions</h3>{_definitions(dict(versions).items())}")
    if (seconds := metadata.get("training_seconds")) is not None:
        parts.append(f"<h3>Training time, seconds</h3><p>{escape(_plain(seconds))}</p>")
    if tuning := metadata.get("tuning"):
        parts.append(_tuning(tuning))
    if notes := metadata.get("notes"):
        parts.append("<h3>Notes</h3><ul>" + "".join(f"<li>{escape(str(note))}</li>" for note in notes) + "</ul>")
    if config := metadata.get("config"):
        text = json.dumps(config, indent=2, default=str, ensure_ascii=False)
        parts.append(f"<details><summary>Resolved configuration</summary><pre>{escape(text)}</pre></details>")
    return f"<section><h2>Provenance</h2>{''.join(parts)}</section>"


def _tuning(tuning: Mapping[str, Any]) -> str:
    """Say what the hyper-parameters cost, and what they are."""
    limit = tuning.get("seconds_per_trial")
    states = ", ".join(f"{count} {state}" for state, count in (tuning.get("states") or {}).items())
    lines = {
        "trials": f"{_plain(tuning.get('trials'))} ({states})",
        "seconds": f"{_plain(tuning.get('seconds'))} in all; of a trial {_plain(limit) if limit else 'without limit'}",
        "chosen": tuning.get("overrides"),
        "validation value": tuning.get("value"),
        "commit": tuning.get("commit"),
    }
    return f"<h3>Tuning, on held-out training users</h3>{_definitions(lines.items())}"


def _definitions(items: Iterable[tuple[str, Any]]) -> str:
    lines = [f"<dt>{escape(str(key))}</dt><dd>{escape(_plain(value))}</dd>" for key, value in items]
    return f"<dl>{''.join(lines)}</dl>"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
