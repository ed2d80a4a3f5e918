"""The tables of the report's page: results of both regimes, the k-shot numbers, learners against their reference."""

from collections.abc import Sequence
from html import escape

from metajax.evaluation.groups import GroupGap
from metajax.evaluation.summary import Estimate, Summary
from metajax.evaluation.tables import TableRow, table_rows, verdicts
from metajax.evaluation.wording import (
    describe_metric,
    glance,
    interval,
    number,
    outcome,
    probability,
    regime,
    shot,
)

_TABLES = {
    "query": "",
    "catalogue": '<h3>Ranking the whole catalogue</h3><p class="muted">Every item that the user has not rated '
    "competes; above, the user's own held-out items alone are ranked. Novelty, popularity lift, coverage and Gini of "
    "exposure tell what the lists are like, not how right they are.</p>",
    "probabilities": '<h3>Predictive distributions</h3><p class="muted">A Gaussian around the same mean. Its variance '
    'is the method\'s own where it has one (then "one variance" is the same mean with one constant variance), else one '
    "constant, the mean squared error on validation tasks. An interval should cover what its name says.</p>",
    "rounded": '<h3>Rounded to a possible rating</h3><p class="muted">Another prediction than the mean above, and not '
    "to be compared with it: rounding lowers the MAE and raises the RMSE. For these Gaussians it is the median.</p>",
}


def results_tables(summary: Summary, scenario: str, metrics: Sequence[str], k: int | None) -> str:
    """Lay out the regimes in tables of their own: they are never to be confused."""
    tables = []
    for name, introduction in _TABLES.items():
        own = tuple(metric for metric in metrics if regime(metric) == name)
        rows = [row for row in table_rows(summary, scenario, own, k) if any(row.cells)]
        if rows:
            tables.append(introduction + _results_table(summary, own, rows))
    return "".join(tables)


def group_table(summary: Summary, scenario: str, methods: Sequence[str]) -> str:
    """Lay out the gap of every group of users, for a few methods."""
    found = {(one.feature, one.group, one.method): one for one in summary.groups if one.scenario == scenario}
    named = dict.fromkeys((feature, group) for feature, group, _ in found)
    if not named:
        return ""
    metric = describe_metric(next(iter(found.values())).metric, summary.protocol)
    head = "".join(f'<th scope="col">{escape(method)}</th>' for method in methods)
    body = []
    for feature, group in named:
        gaps = [found.get((feature, group, method)) for method in methods]
        cells = "".join(_gap(one) for one in gaps)
        users = max(one.users for one in gaps if one)
        body.append(f'<tr><th scope="row">{escape(feature)} {escape(group)}</th><td>{users:,}</td>{cells}</tr>')
    return (
        f'<h3>Groups of users</h3><p class="muted">{escape(metric.name)} of the group minus that of all other users; '
        'at or below 0 the group is served as well.</p><div class="wide"><table><thead><tr><th scope="col">group</th>'
        f'<th scope="col">users</th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _gap(one: GroupGap | None) -> str:
    if one is None:
        return '<td class="muted">-</td>'
    return (
        f'<td><span class="value">{one.gap:+.3f}</span><span class="interval">{interval(one.low, one.high)}</span></td>'
    )


def _results_table(summary: Summary, metrics: Sequence[str], rows: Sequence[TableRow]) -> str:
    head = "".join(_metric_head(summary, metric) for metric in metrics)
    body = []
    for row in rows:
        tag = '<span class="tag">learner</span>' if row.is_learner else ""
        cells = "".join(_cell(*one) for one in zip(row.cells, row.is_best, strict=True))
        kind = "learner" if row.is_learner else "baseline"
        body.append(f'<tr class="{kind}"><th scope="row">{escape(row.method)}{tag}</th>{cells}</tr>')
    return (
        f'<div class="wide"><table><thead><tr><th scope="col">method</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _metric_head(summary: Summary, metric: str) -> str:
    said = describe_metric(metric, summary.protocol)
    plain = said._replace(detail="").header.removeprefix("catalogue ")  # the table's own heading says it
    return f'<th scope="col">{escape(plain)}<small>{escape(said.detail) or "&nbsp;"}</small></th>'


def shot_table(summary: Summary, scenario: str, metric: str, shots: Sequence[int | None]) -> str:
    """Lay out one metric of every method at every support size."""
    by_shot = [{row.method: row for row in table_rows(summary, scenario, (metric,), k)} for k in shots]
    head = "".join(f'<th scope="col">{shot(k)}</th>' for k in shots)
    body = []
    for method, row in by_shot[-1].items():
        rows = [found.get(method) for found in by_shot]
        cells = "".join(_cell(one.cells[0], one.is_best[0]) if one else _cell(None, False) for one in rows)
        kind = "learner" if row.is_learner else "baseline"
        body.append(f'<tr class="{kind}"><th scope="row">{escape(method)}</th>{cells}</tr>')
    header = escape(describe_metric(metric, summary.protocol).header)
    return (
        f'<div class="wide"><table><thead><tr><th scope="col">{header}<small>k =</small></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def against_reference(summary: Summary, scenario: str, k: int | None) -> str:
    """Say how each learner did: a sentence for the metrics at a glance, a line of a table for all."""
    shown = glance(summary.telling(scenario))
    cards: dict[str, list[str]] = {}
    lines: list[str] = []
    for one, metric, said in verdicts(summary, scenario, k):
        word = outcome(one.difference, one.p_holm, metric.direction)
        coloured = f'<span class="{word}">{word}</span>' if word in ("better", "worse") else escape(word)
        text = coloured + escape(said.removeprefix(word)) if word in ("better", "worse") else escape(said)
        if one.metric in shown:
            cards.setdefault(one.method, []).append(f"<li>{escape(metric.name)}: {text}</li>")
        lines.append(
            f'<tr><th scope="row">{escape(one.method)}</th><td>{escape(metric.header)}</td><td>{one.difference:+.3f}'
            f"</td><td>{interval(one.low, one.high)}</td><td>{probability(one.p_holm)}</td><td>{coloured}</td></tr>"
        )
    if not lines:
        return ""
    reference = escape(references(summary, scenario))
    blocks = [f"<div><h4>{escape(method)}</h4><ul>{''.join(said)}</ul></div>" for method, said in cards.items()]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("learner", "metric", "difference", "95 %", "p", ""))
    return (
        f'<h3>Learners against {reference}</h3><p class="muted">Paired over users (sign-flip test), Holm-corrected '
        f'over all learners and metrics.</p><div class="grid">{"".join(blocks)}</div>'
        f'<details><summary>All metrics</summary><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></details>"
    )


def references(summary: Summary, scenario: str) -> str:
    """Name the baseline that learners are tested against, and the one where the whole catalogue is ranked."""
    reference = summary.reference_baseline[scenario]
    ranked = summary.rank_reference.get(scenario, reference)
    return reference if ranked == reference else f"{reference}; catalogue: {ranked}"


def _cell(estimate: Estimate | None, is_best: bool) -> str:
    if estimate is None:
        return '<td class="muted">-</td>'
    spread = "" if estimate.seed_deviation is None else f", ±{estimate.seed_deviation:.4f} between seeds"
    hint = f"{estimate.users:,} users, {len(estimate.seeds)} seeds{spread}"
    return (
        f'<td{" class=best" if is_best else ""} title="{escape(hint)}"><span class="value">{number(estimate.value)}'
        f'</span><span class="interval">{interval(estimate.low, estimate.high)}</span></td>'
    )
